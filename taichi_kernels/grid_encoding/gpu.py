"""GPU schedule of the feature grid: a thread a sample and level, or a sample for the gradient to positions.

Many samples add to one row of the table. They do so in integers, multiples of a power of two that is chosen from the largest
gradient so that no sum can overflow: integer sums do not depend on their order, so that the result is the same every time.
"""

import math
from functools import cache

import taichi as ti
from torch import Tensor

from taichi_kernels.grid_encoding.cell import array_types, corner_weight, inside, slope, surroundings


@cache
def kernels(dtype, features: int):
    """(encode, table gradient in integers, position gradient)."""
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
    def table_gradient(positions: points, layout: layouts, grad: samples, scale: dtype, sums: integers):
        for s, level in grad:
            around, fraction = surroundings(positions[s], layout, level)
            g = grad[s, level] * scale
            for c in ti.static(range(8)):
                for f in ti.static(range(features)):
                    ti.atomic_add(sums[around[c], f], ti.cast(corner_weight(c, fraction) * g[f], ti.i64))

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

    return encode, table_gradient, position_gradient


def scale_for(grad: Tensor) -> float:
    """The power of two that gradients (N, L, F) are multiplied by: 8 N times the largest stays below 2^63. 0 without any."""
    largest = float(grad.abs().max()) if grad.numel() else 0.0
    if not 0 < largest < math.inf:
        return 0.0
    return 2.0 ** (59 - math.frexp(largest)[1] - grad.shape[0].bit_length())
