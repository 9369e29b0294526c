"""The original NeRF: a coarse network that is sampled evenly along a ray, and a fine one that is sampled where the coarse one
found something. The coarse one learns from a loss of its own, or, reparameterized, through the places of the fine one's samples.
"""

from dataclasses import asdict, dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from models.checks import check_mapping, check_number, check_record, check_tensors, check_truth
from models.monte_carlo import estimate_by_borders, with_borders
from models.network_field import NetworkField, NetworkShape, network_tensors
from models.ray_model import RayModel
from models.rays import Ndc, Rays, ndc_from
from taichi_kernels.compositing import Composite, composite
from taichi_kernels.inverse_transform import Drawn, draw_from_knots
from taichi_kernels.sampling import along, inverse_cdf, stratified

POINTS = 65_536  # that go through the network at a time, where no gradient is wanted
_ENDLESS = 1e10  # t: the length of an endless ray's last interval
_NOTHING = 1e-12  # of a density, and of a distance
_LEAST_SHARE = 0.05  # of the density before training, below which what the fine network corrects does not fall
_FLOOR = 1e-5  # weight that every bin has beside its own when places are drawn


@dataclass(frozen=True)
class Sampling:
    """Where rays are sampled."""

    near: float  # t
    far: float
    samples: int = 64  # evenly, for the coarse network
    importance: int = 0  # more of them, by the coarse network's weights, for the fine network; 0: there is none
    disparity: bool = False  # even in 1 / t
    endless: bool = False  # the last sample stands for all that lies behind it
    reparameterized: bool = False  # the coarse network is density alone, and gradients reach it through the places drawn from it
    union: bool = True  # the fine network sees the coarse one's samples too
    correcting: bool = False  # reparameterized: the fine network's density is the coarse one's, corrected, and not its own
    through_places: bool = True  # reparameterized: gradients reach the coarse network through the places, too where correcting
    estimated: bool = False  # reparameterized: the fine network has the radiance alone, which is averaged over its samples


class Traced(NamedTuple):
    """What rays composite to."""

    coarse: Composite | None  # None where the coarse network has no colours
    best: Composite  # of the fine network, or of the coarse one where there is no other


class SampledField(RayModel):
    """One or two networks and how they are sampled: the model of `--method nerf --field mlp`."""

    kind = "mlp"

    def __init__(self, coarse: NetworkField, fine: NetworkField | None, sampling: Sampling, ndc: Ndc | None = None, *,
                 through_corners: bool = False):
        """Raises ValueError unless there is a fine network exactly where the sampling has places for it, and the coarse network
        has colours exactly where it is looked at."""
        super().__init__(ndc, through_corners=through_corners)
        if sampling.reparameterized == coarse.shape.colours:
            raise ValueError("sampling.reparameterized goes with a coarse network without colours, and the other way round")
        if (sampling.estimated or sampling.correcting) and not sampling.reparameterized:
            raise ValueError("sampling.estimated and sampling.correcting are kinds of sampling.reparameterized")
        if not (sampling.correcting or sampling.through_places):
            raise ValueError("the coarse network learns by sampling.correcting, or through the places, or by both")
        if (fine is None) != (sampling.importance == 0):
            raise ValueError("a fine network needs sampling.importance > 0, and the other way round")
        self.coarse, self.fine, self.sampling, self.points = coarse, fine, sampling, POINTS

    def state(self, *, training: bool = True) -> dict:
        """The model as plain tensors and numbers; training needs no more of them than rendering."""
        settings = {
            "coarse": self.coarse.settings(), "fine": self.fine and self.fine.settings(), "sampling": asdict(self.sampling),
            "ndc": self.ndc and tuple(self.ndc), "through_corners": self.through_corners,
        }
        return {"kind": "mlp", "tensors": {k: v.detach().cpu() for k, v in self.state_dict().items()}, "settings": settings}

    @staticmethod
    def from_state(state: dict) -> "SampledField":
        """The model of `state`. Raises ValueError for one that this version would show as something else."""
        check_mapping("its field", state, ("settings", "tensors"))
        settings = check_mapping("its settings", state["settings"], ("coarse", "fine", "sampling", "ndc", "through_corners"))
        saved = check_mapping("its sampling", settings["sampling"])
        if saved.get("correcting") and "through_places" not in saved:
            raise ValueError("its networks are of an earlier version, whose fine density was corrected in another way")
        sampling = check_record(Sampling, saved, "its sampling")
        check_number("its samples", sampling.samples, 2, 65536, whole=True)
        check_number("its importance", sampling.importance, 0, 65536, whole=True)
        if not sampling.near < sampling.far:
            raise ValueError(f"its rays end at {sampling.far:g}, and they begin at {sampling.near:g}")
        check_truth("its through_corners", settings["through_corners"])
        names = ["coarse"] if settings["fine"] is None else ["coarse", "fine"]
        shapes = {name: check_record(NetworkShape, settings[name], f"its {name} network") for name in names}
        expected: dict[str, Tensor] = {}
        for name, shape in shapes.items():
            expected |= network_tensors(shape, f"{name}.")
        tensors = check_tensors(state["tensors"], expected)  # before memory for the networks is taken
        networks = {name: NetworkField(shape, torch.Generator()) for name, shape in shapes.items()}
        model = SampledField(networks["coarse"], networks.get("fine"), sampling, ndc_from(settings["ndc"]),
                             through_corners=settings["through_corners"])
        model.load_state_dict(tensors)
        return model

    def describe(self) -> str:
        """The networks' size, in words."""
        shape, count = self.coarse.shape, sum(values.numel() for values in self.parameters())
        return f"{'a network' if self.fine is None else 'two networks'} of {shape.depth} x {shape.width} units, {count:,} numbers"

    def trace(self, rays: Rays, generator: torch.Generator | None = None, *, jitter: float = 0.0, noise: float = 0.0) -> Traced:
        """Sample and composite rays; differentiable in the networks.

        jitter: by how much of the way to a random place of its own interval a sample moves, in [0, 1]; noise: deviation of the
        normal noise on raw densities. Both are drawn from the generator.
        """
        s = self.sampling
        near, far = (rays.lengths.new_full((len(rays),), t) for t in (s.near, s.far))
        places = along(near, far, _even(s.samples, near).expand(len(rays), -1), disparity=s.disparity)
        if jitter:
            places = places + jitter * (_jittered(places, generator) - places)
        coarse = None if s.reparameterized else self._composite(self.coarse, rays, places, generator, noise)
        if self.fine is None:
            return Traced(coarse, coarse)
        strata = generator if jitter else None
        spline = drawn = None
        if s.reparameterized:
            places[:, 0], places[:, -1] = s.near, s.far  # the spline covers the whole ray
            spline, _ = self._at(self.coarse, rays, places, generator, noise)
            shares = stratified(len(rays), s.importance, strata, places.device).to(places)
            shares = with_borders(shares) if s.estimated else shares
            least = self.start if s.correcting else 0.0  # what was given up is still looked at
            drawn = draw_from_knots(places, spline + least, shares, lengths=rays.lengths)
            more = drawn.places if s.through_places else drawn.places.detach()
        else:
            more = self._resampled(coarse, places, strata)
        if s.estimated:
            return Traced(None, self._estimated(rays, drawn, generator))
        if s.union:
            more = torch.cat([places, more], 1).sort(1).values
        offset = self._offset(places, spline, more) if s.correcting else None
        return Traced(coarse, self._composite(self.fine, rays, more, generator, noise, offset))

    def _resampled(self, coarse: Composite, places: Tensor, strata: torch.Generator | None) -> Tensor:
        """Places for the fine network by the coarse one's weights, without a gradient."""
        count = self.sampling.importance
        if strata is None:
            shares = _even(count, places).expand(len(places), -1)
        else:
            shares = stratified(len(places), count, strata, places.device).to(places)
        middles = (places[:, 1:] + places[:, :-1]) / 2
        return inverse_cdf(middles, coarse.weights.detach()[:, 1:-1] + _FLOOR, shares)

    def _estimated(self, rays: Rays, drawn: Drawn, generator) -> Composite:
        """What the radiance at the places drawn shows; see `models.monte_carlo`."""
        places = drawn.places[:, ::2].detach()
        _, colours = self._at(self.fine, rays, places, generator, 0.0)
        depth = estimate_by_borders(drawn, places[..., None])[:, 0]
        return Composite(estimate_by_borders(drawn, colours), 1 - drawn.opacity, depth, None, None)

    @property
    def calls(self) -> int:
        """Calls of the radiance for a ray, 0 where it is called at every sample."""
        return self.sampling.importance if self.sampling.estimated else 0

    @calls.setter
    def calls(self, count: int) -> None:
        """Raises ValueError for a model that does not estimate colours, or none."""
        if not self.sampling.estimated or count < 1:
            raise ValueError("it was not trained by --rvs --radiance_calls, or there are to be none")
        self.sampling = replace(self.sampling, importance=count)

    def _offset(self, knots: Tensor, spline: Tensor, places: Tensor) -> Tensor:
        """What the fine network's raw densities are corrections of: the logarithm of the coarse one's at places (R, N), a linear
        spline (R, K) between knots, beside what that was before training. It ends where the fine one could not undo it."""
        return torch.log(linear_spline(knots, spline, places) / self.start + _LEAST_SHARE)

    @property
    def start(self) -> Tensor:
        """The coarse network's density (1,) before training."""
        return self.coarse.activate(next(self.coarse.parameters()).new_zeros(1))

    def look(self, rays: Rays) -> tuple[Tensor, Tensor, Tensor]:
        """Colour (R, 3), transmittance (R,) and weighted depth (R,) of rays."""
        found = self.trace(rays).best
        return found.colour, found.transmittance, found.depth

    def _composite(
        self, field: NetworkField, rays: Rays, places: Tensor, generator, noise: float, offset: Tensor | None = None
    ) -> Composite:
        densities, colours = self._at(field, rays, places, generator, noise, offset)
        last = places[:, -1:] + _ENDLESS if self.sampling.endless else torch.full_like(places[:, -1:], self.sampling.far)
        ends = torch.cat([places[:, 1:], last], 1)
        return composite(densities, colours, places, ends, lengths=rays.lengths)

    def _at(
        self, field: NetworkField, rays: Rays, places: Tensor, generator, noise: float, offset: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Densities (R, N) and colours (R, N, 3), where the field has some, at places (R, N); offset: of raw densities."""
        positions = rays.origins[:, None] + places[..., None] * rays.directions[:, None]
        if torch.is_grad_enabled():
            raw, colours = field.raw(positions, rays.looking)
        else:  # the network's layers are much larger than what they make
            some = max(1, self.points // places.shape[1])
            parts = [field.raw(*part) for part in zip(positions.split(some), rays.looking.split(some), strict=True)]
            raw, colours = (None if part[0] is None else torch.cat(part) for part in zip(*parts, strict=True))
        if noise:
            raw = raw + noise * torch.randn(raw.shape, generator=generator).to(raw.device)
        return field.activate(raw if offset is None else raw + offset), colours


def linear_spline(knots: Tensor, values: Tensor, places: Tensor) -> Tensor:
    """Values (R, N) at places (R, N) between knots (R, K) with values (R, K); differentiable in values and places."""
    right = torch.searchsorted(knots.detach(), places.detach()).clamp(1, knots.shape[1] - 1)
    (a, b), (at_a, at_b) = ((each.gather(1, right - 1), each.gather(1, right)) for each in (knots, values))
    return at_a + (at_b - at_a) * (places - a) / (b - a).clamp_min(_NOTHING)


def _even(count: int, like: Tensor) -> Tensor:
    """`count` numbers from 0 to 1, both among them."""
    return torch.linspace(0, 1, count, dtype=like.dtype, device=like.device)


def _jittered(places: Tensor, generator: torch.Generator) -> Tensor:
    """Each of the places (R, N) moved to a random one between the middles towards its neighbours."""
    middles = (places[:, 1:] + places[:, :-1]) / 2
    low, high = torch.cat([places[:, :1], middles], 1), torch.cat([middles, places[:, -1:]], 1)
    return low + (high - low) * torch.rand(places.shape, generator=generator).to(places.device)
