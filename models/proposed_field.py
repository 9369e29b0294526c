"""A radiance field that is sampled where small proposal fields found density."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from models.antialiasing import PixelSize, pixel_size_from
from models.checks import check_box, check_mapping, check_number, check_record, check_tensors, like, of_this_version
from models.grid_field import GridField
from models.normals import density_normals
from models.proposal_field import ProposalField, ProposalShape
from models.proposal_sampler import Intervals, Proposal, ProposalSampler, weights_of
from models.ray_model import RayModel
from models.rays import Ndc, Rays, ndc_from
from models.reflective_field import ReflectiveField
from models.volume import RayRendering
from taichi_kernels.compositing import Composite, composite
from taichi_kernels.directions import encode_directions

_FIELDS: dict[str, type[GridField]] = {field.field_word: field for field in (GridField, ReflectiveField)}
_AT_ONCE = 4096  # rays that are rendered at a time: their samples stay in the processor's cache
_SHOWN = 1 / 1024  # weight below which a sample's colour does not change an 8-bit picture


class Traced(NamedTuple):
    """R rays, H of which meet the field's box, as training needs them."""

    composite: Composite  # (R, ...); its weights (H, N)
    intervals: Intervals  # (H, ...)
    proposals: list[Proposal]  # (H, ...)
    values: Tensor  # (H, N, C) of the samples: the field's channels
    hit: Tensor  # (H,) numbers of the rays that meet the box


class ProposedField(RayModel):
    """A grid field and the proposals that choose its samples: the model of `--field grid --sampler proposals`."""

    saved_as = "proposals"  # the name of this model's states
    no_calls = "its samples are drawn by proposals"

    def __init__(self, field: GridField, sampler: ProposalSampler, ndc: Ndc | None = None, pixel: PixelSize | None = None):
        super().__init__(ndc)
        self.field, self.sampler, self.pixel = field, sampler, pixel

    @property
    def field_word(self) -> str:
        return self.field.field_word

    @property
    def contracted(self) -> bool:
        """Whether the field covers all of space, and not only the box."""
        return self.field.shape.contracted

    def state(self, *, training: bool = True) -> dict:
        """The model as plain tensors and numbers; all of it is needed to render it."""
        sampler = self.sampler
        settings = {
            "field": self.field_word,
            "shape": self.field.settings(),
            "proposals": [field.settings() for field in sampler.fields if isinstance(field, ProposalField)],
            "counts": sampler.counts,
            "span": (sampler.near, sampler.far, sampler.offset),
            "ndc": self.ndc and tuple(self.ndc),
            "pixel": self.pixel and tuple(self.pixel),
        }
        tensors = {name: value.detach().cpu() for name, value in self.state_dict().items()}
        return {"kind": self.saved_as, "tensors": tensors, "settings": settings}

    def describe(self) -> str:
        """The field's size, in words."""
        counts = self.sampler.counts
        return f"{self.field.describe()}; {' + '.join(map(str, counts[:-1]))} samples of proposals, {counts[-1]} of the field"

    @staticmethod
    @of_this_version()
    def from_state(state: dict) -> "ProposedField":
        """The model of `state`. Raises ValueError for one that this version did not write."""
        check_mapping("its field", state, ("settings", "tensors"))
        settings = check_mapping("its settings", state["settings"], ("shape", "proposals", "counts", "span"))
        word = settings.get("field", "grid")  # the only one in earlier versions
        if word not in tuple(_FIELDS):
            raise ValueError(f"its field {word!r:.60} is not known")
        field_type: Any = _FIELDS[word]  # with its own shape
        shape = check_record(field_type.shape_type, settings["shape"], "its shape")
        if not isinstance(settings["proposals"], list) or not settings["proposals"]:
            raise ValueError("its proposals are not a list")
        proposals = [check_record(ProposalShape, each, "its proposals") for each in settings["proposals"]]
        counts, span = settings["counts"], settings["span"]
        if not isinstance(counts, tuple) or len(counts) != len(proposals) + 1:
            raise ValueError("its samples do not fit its proposals")
        if not isinstance(span, tuple) or len(span) != 3:
            raise ValueError("its span is not 3 numbers")
        for count in counts:
            check_number("its samples", count, 2, 65536, whole=True)
        for distance in span:
            check_number("its span", distance, 0, 1e12)
        boxes = ["field.box", *(f"sampler.fields.{i}.box" for i in range(len(proposals)))]
        expected = {f"field.{name}": like(*size) for name, size in field_type.sizes(shape).items()}
        for i, each in enumerate(proposals):
            expected |= {f"sampler.fields.{i}.{name}": like(*size) for name, size in ProposalField.sizes(each).items()}
        tensors = check_tensors(state["tensors"], expected | {name: like(2, 3) for name in boxes})
        for name in boxes:
            check_box(name, tensors[name])
        fields = [ProposalField(tensors[name], each) for name, each in zip(boxes[1:], proposals, strict=True)]
        sampler = ProposalSampler(fields, counts, near=span[0], far=span[1], offset=span[2])
        field = field_type(tensors["field.box"], shape, torch.Generator())
        model = ProposedField(field, sampler, ndc_from(settings.get("ndc")), pixel_size_from(settings.get("pixel")))
        model.load_state_dict(tensors)
        return model

    @torch.no_grad()
    def coarse_opacity(self, cells: int) -> Tensor:
        """The opacity (cells, cells, cells), in z, y, x, of cells of the box, as far as the last proposal knows it."""
        low, high = self.field.box
        proposal = self.sampler.fields[-1]
        assert isinstance(proposal, ProposalField)
        unit = (torch.arange(cells, device=low.device) + 0.5) / cells
        z, y, x = torch.meshgrid(unit, unit, unit, indexing="ij")
        densities = proposal.density(low + torch.stack([x, y, z], -1).view(-1, 3) * (high - low))
        return 1 - torch.exp(-densities * (high - low).mean() / cells).view(cells, cells, cells)

    def trace(
        self,
        rays: Rays,
        generator: torch.Generator | None = None,
        *,
        anneal: float = 1.0,
        jitter: float = 1.0,
        learn_proposals: bool = False,
    ) -> Traced:
        """Rays rendered for training; differentiable in the field and, if asked, in the proposals' weights."""
        span = self.sampler.span(rays)
        hit = torch.nonzero(span.far > span.near)[:, 0]
        some = rays[hit]
        choice = {"anneal": anneal, "jitter": jitter, "learn": learn_proposals}
        intervals, proposals = self.sampler(some, span[hit], generator, **choice)
        densities, codes = self.field.density_and_code(some.middles(intervals.t))
        shape = intervals.size
        harmonics = encode_directions(some.view_directions, self.field.shape.sh_degree).repeat_interleave(shape[1], 0)
        values = self.field.radiance(codes, harmonics).view(*shape, self.field.channels)
        found = composite(densities.view(shape), values, *intervals.ends(), lengths=some.direction_norms, depth=False)
        colour = self.field.shade(found.colour, 1 - found.transmittance, some.view_directions)
        whole = _over_nothing(len(rays), hit, colour, found.transmittance)
        return Traced(Composite(*whole, None, None, found.weights), intervals, proposals, values, hit)

    @torch.no_grad()
    def render_rays(self, rays: Rays, *, with_normal: bool = False) -> RayRendering:
        """Colour, transmittance, depth and, if wanted, normals of rays in the model's coordinates: the predicted ones, if the
        field has some, else the density's."""
        starts = range(0, max(len(rays), 1), _AT_ONCE)
        columns = zip(*(self._render(rays[i : i + _AT_ONCE], with_normal) for i in starts), strict=True)
        colour, transmittance, depth, normal = (torch.cat(column) for column in columns)
        return RayRendering(colour, transmittance, depth, normal if with_normal else None)

    def _render(self, rays: Rays, with_normal: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The same of a few rays; normals mean nothing if they are not wanted. Rays whose proposals have no weight are empty;
        colours and normals are evaluated only of samples that are visible."""
        span = self.sampler.span(rays)
        hit = torch.nonzero(span.far > span.near)[:, 0]
        intervals, proposals = self.sampler(rays[hit], span[hit])
        full = torch.nonzero(proposals[-1].weights.sum(1) > _SHOWN)[:, 0]
        hit, intervals = hit[full], intervals[full]
        some, field, positions = rays[hit], self.field, rays[hit].middles(intervals.t)
        features = field.encode(positions)
        densities = field.density(positions, features).view(intervals.size)
        weights = weights_of(densities, intervals, some.direction_norms)
        shown = torch.nonzero(weights.view(-1) > _SHOWN)[:, 0]
        codes = field.density_and_code(positions[shown], features[shown])[1]
        harmonics = encode_directions(some.view_directions, field.shape.sh_degree)[shown // intervals.size[1]]
        channels, from_density = field.channels, with_normal and field.normals is None
        values = torch.zeros(len(positions), channels + 3 * from_density, device=positions.device)
        values[shown, :channels] = field.radiance(codes, harmonics)
        if from_density:
            values[shown, channels:] = density_normals(field, positions[shown], features[shown], self.ndc)
        values = values.view(*intervals.size, -1) if len(values) else values.new_zeros(*intervals.size, values.shape[1])
        found = composite(densities, values, *intervals.ends(), lengths=some.direction_norms)
        assert found.depth is not None
        colour = field.shade(found.colour[:, :channels], 1 - found.transmittance, some.view_directions)
        normal = found.colour[:, slice(channels, None) if from_density else field.normals or slice(0, 3)]
        sums = torch.cat([colour, found.depth[:, None], normal], 1)
        sums, transmittance = _over_nothing(len(rays), hit, sums, found.transmittance)
        return sums[:, :3], transmittance, sums[:, 3], sums[:, 4:]


def _over_nothing(count: int, hit: Tensor, sums: Tensor, transmittance: Tensor) -> tuple[Tensor, Tensor]:
    """Sums over samples (count, C) and transmittance (count,) of all rays, from those of the rays `hit`; the others are empty."""
    all_sums, left = sums.new_zeros(count, sums.shape[1]), transmittance.new_ones(count)
    return all_sums.index_copy(0, hit, sums), left.index_copy(0, hit, transmittance)
