"""Before training a field with proposals: how large they are, and where rays begin and end."""

from methods.fields.options import FieldOptions
from models.grid_field import GridField
from models.marched_field import MarchedField
from models.proposal_field import ProposalField, ProposalShape
from models.proposal_sampler import ProposalSampler
from models.proposed_field import ProposedField

_LEVELS, _COARSEST, _LOG2_ROWS = 2, 16, 19  # of the grids
_FINEST = 64  # cells along an edge of the finest grid of the first round, twice as many in each further one


def proposed(options: FieldOptions, *, ndc: bool) -> bool:
    """Whether proposals choose the samples of a new field: as the user says; else if it is in normalised device coordinates."""
    if options.sampler is None:
        return (
            options.proposals is not None
            or options.prop_normal
            or (ndc and options.field == "grid" and not options.radiance_calls)
        )
    return options.sampler == "proposals"


def with_proposals(model: MarchedField, counts: tuple[int, ...]) -> ProposedField:
    """The same field, sampled by untrained proposals instead of its occupancy.

    counts: samples of each round, and of the field.
    """
    field, occupancy = model.field, model.occupancy
    assert isinstance(field, GridField)
    contracted = field.shape.contracted
    shapes = [ProposalShape(_LEVELS, _COARSEST, _FINEST << i, _LOG2_ROWS, contracted) for i in range(len(counts) - 1)]
    span = {}
    if contracted:
        half = float((field.box[1] - field.box[0]).max()) / 2
        span = {"near": occupancy.near, "far": half * 2.0 ** (occupancy.levels - 1), "offset": half}
    proposals = [ProposalField(field.box, shape) for shape in shapes]
    return ProposedField(field, ProposalSampler(proposals, counts, **span), model.ndc, model.pixel).to(field.box.device)
