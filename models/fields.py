"""The radiance fields that --method nerf knows, by the word that their saved states carry."""

from models.checks import check_mapping
from models.marched_field import FIELDS, MarchedField
from models.ray_model import RayModel
from models.sampled_field import SampledField

_KINDS = dict.fromkeys(FIELDS, MarchedField) | {SampledField.kind: SampledField}


def field_from_state(state: dict) -> RayModel:
    """The model of a field's `state`. Raises ValueError for one of an unknown kind, and for parts that are missing,
    that do not fit each other, or that are not finite."""
    kind = check_mapping("its field", state).get("kind", "grid")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise ValueError(f"its field is of a kind that is not known: {kind!r:.60}")
    return _KINDS[kind].from_state(state)
