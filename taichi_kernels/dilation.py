"""Histograms along rays, widened: the largest density within a distance of each point.

A histogram has weights w_i in bins [e_i, e_(i+1)], and density p_i = w_i / (e_(i+1) - e_i). Dilated by r it has the density
p'(s) = max of p over the bins that [s - r, s + r] meets, constant between the points e_i - r, e_i and e_i + r, so that samples
drawn from it also fall beside a narrow peak that moved a little. Source: Barron et al. 2022 (mip-NeRF 360), section 3.4.
"""

from functools import cache

import taichi as ti
from torch import Tensor

from taichi_kernels import runtime
from taichi_kernels.common.types import taichi_type


@cache
def _kernel(dtype):
    rows = ti.types.ndarray(dtype=dtype, ndim=2)

    @ti.kernel
    def dilate(
        edges: rows,  # (R, N + 1), ascending
        weights: rows,  # (R, N)
        radius: float,
        wide_edges: rows,  # (R, 3 N + 1) out
        wide_weights: rows,  # (R, 3 N) out
    ):
        for r in range(weights.shape[0]):
            bins = weights.shape[1]
            low, high = edges[r, 0], edges[r, bins]
            reach = ti.cast(radius, dtype)
            lefts, own, rights = 0, 0, 0  # how many of e_i - r, e_i and e_(i+1) + r are passed
            before = low
            for k in range(3 * bins + 1):
                # the next of three ascending lists: e_i - r of N bins, all edges, e_(i+1) + r of N bins
                a, b, c = edges[r, bins], edges[r, bins], edges[r, bins]
                if lefts < bins:
                    a = ti.max(edges[r, lefts] - reach, low)
                if own <= bins:
                    b = edges[r, own]
                if rights < bins:
                    c = ti.min(edges[r, rights + 1] + reach, high)
                nearest = ti.min(a, b, c)
                if k > 0:  # bins [rights, lefts) reach the interval that ends here
                    largest = ti.cast(0.0, dtype)
                    for i in range(rights, lefts):
                        width = edges[r, i + 1] - edges[r, i]
                        if width > 0.0:
                            largest = ti.max(largest, weights[r, i] / width)
                    wide_weights[r, k - 1] = largest * (nearest - before)
                wide_edges[r, k] = nearest
                before = nearest
                if lefts < bins and a <= nearest:
                    lefts += 1
                elif own <= bins and b <= nearest:
                    own += 1
                elif rights < bins:
                    rights += 1

    return dilate


def dilate(edges: Tensor, weights: Tensor, radius: float) -> tuple[Tensor, Tensor]:
    """Edges (R, 3 N + 1) and weights (R, 3 N) of histograms with edges (R, N + 1), ascending, and weights (R, N) >= 0, dilated by
    a radius in units of the edges; see the module's docstring. The domain stays the same; weights are not normalised.

    Not differentiable. Raises ValueError on shapes that do not fit, and for a negative radius.
    """
    rays, bins = weights.shape if weights.ndim == 2 else (-1, 0)
    if bins < 1 or edges.shape != (rays, bins + 1):
        raise ValueError(f"expected edges (R, N + 1) and weights (R, N); got {tuple(edges.shape)}, {tuple(weights.shape)}")
    if not radius >= 0:
        raise ValueError(f"expected a radius of at least 0; got {radius}")
    runtime.ensure_init()
    wide_edges, wide_weights = edges.new_empty(rays, 3 * bins + 1), weights.new_empty(rays, 3 * bins)
    if rays:
        inputs = [t.detach().contiguous() for t in (edges, weights)]
        _kernel(taichi_type(weights))(*inputs, radius, wide_edges, wide_weights)
    return wide_edges, wide_weights
