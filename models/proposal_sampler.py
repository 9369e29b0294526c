"""Intervals along rays, drawn in rounds from the weights of small proposal fields.

A round divides each ray in N intervals, whose weights under its proposal field say where the next round, or the field itself,
has its intervals. Intervals are drawn as follows: the weights are dilated (`taichi_kernels.dilation`), raised to the power of
`anneal`, and inverted at N even numbers, moved together by one random number a ray; the results are the middles of the
intervals, whose edges lie half way between them. Nothing is differentiated through the edges. Source: Barron et al. 2022
(mip-NeRF 360), sections 3.1 and 3.4.

Positions along a ray are s in [0, 1] from where it enters to where it leaves: linear in t, or, in unbounded scenes, linear in
1 / (t + offset), so that intervals grow with the distance.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol, cast

import torch
from torch import Tensor, nn

from models.proposal_field import ProposalField
from models.rays import Rays
from taichi_kernels.compositing import composite
from taichi_kernels.dilation import dilate
from taichi_kernels.rays import box_intersection
from taichi_kernels.sampling import along, inverse_cdf

_DILATION, _OF_A_BIN = 0.0025, 0.5  # dilation in s: a constant, and a fraction of a bin if all bins were even
_ANNEALED = 10.0  # slope of the exponent at the start
_NOTHING = 1e-9  # of a width, and of a density
_FLOOR = 1e-3  # weight that an even histogram adds: a proposal without density anywhere is sampled evenly


class Span(NamedTuple):
    """What s in [0, 1] means on R rays."""

    near: Tensor  # (R,) t
    far: Tensor  # (R,) t
    offset: Tensor | None  # (R,) t: t is linear in s if None, else 1 / (t + offset) is

    def __getitem__(self, rays) -> "Span":
        """Of some of the rays: a mask or indices."""
        return Span(self.near[rays], self.far[rays], None if self.offset is None else self.offset[rays])

    def t(self, s: Tensor) -> Tensor:
        """The t (R, N) of s (R, N)."""
        if self.offset is None:
            return along(self.near, self.far, s)
        return along(self.near + self.offset, self.far + self.offset, s, disparity=True) - self.offset[:, None]


class Intervals(NamedTuple):
    """N intervals on each of R rays."""

    s: Tensor  # (R, N + 1) edges in [0, 1], ascending
    t: Tensor  # (R, N + 1) edges

    def __getitem__(self, rays) -> "Intervals":
        """Of some of the rays: a mask or indices."""
        return Intervals(self.s[rays], self.t[rays])

    @property
    def size(self) -> tuple[int, int]:
        """(R, N)."""
        return len(self.s), self.s.shape[1] - 1

    def ends(self) -> tuple[Tensor, Tensor]:
        """t_starts and t_ends (R, N)."""
        return self.t[:, :-1], self.t[:, 1:]


class Proposal(NamedTuple):
    """A round of a proposal field."""

    intervals: Intervals
    densities: Tensor  # (R, N) a world unit; differentiable in the proposal field
    weights: Tensor  # (R, N); differentiable in the proposal field


def annealing(done: float) -> float:
    """The exponent of weights after this fraction of the training: from 0, even sampling, to 1; s x / ((s - 1) x + 1)."""
    return _ANNEALED * done / ((_ANNEALED - 1) * done + 1)


def even_numbers(rays: int, count: int, generator: torch.Generator | None, device, jitter: float = 1.0) -> Tensor:
    """(rays, count) ascending numbers in [0, 1), 1 / count apart; with a generator, moved by a random number for each ray."""
    numbers = (torch.arange(count, device=device) + 0.5) / count
    if generator is None:
        return numbers.expand(rays, -1)
    return numbers + (jitter / count) * (torch.rand(rays, 1, generator=generator).to(device) - 0.5)


def edges_between(middles: Tensor) -> Tensor:
    """Edges (R, N + 1) of intervals around middles (R, N) in [0, 1], ascending: half way between them; the first and the last
    middle have edges as far on either side, in [0, 1]."""
    inner = (middles[:, 1:] + middles[:, :-1]) / 2
    first = (2 * middles[:, :1] - inner[:, :1]).clamp_min(0)
    last = (2 * middles[:, -1:] - inner[:, -1:]).clamp_max(1)
    return torch.cat([first, inner, last], 1)


def weights_of(densities: Tensor, intervals: Intervals, norms: Tensor) -> Tensor:
    """Weights (R, N) of densities (R, N) a world unit, norms (R,) world units per t; differentiable in densities."""
    no_colour = torch.zeros_like(densities)[..., None].detach()
    found = composite(densities, no_colour, *intervals.ends(), lengths=norms, depth=False)
    assert found.weights is not None
    return found.weights


class ProposalDensity(Protocol):
    """What a proposal is: a module that has a density of intervals."""

    def of_intervals(self, rays: Rays, edges: Tensor) -> Tensor:
        """Densities (R, N) a world unit between edges (R, N + 1) in t; differentiable in its parameters."""
        ...


class ProposalSampler(nn.Module):
    """Rounds of proposals, see `ProposalDensity`, and the number of intervals that the field has at last.

    counts: intervals of each round, and of the field. near, far, offset: of unbounded scenes, in world
    units along a ray, see `Span`; if offset is 0, rays begin and end at the fields' box.
    """

    def __init__(
        self, fields: Sequence[nn.Module], counts: tuple[int, ...], *, near: float = 0.0, far: float = 0.0, offset: float = 0.0
    ):
        super().__init__()
        self.fields = nn.ModuleList(fields)
        self.counts, self.near, self.far, self.offset = counts, near, far, offset

    def span(self, rays: Rays) -> Span:
        """Where rays begin and end; a ray that misses the box is of no length."""
        if self.offset:
            return Span(*(distance / rays.direction_norms for distance in (self.near, self.far, self.offset)))
        field = self.fields[0]
        assert isinstance(field, ProposalField)
        near, far = box_intersection(rays.origins, rays.directions, field.box)
        return Span(near, far, None)

    def forward(
        self,
        rays: Rays,
        span: Span,
        generator: torch.Generator | None = None,
        *,
        anneal: float = 1.0,
        jitter: float = 1.0,
        learn: bool = False,
    ) -> tuple[Intervals, list[Proposal]]:
        """The field's intervals, and the rounds that led there; learn: whether these are differentiable.

        Intervals are even with `anneal` 0; a generator moves them by `jitter` of an interval, the same for all of a ray.
        """
        rounds: list[Proposal] = []
        intervals, product = self._draw(None, span, self.counts[0], generator, 0.0, anneal, jitter), self.counts[0]
        for field, count in zip(cast("Iterable[ProposalDensity]", self.fields), self.counts[1:], strict=True):
            with torch.set_grad_enabled(learn):
                densities = field.of_intervals(rays, intervals.t)
                weights = weights_of(densities, intervals, rays.direction_norms)
            rounds.append(Proposal(intervals, densities, weights))
            dilation = _DILATION + _OF_A_BIN / product
            intervals, product = self._draw(rounds[-1], span, count, generator, dilation, anneal, jitter), product * count
        return intervals, rounds

    @torch.no_grad()
    def _draw(
        self, proposal: Proposal | None, span: Span, count: int, generator, dilation: float, anneal: float, jitter: float
    ) -> Intervals:
        numbers = even_numbers(len(span.near), count, generator, span.near.device, jitter)
        if proposal is not None:
            s, weights = proposal.intervals.s, proposal.weights
            s, weights = dilate(s, weights, dilation)
            weights = weights + _FLOOR * s.diff()
            if anneal < 1:  # densities to the power: a bin that is cut in two keeps its weight
                width = s.diff().clamp_min(_NOTHING)
                weights = width * torch.exp(anneal * torch.log(weights / width + _NOTHING))  # x ** a depends on the threads
            numbers = inverse_cdf(s, weights, numbers)
        s = edges_between(numbers)
        return Intervals(s, span.t(s))
