"""Ways to choose the fine network's samples from the coarse network's results, a class each.

Each is a `models.volume.Sampler`: it turns a coarse pass over rays into the fine network's samples. Sources: Mildenhall et al.
2020 (`WeightSampler`), Morozov et al. 2023 (`OpacitySampler`); the corrected density and `MonteCarloSampler` are new here.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from models.monte_carlo import with_borders
from models.rays import Rays
from taichi_kernels.compositing import Composite
from taichi_kernels.inverse_transform import Drawn, draw_from_knots
from taichi_kernels.sampling import inverse_cdf, stratified

_NOTHING = 1e-12  # of a density, and of a distance
_LEAST_FRACTION = 0.05  # of the density before training: the density that the fine network corrects is never below it
_FLOOR = 1e-5  # weight that is added to every bin when samples are drawn


class CoarsePass(NamedTuple):
    """The coarse network's results along R rays."""

    t: Tensor  # (R, K)
    composite: Composite | None  # None if it has no colours
    densities: Tensor | None = None  # (R, K) a world unit, knots of a linear spline; None if it has colours
    initial_density: Tensor | None = None  # (1,) before training


class FineSamples(NamedTuple):
    """The t at which the fine network is evaluated."""

    t: Tensor  # (R, N), ascending along a ray
    raw_offset: Tensor | None = None  # (R, N) added to its raw densities
    drawn: Drawn | None = None  # if the samples average the radiance alone, see `models.monte_carlo`


@dataclass(frozen=True)
class WeightSampler:
    """Samples at the inverse CDF of the coarse network's weights, without a gradient."""

    count: int
    union: bool  # the coarse samples are kept too

    def samples(self, rays: Rays, coarse: CoarsePass, generator: torch.Generator | None) -> FineSamples:
        """t (R, count), or (R, K + count) with the union; stratified at random with a generator, else even."""
        assert coarse.composite is not None and coarse.composite.weights is not None
        if generator is None:
            numbers = evenly(self.count, coarse.t).expand(len(rays), -1)
        else:
            numbers = stratified(len(rays), self.count, generator, coarse.t.device).to(coarse.t)
        middles = (coarse.t[:, 1:] + coarse.t[:, :-1]) / 2
        t = inverse_cdf(middles, coarse.composite.weights.detach()[:, 1:-1] + _FLOOR, numbers)
        return FineSamples(_union(coarse.t, t) if self.union else t)


@dataclass(frozen=True)
class OpacitySampler:
    """Samples at the inverse of the opacity of the coarse density's spline: reparameterized volume sampling."""

    count: int
    union: bool
    t_gradients: bool  # gradients reach the coarse density through t
    correcting: bool  # the fine network corrects the coarse density instead of having its own

    def samples(self, rays: Rays, coarse: CoarsePass, generator: torch.Generator | None) -> FineSamples:
        """t (R, count), or (R, K + count) with the union, and the offset of raw densities if the fine density corrects."""
        assert coarse.densities is not None and coarse.initial_density is not None
        numbers = stratified(len(rays), self.count, generator, coarse.t.device).to(coarse.t)
        least = coarse.initial_density if self.correcting else 0.0  # regions that lost their density are still sampled
        drawn = draw_from_knots(coarse.t, coarse.densities + least, numbers, lengths=rays.direction_norms)
        t = drawn.t if self.t_gradients else drawn.t.detach()
        t = _union(coarse.t, t) if self.union else t
        if not self.correcting:
            return FineSamples(t)
        # log(spline(t) / initial density), but not so low that the fine network could not undo it
        spline = linear_spline(coarse.t, coarse.densities, t)
        return FineSamples(t, torch.log(spline / coarse.initial_density + _LEAST_FRACTION))


@dataclass(frozen=True)
class MonteCarloSampler:
    """A few samples of the fine network's radiance, drawn from the coarse density alone."""

    count: int

    def samples(self, rays: Rays, coarse: CoarsePass, generator: torch.Generator | None) -> FineSamples:
        """t (R, count), one in each of as many equal parts of the light; `drawn` also has the borders between the parts."""
        assert coarse.densities is not None
        numbers = with_borders(stratified(len(rays), self.count, generator, coarse.t.device).to(coarse.t))
        drawn = draw_from_knots(coarse.t, coarse.densities, numbers, lengths=rays.direction_norms)
        return FineSamples(drawn.t[:, ::2].detach(), drawn=drawn)


def linear_spline(knots: Tensor, values: Tensor, t: Tensor) -> Tensor:
    """Values (R, N) at t (R, N) between knots (R, K) with values (R, K); differentiable in values and t."""
    right = torch.searchsorted(knots.detach(), t.detach()).clamp(1, knots.shape[1] - 1)
    (a, b), (at_a, at_b) = ((each.gather(1, right - 1), each.gather(1, right)) for each in (knots, values))
    return at_a + (at_b - at_a) * (t - a) / (b - a).clamp_min(_NOTHING)


def evenly(count: int, like: Tensor) -> Tensor:
    """`count` numbers from 0 to 1, both among them."""
    return torch.linspace(0, 1, count, dtype=like.dtype, device=like.device)


def jittered(t: Tensor, generator: torch.Generator) -> Tensor:
    """Each of t (R, N) moved to a random one between the middles towards its neighbours."""
    middles = (t[:, 1:] + t[:, :-1]) / 2
    low, high = torch.cat([t[:, :1], middles], 1), torch.cat([middles, t[:, -1:]], 1)
    return low + (high - low) * torch.rand(t.shape, generator=generator).to(t.device)


def _union(one: Tensor, other: Tensor) -> Tensor:
    return torch.cat([one, other], 1).sort(1).values
