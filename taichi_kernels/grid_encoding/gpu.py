"""GPU schedule of the feature grid: a thread a sample and level, or a sample for the gradient to positions.

Many samples add to one row of the table. They do so in integers, multiples of a power of two that is chosen from the largest
gradient so that no sum can overflow: integer sums do not depend on their order, so that the result is the same every time.
"""

import math
from functools import cache

import taichi as ti
from torch import Tensor

from taichi_kernels.grid_encoding.cell import array_types, corner_weight, inside, slope, slope_change, surroundings, weight_slope


@cache
def kernels(dtype, features: int):
    """(encode, table gradient in integers, position gradient, gradients of <steps, it>); see the CPU schedule's."""
    corners = ti.types.vector(8, dtype)
    row, points, rows, samples, layouts = array_types(dtype, features)
    integers = ti.types.ndarray(dtype=ti.i64, ndim=2)

    @ti.kernel
    def encode(positions: points, table: rows, layout: layouts, out: samples):
        for s, level in out:
            around, fraction = surroundings(positions[s], layout, level)
            total = row(0.0)
            for c in ti.static(range(8)):
                total += corner_weight(c, fraction) * table[around[c]]
            out[s, level] = total

    @ti.kernel
    def table_gradient(
        positions: points, steps: points, layout: layouts, grad: samples, scale: dtype, sums: integers, along: ti.template()
    ):
        for s, level in grad:
            around, fraction = surroundings(positions[s], layout, level)
            g, step = grad[s, level] * scale, 0.0 * fraction
            if ti.static(along):
                step = inside(positions[s], layout, level) * steps[s]
            for c in ti.static(range(8)):
                weight = weight_slope(c, fraction, step) if ti.static(along) else corner_weight(c, fraction)
                for f in ti.static(range(features)):
                    ti.atomic_add(sums[around[c], f], ti.cast(weight * g[f], ti.i64))

    @ti.kernel
    def position_gradient(positions: points, table: rows, layout: layouts, grad: samples, grad_positions: points):
        for s in positions:
            p = positions[s]
            total = 0.0 * p
            for level in range(layout.shape[0]):
                around, fraction = surroundings(p, layout, level)
                g, values = grad[s, level], corners(0.0)
                for c in ti.static(range(8)):
                    values[c] = g.dot(table[around[c]])
                total += inside(p, layout, level) * slope(values, fraction)
            grad_positions[s] = total

    @ti.kernel
    def gradient_change(
        positions: points, steps: points, table: rows, layout: layouts, grad: samples, change: points, out: samples
    ):
        for s in positions:
            p = positions[s]
            total = 0.0 * p
            for level in range(layout.shape[0]):
                around, fraction = surroundings(p, layout, level)
                g, values, cells, features_change = grad[s, level], corners(0.0), inside(p, layout, level), row(0.0)
                step = cells * steps[s]
                for c in ti.static(range(8)):
                    values[c] = g.dot(table[around[c]])
                    features_change += weight_slope(c, fraction, step) * table[around[c]]
                total += cells * slope_change(values, fraction, step)
                out[s, level] = features_change
            change[s] = total

    return encode, table_gradient, position_gradient, gradient_change


def scale_for(grad: Tensor, growth: float = 1.0) -> float:
    """The power of two that gradients (N, L, F) are multiplied by: 8 N times the largest, times `growth`, stays below 2^63. 0 if
    all are 0, not a number if one of them is not finite."""
    largest = growth * float(grad.abs().max()) if grad.numel() else 0.0
    if not math.isfinite(largest):
        return math.nan
    if largest == 0:
        return 0.0
    return 2.0 ** (59 - math.frexp(largest)[1] - grad.shape[0].bit_length())
