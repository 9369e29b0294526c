"""CPU schedule of the feature grid: each worker takes its samples level by level, so that one level's rows stay in the cache.

Rows and weights of the corners of a few samples are worked out together, in local arrays, which the compiler vectorises; the
reads and writes of the table that follow can't be.

The gradient to the table needs no atomics: a worker owns whole levels, or a part of a level's rows if there are more workers
than levels, and adds its samples in their order. The sums are the same for any number of workers.
"""

from functools import cache

import taichi as ti

from taichi_kernels.grid_encoding.cell import array_types, corner_weight, inside, slope, slope_change, surroundings, weight_slope
from taichi_kernels.runtime import WORKER_STRIDE

_LANES = 16  # samples whose corners are worked out together


@ti.func
def part_of(samples, worker, workers):
    """The first of a worker's samples, and the one after its last. It has a multiple of the lanes, so that the same samples are
    worked out together for any number of workers."""
    count = (samples + workers * _LANES - 1) // (workers * _LANES) * _LANES
    return ti.min(worker * count, samples), ti.min((worker + 1) * count, samples)


@ti.func
def corners_of(
    positions: ti.template(), steps: ti.template(), first, layout: ti.template(), level, around: ti.template(),
    weights: ti.template(), along: ti.template(),
):
    """The rows around the samples from `first` on, and their weights, or, if `along`, how fast these grow along the samples'
    steps; (8, lanes) each; the last sample's past the end."""
    for i in range(_LANES):
        sample = ti.min(first + i, positions.shape[0] - 1)
        rows_of_one, fraction = surroundings(positions[sample], layout, level)
        step = 0.0 * fraction
        if ti.static(along):
            step = inside(positions[sample], layout, level) * steps[sample]
        for c in ti.static(range(8)):
            around[c * _LANES + i] = rows_of_one[c]
            weights[c * _LANES + i] = weight_slope(c, fraction, step) if ti.static(along) else corner_weight(c, fraction)


@ti.func
def cells_of(positions: ti.template(), first, layout: ti.template(), level, around: ti.template(), fractions: ti.template()):
    """The rows around the samples from `first` on, (8, lanes), and their fractions of the way between them, (3, lanes)."""
    for i in range(_LANES):
        rows_of_one, fraction = surroundings(positions[ti.min(first + i, positions.shape[0] - 1)], layout, level)
        for c in ti.static(range(8)):
            around[c * _LANES + i] = rows_of_one[c]
        for a in ti.static(range(3)):
            fractions[a * _LANES + i] = fraction[a]


@ti.func
def lane(vectors: ti.template(), i):
    """Lane i of vectors (3, lanes)."""
    return ti.Vector([vectors[i], vectors[_LANES + i], vectors[2 * _LANES + i]])


@ti.func
def corners_in(values: ti.template(), i):
    """Lane i of values (8, lanes) at corners."""
    return ti.Vector([values[c * _LANES + i] for c in ti.static(range(8))])


@cache
def kernels(dtype, features: int):
    """(encode, table gradient, position gradient, gradients of <steps, position gradient> to positions and features' weights).

    The table gradient takes steps (N, 3) of the samples too: if `along`, it is of how fast features change along these.
    """
    many_rows, many_weights = ti.types.vector(8 * _LANES, ti.i32), ti.types.vector(8 * _LANES, dtype)
    many_fractions = ti.types.vector(3 * _LANES, dtype)
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
                around, weights = many_rows(0), many_weights(0.0)
                start, end = part_of(positions.shape[0], turn // WORKER_STRIDE, workers)
                for level in range(layout.shape[0]):
                    first = start
                    while first < end:
                        corners_of(positions, positions, first, layout, level, around, weights, False)
                        for i in range(ti.min(_LANES, end - first)):
                            total = row(0.0)
                            for c in ti.static(range(8)):
                                total += weights[c * _LANES + i] * table[around[c * _LANES + i]]
                            out[first + i, level] = total
                        first += _LANES

    @ti.kernel
    def table_gradient(
        positions: points, steps: points, layout: layouts,
        grad: samples,  # (N, L, F)
        grad_table: rows,  # (E, F) in: zeros, out
        workers: int, parts: int,  # parts: workers on a level, a power of two
        along: ti.template(),
    ):
        for turn in range(workers * WORKER_STRIDE):
            if turn % WORKER_STRIDE == 0:
                around, weights = many_rows(0), many_weights(0.0)
                task = turn // WORKER_STRIDE
                while task < layout.shape[0] * parts:
                    level, part, first = task // parts, task % parts, 0
                    while first < positions.shape[0]:
                        corners_of(positions, steps, first, layout, level, around, weights, along)
                        for i in range(ti.min(_LANES, positions.shape[0] - first)):
                            g = grad[first + i, level]
                            for c in ti.static(range(8)):
                                r = around[c * _LANES + i]
                                if r & (parts - 1) == part:
                                    grad_table[r] = grad_table[r] + weights[c * _LANES + i] * g
                        first += _LANES
                    task += workers

    @ti.kernel
    def position_gradient(
        positions: points, table: rows, layout: layouts, grad: samples,
        grad_positions: points,  # (N, 3) in: zeros, out
        workers: int,
    ):
        for turn in range(workers * WORKER_STRIDE):
            if turn % WORKER_STRIDE == 0:
                around, fractions, values = many_rows(0), many_fractions(0.0), many_weights(0.0)
                start, end = part_of(positions.shape[0], turn // WORKER_STRIDE, workers)
                for level in range(layout.shape[0]):
                    first = start
                    while first < end:
                        cells_of(positions, first, layout, level, around, fractions)
                        for i in range(ti.min(_LANES, end - first)):
                            for c in ti.static(range(8)):
                                values[c * _LANES + i] = grad[first + i, level].dot(table[around[c * _LANES + i]])
                        for i in range(_LANES):
                            found = slope(corners_in(values, i), lane(fractions, i))
                            for a in ti.static(range(3)):
                                fractions[a * _LANES + i] = found[a]
                        for i in range(ti.min(_LANES, end - first)):
                            s = first + i
                            grad_positions[s] = grad_positions[s] + inside(positions[s], layout, level) * lane(fractions, i)
                        first += _LANES

    @ti.kernel
    def gradient_change(
        positions: points, steps: points, table: rows, layout: layouts, grad: samples,
        change: points,  # (N, 3) in: zeros, out
        out: samples,  # (N, L, F) out: how fast features change along the steps
        workers: int,
    ):
        for turn in range(workers * WORKER_STRIDE):
            if turn % WORKER_STRIDE == 0:
                around, fractions, values = many_rows(0), many_fractions(0.0), many_weights(0.0)
                moves, slopes = many_fractions(0.0), many_weights(0.0)
                start, end = part_of(positions.shape[0], turn // WORKER_STRIDE, workers)
                for level in range(layout.shape[0]):
                    first = start
                    while first < end:
                        cells_of(positions, first, layout, level, around, fractions)
                        for i in range(_LANES):
                            sample = ti.min(first + i, positions.shape[0] - 1)
                            step = inside(positions[sample], layout, level) * steps[sample]
                            for a in ti.static(range(3)):
                                moves[a * _LANES + i] = step[a]
                        for i in range(_LANES):
                            for c in ti.static(range(8)):
                                slopes[c * _LANES + i] = weight_slope(c, lane(fractions, i), lane(moves, i))
                        for i in range(ti.min(_LANES, end - first)):
                            total, g = row(0.0), grad[first + i, level]
                            for c in ti.static(range(8)):
                                of_corner = table[around[c * _LANES + i]]
                                values[c * _LANES + i] = g.dot(of_corner)
                                total += slopes[c * _LANES + i] * of_corner
                            out[first + i, level] = total
                        for i in range(_LANES):
                            found = slope_change(corners_in(values, i), lane(fractions, i), lane(moves, i))
                            for a in ti.static(range(3)):
                                moves[a * _LANES + i] = found[a]
                        for i in range(ti.min(_LANES, end - first)):
                            s = first + i
                            change[s] = change[s] + inside(positions[s], layout, level) * lane(moves, i)
                        first += _LANES

    return encode, table_gradient, position_gradient, gradient_change
