"""Integrated directional encoding: spherical harmonics of a direction, on average over a lobe around it.

For degrees l = 1, 2, 4, ..., 2^(L-1) and orders m = 0 to l, with a unit direction (x, y, z) and a roughness r,

    Y_lm exp(-r l (l + 1) / 2),    Y_lm = N_lm Q_lm(z) (x + i y)^m

first the real parts of all, degree by degree, then the imaginary ones: 2 (2^L - 1 + L) numbers. The lobe is a von Mises-Fisher
distribution of concentration 1 / r, for which the factor is an approximation: exact for r = 0 and to first order in r, wrong by
at most .075, .040, .013, .0036 and .001 for l = 1, 2, 4, 8 and 16. A rough surface's lobe is wide, and high degrees fade. N Q
comes from the recurrence in l that keeps its digits for every degree:

    P_mm = (-1)^m sqrt((2 m + 1) / (4 pi) (2 m - 1)!! / (2 m)!!),   P_lm = a_lm (z P_(l-1)m - b_lm P_(l-2)m)
    a_lm = sqrt((4 l^2 - 1) / (l^2 - m^2)),   b_lm = sqrt(((l - 1)^2 - m^2) / (4 (l - 1)^2 - 1))

Source: Verbin et al. 2022 (Ref-NeRF), eq. 6 to 8.
"""

import math
from functools import cache

import taichi as ti
import torch
from torch import Tensor

from taichi_kernels import runtime
from taichi_kernels.common.derivatives import once_differentiable
from taichi_kernels.common.types import taichi_type

MOST_LEVELS = 5  # degrees up to 16
_LANES = 16  # directions that the CPU works on at a time


def columns(levels: int) -> int:
    """How many numbers encode a direction."""
    return 2 * (2**levels - 1 + levels)


@cache
def _recurrence(levels: int) -> tuple[Tensor, Tensor, Tensor]:
    """(P_mm (m,); a and b (l, m, 2); for each degree l its first column and its l (l + 1) / 2, or -1 if it is not encoded)."""
    most = 2 ** (levels - 1)
    start, factors = torch.zeros(most + 1, dtype=torch.float64), torch.zeros(most + 1, most + 1, 2, dtype=torch.float64)
    product = 1 / (4 * math.pi)
    for m in range(most + 1):
        start[m] = (-1) ** m * math.sqrt((2 * m + 1) * product)
        product *= (2 * m + 1) / (2 * m + 2)
        for degree in range(m + 1, most + 1):
            factors[degree, m, 0] = math.sqrt((4 * degree * degree - 1) / (degree * degree - m * m))
            below = (degree - 1) ** 2
            factors[degree, m, 1] = math.sqrt((below - m * m) / (4 * below - 1)) if degree > m + 1 else 0.0
    first, degrees = 0, torch.full((most + 1,), -1, dtype=torch.int32)
    for level in range(levels):
        degrees[2**level] = first
        first += 2**level + 1
    return start, factors, degrees


@cache
def _kernels(dtype, levels: int, lanes: int, stride: int):
    """(forward, backward): order by order over `lanes` directions at a time, which lie in local arrays."""
    vectors, scalars, rows = (
        ti.types.ndarray(dtype=ti.types.vector(3, dtype), ndim=1),
        ti.types.ndarray(dtype=dtype, ndim=1),
        ti.types.ndarray(dtype=dtype, ndim=2),
    )
    factors_type, degrees_type = ti.types.ndarray(dtype=dtype, ndim=3), ti.types.ndarray(dtype=ti.i32, ndim=1)
    chunk, faded = ti.types.vector(lanes, dtype), ti.types.vector(lanes * levels, dtype)
    most, half = 2 ** (levels - 1), columns(levels) // 2

    @ti.func
    def fades(roughness: ti.template(), start, size, fade: ti.template()):
        for i in range(size):
            for level in ti.static(range(levels)):
                degree = ti.static(2.0**level)
                fade[level * lanes + i] = ti.exp(-0.5 * degree * (degree + 1.0) * roughness[start + i])

    @ti.func
    def level_of(degree):
        """The exponent of a degree that is a power of two."""
        level = 0
        while degree > 1:
            degree, level = degree >> 1, level + 1
        return level

    @ti.kernel
    def forward(
        directions: vectors, roughness: scalars,  # (N, 3), (N,)
        begin: scalars, factors: factors_type, degrees: degrees_type,  # see `_recurrence`
        out: rows,  # (N, columns) out
        workers: int,
    ):
        for turn in range(workers * stride):
            if turn % stride == 0:
                start = turn // stride * lanes
                while start < directions.shape[0]:
                    size = ti.min(lanes, directions.shape[0] - start)
                    x, y, z, real, imaginary = chunk(0.0), chunk(0.0), chunk(0.0), chunk(1.0), chunk(0.0)
                    fade = faded(0.0)
                    fades(roughness, start, size, fade)
                    for i in range(size):
                        d = directions[start + i]
                        x[i], y[i], z[i] = d[0], d[1], d[2]
                    for m in range(most + 1):
                        now, last = chunk(0.0), chunk(0.0)
                        for i in range(lanes):
                            now[i] = begin[m]
                        for degree in range(m, most + 1):
                            if degree > m:
                                a, b = factors[degree, m, 0], factors[degree, m, 1]
                                for i in range(lanes):
                                    new = a * (z[i] * now[i] - b * last[i])
                                    last[i], now[i] = now[i], new
                            if degrees[degree] >= 0:
                                column, level = degrees[degree] + m, level_of(degree)
                                for i in range(size):
                                    value = fade[level * lanes + i] * now[i]
                                    out[start + i, column] = value * real[i]
                                    out[start + i, half + column] = value * imaginary[i]
                        for i in range(lanes):
                            turned = x[i] * real[i] - y[i] * imaginary[i]
                            imaginary[i], real[i] = x[i] * imaginary[i] + y[i] * real[i], turned
                    start += workers * lanes

    @ti.kernel
    def backward(
        directions: vectors, roughness: scalars, begin: scalars, factors: factors_type, degrees: degrees_type,
        grad: rows,  # (N, columns)
        to_directions: vectors, to_roughness: scalars,  # (N, 3), (N,) out
        workers: int,
    ):
        for turn in range(workers * stride):
            if turn % stride == 0:
                start = turn // stride * lanes
                while start < directions.shape[0]:
                    size = ti.min(lanes, directions.shape[0] - start)
                    x, y, z, real, imaginary = chunk(0.0), chunk(0.0), chunk(0.0), chunk(1.0), chunk(0.0)
                    to_x, to_y, to_z, to_r = chunk(0.0), chunk(0.0), chunk(0.0), chunk(0.0)
                    lower, lower_i = chunk(0.0), chunk(0.0)  # (x + i y)^(m - 1)
                    fade = faded(0.0)
                    fades(roughness, start, size, fade)
                    for i in range(size):
                        d = directions[start + i]
                        x[i], y[i], z[i] = d[0], d[1], d[2]
                    for m in range(most + 1):
                        now, last, slope, last_slope = chunk(0.0), chunk(0.0), chunk(0.0), chunk(0.0)
                        for i in range(lanes):
                            now[i] = begin[m]
                        for degree in range(m, most + 1):
                            if degree > m:
                                a, b = factors[degree, m, 0], factors[degree, m, 1]
                                for i in range(lanes):
                                    new_slope = a * (now[i] + z[i] * slope[i] - b * last_slope[i])
                                    new = a * (z[i] * now[i] - b * last[i])
                                    last[i], now[i] = now[i], new
                                    last_slope[i], slope[i] = slope[i], new_slope
                            if degrees[degree] >= 0:
                                column, level = degrees[degree] + m, level_of(degree)
                                for i in range(size):
                                    g, h = grad[start + i, column], grad[start + i, half + column]
                                    f = fade[level * lanes + i]
                                    along = f * (g * real[i] + h * imaginary[i])
                                    to_z[i] += along * slope[i]
                                    to_r[i] -= 0.5 * degree * (degree + 1) * along * now[i]
                                    to_x[i] += m * f * now[i] * (g * lower[i] + h * lower_i[i])
                                    to_y[i] += m * f * now[i] * (h * lower[i] - g * lower_i[i])
                        for i in range(lanes):
                            lower[i], lower_i[i] = real[i], imaginary[i]
                            turned = x[i] * real[i] - y[i] * imaginary[i]
                            imaginary[i], real[i] = x[i] * imaginary[i] + y[i] * real[i], turned
                    for i in range(size):
                        to_directions[start + i] = ti.Vector([to_x[i], to_y[i], to_z[i]])
                        to_roughness[start + i] = to_r[i]
                    start += workers * lanes

    return forward, backward


def _kernels_for(directions: Tensor, levels: int):
    """The kernels, and how many workers they have."""
    lanes, stride, workers = runtime.chunking(len(directions), _LANES)
    return _kernels(taichi_type(directions), levels, lanes, stride), workers


class _EncodeReflections(torch.autograd.Function):
    @staticmethod
    def forward(ctx, directions, roughness, levels):
        inputs = [t.detach().contiguous() for t in (directions, roughness)]
        start, factors, degrees = _recurrence(levels)
        inputs += [start.to(directions), factors.to(directions), degrees.to(directions.device)]
        out = directions.new_empty(len(directions), columns(levels))
        if len(directions):
            kernels, workers = _kernels_for(out, levels)
            kernels[0](*inputs, out, workers)
        ctx.save_for_backward(*inputs, directions, roughness)
        ctx.levels = levels
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        inputs = [t.detach() for t in ctx.saved_tensors[:5]]
        results = [torch.zeros_like(t) for t in inputs[:2]]
        if len(grad):
            kernels, workers = _kernels_for(grad, ctx.levels)
            kernels[1](*inputs, grad.contiguous(), *results, workers)
        return *results, None


def encode_reflections(directions: Tensor, roughness: Tensor, levels: int) -> Tensor:
    """The integrated directional encoding (N, 2 (2^L - 1 + L)) of reflected directions; see the module's docstring.

    directions (N, 3), unit; roughness (N,) >= 0: the inverse of the lobe's concentration; levels: L, from 1 to 5. Differentiable
    once in both; the gradient to directions is that of the polynomials, which takes x, y and z as independent. Raises ValueError
    on shapes that do not fit.
    """
    if directions.ndim != 2 or directions.shape[1] != 3 or roughness.shape != directions.shape[:1]:
        shapes = f"{tuple(directions.shape)}, {tuple(roughness.shape)}"
        raise ValueError(f"expected directions (N, 3) and roughness (N,); got {shapes}")
    if not 1 <= levels <= MOST_LEVELS:
        raise ValueError(f"expected 1 to {MOST_LEVELS} levels; got {levels}")
    runtime.ensure_init()
    return _EncodeReflections.apply(directions, roughness, levels)
