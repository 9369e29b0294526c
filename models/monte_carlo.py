"""The colour of a ray from a few calls of the radiance: reparameterized volume sampling's Monte-Carlo estimate.

With t_k = F^-1(u_k y) drawn from the ray's own density (taichi_kernels.inverse_transform), where y is its opacity, the mean of

    C = (y / K) sum_k c(t_k)

is int c dF, the composite of the density with all of its radiance. Its gradient can go through the t_k, dc/dt dt/ds
(`estimate`). That is exact if c is smooth and there is density all along. But if light jumps from one surface to the next, over a
gap without density, dc/dt does not see it. Divide the light into K equal fractions with one t_k in each, and let t*_k be the
border between two fractions. Then the same C is

    C = y c(t_K) - sum_k F(t*_k) (c(t_{k+1}) - c(t_k))

in which the opacity F at a fixed border depends on the density (`estimate_by_borders`). Light that moves from one fraction to the
next takes on its colour, over gaps too, and the radiance needs no gradient to positions. Its error comes from the changes inside
a fraction, and gets smaller with more of them. Source of the first: Morozov et al. 2023, section 4; the second is this program's
own.
"""

import torch
from torch import Tensor

from taichi_kernels.compositing import Composite
from taichi_kernels.inverse_transform import Drawn


def estimate(drawn: Drawn, values: Tensor) -> Tensor:
    """Estimates (R, C), over nothing, from values (R, K, C) of the radiance at the drawn t (R, K)."""
    return drawn.opacity[:, None] * values.mean(1)


def with_borders(strata: Tensor) -> Tensor:
    """Numbers (R, K), one in each of K equal parts of [0, 1], with the parts' borders between them, (R, 2 K - 1)."""
    rays, count = strata.shape
    borders = torch.arange(1, count + 1, dtype=strata.dtype, device=strata.device) / count
    return torch.stack([strata, borders.expand(rays, -1)], 2).flatten(1)[:, :-1]


def integrate(drawn: Drawn, t: Tensor, colours: Tensor) -> Composite:
    """The composite of R rays by `estimate_by_borders`: from colours (R, K, 3) at t (R, K), which was drawn for
    `with_borders`. Without weights; the depth is weighted, in t."""
    depth = estimate_by_borders(drawn, t[..., None])[:, 0]
    return Composite(estimate_by_borders(drawn, colours), 1 - drawn.opacity, depth, None, None)


def estimate_by_borders(drawn: Drawn, values: Tensor) -> Tensor:
    """The same estimates, from values (R, K, C) at every second t that was drawn for `with_borders`: those inside strata.
    The gradient to the density goes through the borders between them."""
    y, count = drawn.opacity, values.shape[1]
    inside = torch.arange(1, count, dtype=y.dtype, device=y.device) / count * y[:, None]
    moved = drawn.t[:, 1::2] - drawn.t[:, 1::2].detach()
    opacity = inside - (drawn.densities[:, 1::2] * (1 - inside)).detach() * moved
    return y[:, None] * values[:, -1] - (opacity[..., None] * values.diff(dim=1)).sum(1)
