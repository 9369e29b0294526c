"""Samples along rays: even, stratified, linear in inverse depth, and by the inverse of a piecewise-constant density.

Stratified samples are one in each of N equal parts of [0, 1], s = (i + u_i) / N, at t = near (1 - s) + far s, or
1/t = (1 - s)/near + s/far, evenly in disparity. Inverse-CDF samples invert F(t), the fraction of the weights before t: with
F(e_j) = sum_{i < j} w_i / sum w and linear in between, t = F^-1(u). If a ray's weights are all zero, F is even over the ray.
Source: Mildenhall et al. 2020, sections 4 and 5.2.
"""

from functools import cache

import taichi as ti
import torch
from torch import Tensor

from taichi_kernels import runtime
from taichi_kernels.common.types import taichi_type


@cache
def _inverse_kernel(dtype):
    rows = ti.types.ndarray(dtype=dtype, ndim=2)

    @ti.kernel
    def invert(
        edges: rows,  # (R, N + 1), ascending
        weights: rows,  # (R, N)
        uniforms: rows,  # (R, K) in [0, 1], ascending
        drawn: rows,  # (R, K) out
    ):
        for r in range(weights.shape[0]):
            bins = weights.shape[1]
            total = ti.cast(0.0, dtype)
            for i in range(bins):
                total += ti.max(weights[r, i], 0.0)
            i, before = 0, ti.cast(0.0, dtype)
            own = ti.max(weights[r, 0], 0.0)
            for k in range(uniforms.shape[1]):
                u = uniforms[r, k]
                if total > 0.0:
                    wanted = u * total
                    while i < bins - 1 and (before + own < wanted or own <= 0.0):
                        before += own
                        i += 1
                        own = ti.max(weights[r, i], 0.0)
                    fraction = ti.min(ti.max((wanted - before) / ti.max(own, 1e-30), 0.0), 1.0)
                    drawn[r, k] = edges[r, i] + fraction * (edges[r, i + 1] - edges[r, i])
                else:
                    drawn[r, k] = edges[r, 0] + u * (edges[r, bins] - edges[r, 0])

    return invert


def stratified(rays: int, count: int, generator: torch.Generator | None, device) -> Tensor:
    """(rays, count) ascending numbers in [0, 1): one at random in each of `count` equal parts; its middle without a generator."""
    if generator is None:
        return ((torch.arange(count, device=device) + 0.5) / count).expand(rays, count)
    noise = torch.rand(rays, count, generator=generator).to(device)
    return (torch.arange(count, device=device) + noise) / count


def along(near: Tensor, far: Tensor, fractions: Tensor, *, disparity: bool = False) -> Tensor:
    """The t (R, N) at fractions (R, N) of the way from near (R,) to far (R,), evenly in t or in 1/t."""
    near, far = near[:, None], far[:, None]
    if disparity:
        return 1 / ((1 - fractions) / near + fractions / far)
    return near + (far - near) * fractions


def inverse_cdf(edges: Tensor, weights: Tensor, uniforms: Tensor) -> Tensor:
    """Samples (R, K) of the piecewise-constant densities that weights (R, N) >= 0 in bins with edges (R, N + 1) make.

    uniforms (R, K) in [0, 1], ascending along each ray: so are the samples. Bins without weight get none while another has some.
    Not differentiable. Raises ValueError on shapes that do not fit.
    """
    rays, bins = weights.shape if weights.ndim == 2 else (-1, 0)
    if bins < 1 or edges.shape != (rays, bins + 1) or uniforms.ndim != 2 or len(uniforms) != rays:
        shapes = ", ".join(str(tuple(t.shape)) for t in (edges, weights, uniforms))
        raise ValueError(f"expected edges (R, N + 1), weights (R, N) and uniforms (R, K); got {shapes}")
    runtime.ensure_init()
    inputs = [t.detach().contiguous() for t in (edges, weights, uniforms)]
    drawn = torch.empty_like(inputs[2])
    if drawn.numel():
        _inverse_kernel(taichi_type(weights))(*inputs, drawn)
    return drawn
