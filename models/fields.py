"""The radiance fields that --method nerf knows, by the word that their saved states carry."""

from models.marched_field import FIELDS, MarchedField
from models.ray_model import RayModel
from models.sampled_field import SampledField

_KINDS = dict.fromkeys(FIELDS, MarchedField) | {SampledField.kind: SampledField}


def field_from_state(state: dict) -> RayModel:
    """The model of a field's `state`. Raises ValueError for one of an unknown kind."""
    kind = state.get("kind", "grid")
    if kind not in _KINDS:
        raise ValueError(f"unknown kind of field: {kind}")
    return _KINDS[kind].from_state(state)
