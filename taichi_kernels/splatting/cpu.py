"""CPU schedule of splatting: a worker strides over tiles and keeps a tile's pixels in local arrays.

The loop over a tile's splats is outermost, the loop over the contiguous pixels of the rows that a splat touches innermost: it
has a run-time length, no branch and no call, so the compiler turns it into vector code (8 floats at a time). Tiles are 8
pixels wide, one vector, and 16 high. A tile is left once each of its pixels is finished; until then, splats that only touch
finished rows are passed over, in the backward pass as well.

Each channel has a local array of its own (hence at most 4 channels a pass): with all of them in one array the compiler cannot
tell the channels' stores apart and falls back to scalar code, four times slower.
"""

from functools import cache

import taichi as ti

from taichi_kernels.common.splat_rows import COLUMN, FEATURES, OPACITY, RADIUS, ROW
from taichi_kernels.common.types import array
from taichi_kernels.runtime import WORKER_STRIDE
from taichi_kernels.splatting.profiles import SUPPORT, profile_scale, profile_slope, profile_value

TILE_WIDTH, TILE_HEIGHT = 8, 16
_TILE = TILE_WIDTH * TILE_HEIGHT
_CHECK_EVERY = 32  # splats between two looks whether the tile is finished


@cache
def splat_kernels(dtype, channels: int, kind: int, limited: bool):
    """(forward, backward) kernels for a float type, a number of feature channels, a profile, and with or without a limit of
    splats a pixel. Arguments are those of `taichi_kernels.splatting.op`; see there for the mathematics."""
    array2 = ti.types.ndarray(dtype=dtype, ndim=2)
    splat_row = ti.types.vector(FEATURES + channels, dtype)
    rows = ti.types.ndarray(dtype=splat_row, ndim=1)
    array3 = ti.types.ndarray(dtype=dtype, ndim=3)
    ints = ti.types.ndarray(dtype=ti.i32, ndim=1)
    pixels = ti.types.vector(_TILE, dtype)
    counts = ti.types.vector(_TILE, ti.i32)
    row = ti.types.vector(channels, dtype)
    support = SUPPORT[kind]

    @ti.func
    def first_row(v, reach):
        return ti.max(0, ti.cast(ti.ceil(ti.max(v - reach, 0.0) - 0.5), ti.i32))

    @ti.func
    def last_row(v, reach):
        return ti.cast(ti.floor(ti.min(v + reach, TILE_HEIGHT) - 0.5), ti.i32)

    @ti.func
    def at_most_one(x):  # one instruction; ti.min, which cares for NaN, takes three
        return ti.select(x < 1.0, x, 1.0)

    @ti.func
    def inverse_square(radius):
        result = ti.cast(0.0, dtype)
        if radius > 0.0:  # always; the branch keeps the compiler from dividing in the pixel loop
            result = 1.0 / (radius * radius)
        return result

    @ti.func
    def outside_is_finished(trans: array, left, above, width, height):
        """Pixels of the tile that lie outside the picture have no transmittance left."""
        if left + TILE_WIDTH > width or above + TILE_HEIGHT > height:
            for p in range(_TILE):
                inside = left + p % TILE_WIDTH < width and above + p // TILE_WIDTH < height
                trans[p] = ti.select(inside, 1.0, 0.0)

    @ti.func
    def composite_splat(
        first, last, u, v, inv_r2, gain, feature: array, min_transmittance, max_layers,
        column_of: array, row_of: array, trans: array, layers: array, sum0: array, sum1: array, sum2: array, sum3: array,
    ):
        """Add one splat to the pixels of the tile's rows from first to last; (u, v): its centre, from the first pixel's."""
        for p in range(first * TILE_WIDTH, (last + 1) * TILE_WIDTH):
            dx, dy = column_of[p] - u, row_of[p] - v
            alpha = at_most_one(gain * profile_value(kind, (dx * dx + dy * dy) * inv_r2))
            before = trans[p]
            live = before >= min_transmittance
            if ti.static(limited):
                live = live & (layers[p] < max_layers)
                layers[p] += ti.select(live & (alpha > 0.0), 1, 0)
            weight = ti.select(live, before * alpha, 0.0)
            sum0[p] += weight * feature[0]
            if ti.static(channels > 1):
                sum1[p] += weight * feature[1]
            if ti.static(channels > 2):
                sum2[p] += weight * feature[2]
            if ti.static(channels > 3):
                sum3[p] += weight * feature[3]
            trans[p] = before - weight

    @ti.func
    def unfinished_rows(trans: array, layers: array, min_transmittance, max_layers):
        """(first, last, bits): the rows in which a pixel is not finished yet; -1 as the last if there are none."""
        top, bottom, live_rows = TILE_HEIGHT, -1, 0
        for y in range(TILE_HEIGHT):
            unfinished = 0
            for x in range(TILE_WIDTH):
                live = trans[y * TILE_WIDTH + x] >= min_transmittance
                if ti.static(limited):
                    live = live & (layers[y * TILE_WIDTH + x] < max_layers)
                unfinished += ti.select(live, 1, 0)
            if unfinished > 0:
                top, bottom, live_rows = ti.min(top, y), y, live_rows | 1 << y
        return top, bottom, live_rows

    @ti.func
    def store(
        image: array, transmittance: array, left, above, trans: array, sum0: array, sum1: array, sum2: array, sum3: array
    ):
        for y in range(ti.min(TILE_HEIGHT, image.shape[0] - above)):
            for x in range(ti.min(TILE_WIDTH, image.shape[1] - left)):
                p = y * TILE_WIDTH + x
                image[above + y, left + x, 0] = sum0[p]
                if ti.static(channels > 1):
                    image[above + y, left + x, 1] = sum1[p]
                if ti.static(channels > 2):
                    image[above + y, left + x, 2] = sum2[p]
                if ti.static(channels > 3):
                    image[above + y, left + x, 3] = sum3[p]
                transmittance[above + y, left + x] = trans[p]

    @ti.kernel
    def forward(
        splats: rows,  # (N, 4 + C): column, row, radius (px), opacity, features
        tile_start: ints,  # (tiles + 1,)
        entries: ints,  # (M,) splat of each entry, by tile, front to back
        spans: ints,  # (M,) out: rows of the tile that an entry was composited in, first | end << 8; 0 for none
        image: array3,  # (H, W, C) out
        transmittance: array2,  # (H, W) out
        tiles_x: int, tiles: int, workers: int,
        min_transmittance: dtype, max_layers: int,
    ):
        for block in range(workers * WORKER_STRIDE):
            if block % WORKER_STRIDE == 0:
                tile = block // WORKER_STRIDE
                column_of, row_of = pixels(0.0), pixels(0.0)  # of each pixel; loading them is cheaper than p % 8 and p / 8
                for p in range(_TILE):
                    column_of[p], row_of[p] = p % TILE_WIDTH, p // TILE_WIDTH
                while tile < tiles:
                    left, above = (tile % tiles_x) * TILE_WIDTH, (tile // tiles_x) * TILE_HEIGHT
                    trans = pixels(1.0)
                    outside_is_finished(trans, left, above, image.shape[1], image.shape[0])
                    layers = counts(0)
                    sum0, sum1, sum2, sum3 = pixels(0.0), pixels(0.0), pixels(0.0), pixels(0.0)
                    k, end = tile_start[tile], tile_start[tile + 1]
                    stop, check = end, k + _CHECK_EVERY
                    top, bottom, live_rows = 0, TILE_HEIGHT - 1, (1 << TILE_HEIGHT) - 1  # rows that are not finished
                    while k < stop:
                        splat = splats[entries[k]]
                        u, v = splat[COLUMN] - left - 0.5, splat[ROW] - above
                        radius = splat[RADIUS]
                        gain = splat[OPACITY] * profile_scale(kind, radius)
                        feature = row(0.0)
                        for c in ti.static(range(channels)):
                            feature[c] = splat[FEATURES + c]
                        inv_r2 = inverse_square(radius)
                        first = ti.max(first_row(v, support * radius), top)
                        last = ti.min(last_row(v, support * radius), bottom)
                        if ((live_rows >> first) & ((2 << ti.max(last - first, 0)) - 1)) == 0:
                            first, last = 0, -1
                        spans[k] = first | (last + 1) << 8
                        v -= 0.5
                        composite_splat(first, last, u, v, inv_r2, gain, feature, min_transmittance, max_layers,
                                        column_of, row_of, trans, layers, sum0, sum1, sum2, sum3)
                        k += 1
                        if k == check:
                            check = k + _CHECK_EVERY
                            top, bottom, live_rows = unfinished_rows(trans, layers, min_transmittance, max_layers)
                            if live_rows == 0:
                                stop = k
                    for rest in range(k, end):
                        spans[rest] = 0
                    store(image, transmittance, left, above, trans, sum0, sum1, sum2, sum3)
                    tile += workers

    @ti.func
    def load(
        image: array, transmittance: array, grad_image: array, grad_alpha: array, left, above,
        grads_alpha: array, behind: array, grad0: array, grad1: array, grad2: array, grad3: array,
    ):
        """Each pixel's gradients, and `behind`: what all splats of the pixel are worth to the loss."""
        for y in range(ti.min(TILE_HEIGHT, image.shape[0] - above)):
            for x in range(ti.min(TILE_WIDTH, image.shape[1] - left)):
                p = y * TILE_WIDTH + x
                alpha_grad = grad_alpha[above + y, left + x]
                grads_alpha[p] = alpha_grad
                total = alpha_grad * (1.0 - transmittance[above + y, left + x])
                for c in ti.static(range(channels)):
                    total += grad_image[above + y, left + x, c] * image[above + y, left + x, c]
                grad0[p] = grad_image[above + y, left + x, 0]
                if ti.static(channels > 1):
                    grad1[p] = grad_image[above + y, left + x, 1]
                if ti.static(channels > 2):
                    grad2[p] = grad_image[above + y, left + x, 2]
                if ti.static(channels > 3):
                    grad3[p] = grad_image[above + y, left + x, 3]
                behind[p] = total

    @ti.kernel
    def backward(
        splats: rows,  # (N, 4 + C)
        tile_start: ints, entries: ints, spans: ints,
        slots: ints,  # (M,) row of `entry_grad` that belongs to each entry
        image: array3, transmittance: array2,
        grad_image: array3,  # (H, W, C)
        grad_alpha: array2,  # (H, W)
        entry_grad: rows,  # (M, 4 + C) out
        tiles_x: int, tiles: int, workers: int,
        min_transmittance: dtype, max_layers: int, quotient_guard: dtype,
    ):
        for block in range(workers * WORKER_STRIDE):
            if block % WORKER_STRIDE == 0:
                tile = block // WORKER_STRIDE
                column_of, row_of = pixels(0.0), pixels(0.0)  # of each pixel; loading them is cheaper than p % 8 and p / 8
                for p in range(_TILE):
                    column_of[p], row_of[p] = p % TILE_WIDTH, p // TILE_WIDTH
                while tile < tiles:
                    left, above = (tile % tiles_x) * TILE_WIDTH, (tile // tiles_x) * TILE_HEIGHT
                    trans = pixels(1.0)
                    layers = counts(0)
                    grad0, grad1, grad2, grad3 = pixels(0.0), pixels(0.0), pixels(0.0), pixels(0.0)
                    grads_alpha = pixels(0.0)
                    behind = pixels(0.0)
                    load(image, transmittance, grad_image, grad_alpha, left, above,
                         grads_alpha, behind, grad0, grad1, grad2, grad3)
                    for k in range(tile_start[tile], tile_start[tile + 1]):
                        grad = splat_row(0.0)
                        span = spans[k]
                        if span != 0:
                            splat = splats[entries[k]]
                            u, v = splat[COLUMN] - left - 0.5, splat[ROW] - above
                            radius = splat[RADIUS]
                            scale = profile_scale(kind, radius)
                            gain = splat[OPACITY] * scale
                            feature = row(0.0)
                            for c in ti.static(range(channels)):
                                feature[c] = splat[FEATURES + c]
                            inv_r2 = inverse_square(radius)
                            v -= 0.5
                            f0 = ti.cast(0.0, dtype)  # sums of dL/dimage * weight, by channel
                            f1, f2, f3 = f0, f0, f0
                            sum_value = ti.cast(0.0, dtype)  # sum of dL/dalpha * profile
                            sum_x = ti.cast(0.0, dtype)  # sums of dL/dalpha * profile' * (dx, dy, q)
                            sum_y = ti.cast(0.0, dtype)
                            sum_q = ti.cast(0.0, dtype)
                            for p in range((span & 255) * TILE_WIDTH, (span >> 8) * TILE_WIDTH):
                                dx, dy = column_of[p] - u, row_of[p] - v
                                q = (dx * dx + dy * dy) * inv_r2
                                value = profile_value(kind, q)
                                unclamped = gain * value
                                alpha = at_most_one(unclamped)
                                before = trans[p]
                                live = (before >= min_transmittance) & (alpha > 0.0)
                                if ti.static(limited):
                                    live = live & (layers[p] < max_layers)
                                    layers[p] += ti.select(live, 1, 0)
                                weight = ti.select(live, before * alpha, 0.0)
                                colour = grads_alpha[p] + feature[0] * grad0[p]
                                f0 += weight * grad0[p]
                                if ti.static(channels > 1):
                                    colour += feature[1] * grad1[p]
                                    f1 += weight * grad1[p]
                                if ti.static(channels > 2):
                                    colour += feature[2] * grad2[p]
                                    f2 += weight * grad2[p]
                                if ti.static(channels > 3):
                                    colour += feature[3] * grad3[p]
                                    f3 += weight * grad3[p]
                                rest = behind[p] - weight * colour
                                behind[p] = rest
                                trans[p] = before - weight
                                gap = 1.0 - alpha
                                d_alpha = before * colour - rest / ti.select(gap > quotient_guard, gap, quotient_guard)
                                d_alpha = ti.select(live & (unclamped <= 1.0), d_alpha, 0.0)
                                d_slope = d_alpha * profile_slope(kind, value)
                                sum_value += d_alpha * value
                                sum_x += d_slope * dx
                                sum_y += d_slope * dy
                                sum_q += d_slope * q
                            grad[COLUMN] = -2.0 * gain * inv_r2 * sum_x
                            grad[ROW] = -2.0 * gain * inv_r2 * sum_y
                            grad[RADIUS] = -2.0 * gain / radius * sum_q
                            if ti.static(support > 1.0):  # the gaussian's own 1/r
                                grad[RADIUS] -= gain / radius * sum_value
                            grad[OPACITY] = scale * sum_value
                            grad[FEATURES] = f0
                            if ti.static(channels > 1):
                                grad[FEATURES + 1] = f1
                            if ti.static(channels > 2):
                                grad[FEATURES + 2] = f2
                            if ti.static(channels > 3):
                                grad[FEATURES + 3] = f3
                        entry_grad[slots[k]] = grad
                    tile += workers

    return forward, backward
