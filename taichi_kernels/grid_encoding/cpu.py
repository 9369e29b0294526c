"""CPU schedule of the feature grid: blocks of samples level by level, so that one level's rows stay in the cache.

The gradient to the table needs no atomics: a worker owns whole levels, or a share of a level's rows where there are more workers
than levels, and adds its samples in their order. The sums are the same for any number of workers.
"""

from functools import cache

import taichi as ti

from taichi_kernels.grid_encoding.cell import array_types, corner_weight, inside, slope, surroundings
from taichi_kernels.runtime import WORKER_STRIDE

BLOCK = 2048  # samples


@cache
def kernels(dtype, features: int):
    """(encode, table gradient, position gradient)."""
    corners = ti.types.vector(8, dtype)
    row, points, rows, samples, layouts = array_types(dtype, features)

    @ti.kernel
    def encode(
        positions: points,  # (N, 3)
        table: rows,  # (E, F)
        layout: layouts,  # (L, 5)
        out: samples,  # (N, L, F) out
        workers: int,
    ):
        for turn in range(workers * WORKER_STRIDE):
            if turn % WORKER_STRIDE == 0:
                start = turn // WORKER_STRIDE * BLOCK
                while start < positions.shape[0]:
                    for level in range(layout.shape[0]):
                        for s in range(start, ti.min(start + BLOCK, positions.shape[0])):
                            around, place = surroundings(positions[s], layout, level)
                            total = row(0.0)
                            for c in ti.static(range(8)):
                                total += corner_weight(c, place) * table[around[c]]
                            out[s, level] = total
                    start += workers * BLOCK

    @ti.kernel
    def table_gradient(
        positions: points, layout: layouts,
        grad: samples,  # (N, L, F)
        grad_table: rows,  # (E, F) in: zeros, out
        workers: int, shares: int,  # shares: workers on a level, a power of two
    ):
        for turn in range(workers * WORKER_STRIDE):
            if turn % WORKER_STRIDE == 0:
                task = turn // WORKER_STRIDE
                while task < layout.shape[0] * shares:
                    level, share = task // shares, task % shares
                    for s in range(positions.shape[0]):
                        around, place = surroundings(positions[s], layout, level)
                        g = grad[s, level]
                        for c in ti.static(range(8)):
                            if around[c] & (shares - 1) == share:
                                grad_table[around[c]] = grad_table[around[c]] + corner_weight(c, place) * g
                    task += workers

    @ti.kernel
    def position_gradient(
        positions: points, table: rows, layout: layouts, grad: samples,
        grad_positions: points,  # (N, 3) in: zeros, out
        workers: int,
    ):
        for turn in range(workers * WORKER_STRIDE):
            if turn % WORKER_STRIDE == 0:
                start = turn // WORKER_STRIDE * BLOCK
                while start < positions.shape[0]:
                    for level in range(layout.shape[0]):
                        for s in range(start, ti.min(start + BLOCK, positions.shape[0])):
                            p, g = positions[s], grad[s, level]
                            around, place = surroundings(p, layout, level)
                            values = corners(0.0)
                            for c in ti.static(range(8)):
                                values[c] = g.dot(table[around[c]])
                            grad_positions[s] = grad_positions[s] + inside(p, layout, level) * slope(values, place)
                    start += workers * BLOCK

    return encode, table_gradient, position_gradient
