"""The original NeRF: a coarse network that is sampled evenly along a ray, and a fine one that is sampled where the coarse one
found something."""

from dataclasses import asdict, dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from models.network_field import NetworkField, NetworkShape
from models.ray_model import RayModel
from models.rays import Ndc, Rays
from taichi_kernels.compositing import Composite, composite
from taichi_kernels.sampling import along, inverse_cdf, stratified

POINTS = 65_536  # that go through the network at a time, where no gradient is wanted
_ENDLESS = 1e10  # t: the length of an endless ray's last interval
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


class Traced(NamedTuple):
    """What rays composite to."""

    coarse: Composite
    best: Composite  # of the fine network, or of the coarse one where there is no other


class SampledField(RayModel):
    """One or two networks and how they are sampled: the model of `--method nerf --field mlp`."""

    def __init__(self, coarse: NetworkField, fine: NetworkField | None, sampling: Sampling, ndc: Ndc | None = None, *,
                 through_corners: bool = False):
        """Raises ValueError unless there is a fine network exactly where the sampling has places for it."""
        super().__init__(ndc, through_corners=through_corners)
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
        """The model of `state`."""
        settings, generator = state["settings"], torch.Generator()
        shapes = settings["coarse"], settings["fine"]
        coarse, fine = (shape and NetworkField(NetworkShape(**shape), generator) for shape in shapes)
        model = SampledField(coarse, fine, Sampling(**settings["sampling"]), settings["ndc"] and Ndc(*settings["ndc"]),
                             through_corners=settings["through_corners"])
        model.load_state_dict(state["tensors"])
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
        coarse = self._composite(self.coarse, rays, places, generator, noise)
        if self.fine is None:
            return Traced(coarse, coarse)
        middles = (places[:, 1:] + places[:, :-1]) / 2
        if jitter:
            shares = stratified(len(rays), s.importance, generator, places.device).to(places)
        else:
            shares = _even(s.importance, near).expand(len(rays), -1)
        more = inverse_cdf(middles, coarse.weights.detach()[:, 1:-1] + _FLOOR, shares)
        union = torch.cat([places, more], 1).sort(1).values
        return Traced(coarse, self._composite(self.fine, rays, union, generator, noise))

    def look(self, rays: Rays) -> tuple[Tensor, Tensor, Tensor]:
        """Colour (R, 3), transmittance (R,) and weighted depth (R,) of rays."""
        found = self.trace(rays).best
        return found.colour, found.transmittance, found.depth

    def _composite(self, field: NetworkField, rays: Rays, places: Tensor, generator, noise: float) -> Composite:
        positions = rays.origins[:, None] + places[..., None] * rays.directions[:, None]
        if torch.is_grad_enabled():
            raw, colours = field.raw(positions, rays.looking)
        else:  # the network's layers are much larger than what they make
            some = max(1, self.points // places.shape[1])
            parts = [field.raw(*part) for part in zip(positions.split(some), rays.looking.split(some), strict=True)]
            raw, colours = (torch.cat(part) for part in zip(*parts, strict=True))
        if noise:
            raw = raw + noise * torch.randn(raw.shape, generator=generator).to(raw.device)
        last = places[:, -1:] + _ENDLESS if self.sampling.endless else torch.full_like(places[:, -1:], self.sampling.far)
        ends = torch.cat([places[:, 1:], last], 1)
        return composite(field.activate(raw), colours, places, ends, lengths=rays.lengths)


def _even(count: int, like: Tensor) -> Tensor:
    """`count` numbers from 0 to 1, both among them."""
    return torch.linspace(0, 1, count, dtype=like.dtype, device=like.device)


def _jittered(places: Tensor, generator: torch.Generator) -> Tensor:
    """Each of the places (R, N) moved to a random one between the middles towards its neighbours."""
    middles = (places[:, 1:] + places[:, :-1]) / 2
    low, high = torch.cat([places[:, :1], middles], 1), torch.cat([middles, places[:, -1:]], 1)
    return low + (high - low) * torch.rand(places.shape, generator=generator).to(places.device)
