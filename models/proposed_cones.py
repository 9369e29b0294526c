"""mip-NeRF 360: a network that sees the Gaussians of a pixel's cone, at intervals that small networks of density propose.

Rounds of proposals say where the weights of the large network are expected; it is evaluated once, where they are. Space may be
contracted around a ball, so that all that photographs show is learned. Source: Barron et al. 2022 (mip-NeRF 360).
"""

from dataclasses import asdict, dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from models.checks import check_mapping, check_number, check_record, check_tensors
from models.cones import frustum_gaussians
from models.contracted_gaussians import Ball, contracted_frustums, icosahedron_directions
from models.mip_field import widened
from models.network_field import NetworkField, NetworkShape, network_tensors, raw_in_parts
from models.proposal_sampler import Intervals, Proposal, ProposalSampler, Span
from models.ray_model import NETWORK_CHUNK, RayModel
from models.rays import Ndc, Rays, ndc_from
from models.volume import RayRendering
from taichi_kernels.compositing import Composite, composite


@dataclass(frozen=True)
class ConeSpan:
    """Where rays begin and end, t."""

    near: float
    far: float
    disparity: bool = False  # even intervals are even in 1 / t


class ConeNetwork(nn.Module):
    """A network over the Gaussians of frustums; contracted ones, along 21 directions, if there is a ball."""

    directions: Tensor

    def __init__(self, shape: NetworkShape, generator: torch.Generator, ball: Ball | None = None, *, cylinders: bool = False):
        """Raises ValueError for a shape that does not see Gaussians, or not those."""
        super().__init__()
        self.register_buffer("directions", icosahedron_directions(), persistent=False)
        if not shape.integrated or shape.axes != (3 if ball is None else len(self.directions)):
            raise ValueError("its network does not see its Gaussians")
        self.network, self.ball, self.cylinders = NetworkField(shape, generator), ball, cylinders
        self.points: int | None = None  # see `models.ray_model.RayModel`

    def forward(
        self, rays: Rays, edges: Tensor, generator: torch.Generator | None = None, noise: float = 0.0
    ) -> tuple[Tensor, Tensor | None]:
        """Densities (R, N) a world unit and colours (R, N, 3), if there are any, between edges (R, N + 1) in t; noise: standard
        deviation of the normal noise on raw densities, drawn from the generator."""

        def raw_of(some: slice) -> tuple[Tensor, Tensor | None]:
            part = rays[some]
            if self.ball is None:
                found = frustum_gaussians(part.origins, part.directions, part.radii, edges[some], cylinders=self.cylinders)
            else:
                found = contracted_frustums(part, edges[some], self.directions, self.ball)
            return self.network.raw(found.means, part.view_directions, found.variances)

        raw, colours = raw_in_parts(raw_of, edges[:, 1:], self.points, colours=self.network.shape.colours)
        if noise:
            raw = raw + noise * torch.randn(raw.shape, generator=generator).to(raw.device)
        densities = self.network.activate(raw)
        return densities if self.ball is None else densities / self.ball.radius, colours

    def of_intervals(self, rays: Rays, edges: Tensor) -> Tensor:
        """Densities (R, N), as `models.proposal_sampler.ProposalDensity` asks for them."""
        return self(rays, edges)[0]


class ConesTraced(NamedTuple):
    """R rays, as training needs them."""

    composite: Composite
    intervals: Intervals
    proposals: list[Proposal]


class ProposedCones(RayModel):
    """The model of `--field mip --sampler proposals`."""

    field_word, saved_as = "mip", "proposed_cones"

    def __init__(
        self,
        shape: NetworkShape,
        proposals: NetworkShape,
        counts: tuple[int, ...],
        span: ConeSpan,
        generator: torch.Generator,
        ball: Ball | None = None,
        ndc: Ndc | None = None,
    ):
        """counts: intervals of each round of proposals, and of the field. Raises ValueError for networks that do not fit."""
        super().__init__(ndc)
        if not (shape.colours and shape.use_directions) or proposals.colours:
            raise ValueError("its field has to have colours and to see directions, and its proposals must not")
        kind = {"ball": ball, "cylinders": ndc is not None}
        self.field = ConeNetwork(shape, generator, **kind)
        self.sampler = ProposalSampler([ConeNetwork(proposals, generator, **kind) for _ in counts[1:]], counts)
        self.contracted = ball is not None
        self.ray_span, self.proposal_shape, self.ball, self.chunk = span, proposals, ball, NETWORK_CHUNK

    @property
    def points(self) -> int | None:
        """Samples that go through a network at a time in rendering."""
        return self.field.points

    @points.setter
    def points(self, count: int | None) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]  # of all networks
        for part in self.modules():
            if isinstance(part, ConeNetwork):
                part.points = count

    @property
    def samples_per_ray(self) -> int:
        """Evaluations of all networks for a ray."""
        return sum(self.sampler.counts)

    def state(self, *, training: bool = True) -> dict:
        """The model as plain tensors and numbers; training needs the same ones as rendering."""
        settings = {
            "network": self.field.network.settings(),
            "proposal": asdict(self.proposal_shape),
            "counts": self.sampler.counts,
            "span": asdict(self.ray_span),
            "ball": self.ball and tuple(self.ball),
            "ndc": self.ndc and tuple(self.ndc),
        }
        tensors = {name: values.detach().cpu() for name, values in self.state_dict().items()}
        return {"kind": self.saved_as, "tensors": tensors, "settings": settings}

    @staticmethod
    def from_state(state: dict) -> "ProposedCones":
        """The model of `state`. Raises ValueError for parts that are missing or do not fit."""
        check_mapping("its field", state, ("settings", "tensors"))
        settings = check_mapping("its settings", state["settings"], ("network", "proposal", "counts", "span", "ball", "ndc"))
        span = check_record(ConeSpan, settings["span"], "its span")
        if not 0 <= span.near < span.far or (span.disparity and span.near == 0):
            raise ValueError(f"its rays go from {span.near:g} to {span.far:g}")
        for distance in (span.near, span.far):
            check_number("its span", distance, 1e-12 if span.disparity else 0, 1e12)
        if settings["ball"] is not None and settings["ndc"] is not None:
            raise ValueError("its space is contracted and in normalised device coordinates")
        counts = settings["counts"]
        if not isinstance(counts, tuple) or not 2 <= len(counts) <= 64:
            raise ValueError("its samples are not those of proposals and a field")
        for count in counts:
            check_number("its samples", count, 2, 65536, whole=True)
        shape, proposal = (check_record(NetworkShape, settings[name], f"its {name}") for name in ("network", "proposal"))
        expected = network_tensors(shape, "field.network.")  # before memory is taken
        for i in range(len(counts) - 1):
            expected |= network_tensors(proposal, f"sampler.fields.{i}.network.")
        tensors = check_tensors(state["tensors"], expected)
        ball, ndc = _ball_from(settings["ball"]), ndc_from(settings["ndc"])
        model = ProposedCones(shape, proposal, counts, span, torch.Generator(), ball, ndc)
        model.load_state_dict(tensors)
        return model

    def describe(self) -> str:
        """The networks' sizes and the samples, in words."""
        large, small, counts = self.field.network.shape, self.proposal_shape, self.sampler.counts
        numbers = sum(values.numel() for values in self.parameters())
        return (
            f"a network of {large.depth} x {large.width} units over cones, {counts[-1]} samples, and {len(counts) - 1} of "
            f"{small.depth} x {small.width} that propose them, {' + '.join(map(str, counts[:-1]))} samples; {numbers:,} numbers"
        )

    def trace(
        self,
        rays: Rays,
        generator: torch.Generator | None = None,
        *,
        anneal: float = 1.0,
        jitter: float = 1.0,
        noise: float = 0.0,
        learn_proposals: bool = False,
    ) -> ConesTraced:
        """Rays in the model's coordinates; differentiable in the field and, if asked, in the proposals' weights. `noise` is on
        the field's raw densities."""
        near, far = (rays.direction_norms.new_full((len(rays),), t) for t in (self.ray_span.near, self.ray_span.far))
        span = Span(near, far, torch.zeros_like(near) if self.ray_span.disparity else None)
        intervals, proposals = self.sampler(rays, span, generator, anneal=anneal, jitter=jitter, learn=learn_proposals)
        densities, colours = self.field(rays, intervals.t, generator, noise)
        assert colours is not None
        found = composite(densities, widened(colours), *intervals.ends(), lengths=rays.direction_norms)
        return ConesTraced(found, intervals, proposals)

    def render_rays(self, rays: Rays, *, with_normal: bool = False) -> RayRendering:
        """Colour, transmittance and depth of rays in the model's coordinates."""
        colour, transmittance, depth = self.trace(rays).composite[:3]
        assert depth is not None
        return RayRendering(colour, transmittance, depth)


def _ball_from(saved) -> Ball | None:
    """The ball of a state. Raises ValueError for numbers that make none."""
    if saved is None:
        return None
    if not isinstance(saved, tuple) or len(saved) != 2 or not isinstance(saved[0], tuple) or len(saved[0]) != 3:
        raise ValueError("its ball is not a center and a radius")
    center = [check_number("its ball's center", value, -1e12, 1e12) for value in saved[0]]
    return Ball((center[0], center[1], center[2]), check_number("its ball's radius", saved[1], 1e-12, 1e12))
