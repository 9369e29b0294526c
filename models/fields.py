"""The radiance fields that --method nerf knows, by the word that their saved states carry."""

from models.checks import check_mapping
from models.marched_field import FIELDS, MarchedField
from models.mip_field import MipField
from models.proposed_cones import ProposedCones
from models.proposed_field import ProposedField
from models.ray_model import RayModel
from models.sampled_field import SampledField

_MODELS = dict.fromkeys(FIELDS, MarchedField) | {
    SampledField.field_word: SampledField,
    MipField.field_word: MipField,
    ProposedField.saved_as: ProposedField,
    ProposedCones.saved_as: ProposedCones,
}


def field_from_state(state: dict) -> RayModel:
    """The model of a field's `state`. Raises ValueError for an unknown field, and for parts that are missing, that do not
    fit each other, or that are not finite."""
    word = check_mapping("its field", state).get("kind", "grid")
    if not isinstance(word, str) or word not in _MODELS:
        raise ValueError(f"its field {word!r:.60} is not known")
    return _MODELS[word].from_state(state)
