"""GPU schedule of splatting (CUDA, Vulkan): a thread a pixel, a block an 8 x 8 tile; gradients are summed inside the block.

The mathematics is that of the CPU schedule, from the same profile functions. Sums over a block run through shared memory in a
fixed order, without float atomics, so that the gradients are the same to the bit in every run.
"""

from functools import cache

import taichi as ti

from taichi_kernels.common.splat_rows import COLUMN, FEATURES, OPACITY, RADIUS, ROW
from taichi_kernels.splatting.profiles import SUPPORT, profile_scale, profile_slope, profile_value

TILE_WIDTH = TILE_HEIGHT = 8
_BLOCK = TILE_WIDTH * TILE_HEIGHT
_PARTS = 8  # a block's 64 values are summed as 8 parts of 8


@cache
def splat_kernels(dtype, channels: int, kind: int, limited: bool):
    """(forward, backward) kernels with the arguments of the CPU schedule's."""
    array2 = ti.types.ndarray(dtype=dtype, ndim=2)
    splat_row = ti.types.vector(FEATURES + channels, dtype)
    rows = ti.types.ndarray(dtype=splat_row, ndim=1)
    array3 = ti.types.ndarray(dtype=dtype, ndim=3)
    ints = ti.types.ndarray(dtype=ti.i32, ndim=1)
    row = ti.types.vector(channels, dtype)
    support = SUPPORT[kind]
    columns = FEATURES + channels

    @ti.func
    def reaches(dx, dy, radius):
        return (ti.abs(dx) <= support * radius) & (ti.abs(dy) <= support * radius)

    @ti.kernel
    def forward(
        splats: rows, tile_start: ints, entries: ints, spans: ints, image: array3, transmittance: array2,
        tiles_x: int, tiles: int, workers: int, min_transmittance: dtype, max_layers: int,
    ):
        ti.loop_config(block_dim=_BLOCK)
        for thread in range(tiles * _BLOCK):
            tile, lane = thread // _BLOCK, thread % _BLOCK
            x = (tile % tiles_x) * TILE_WIDTH + lane % TILE_WIDTH
            y = (tile // tiles_x) * TILE_HEIGHT + lane // TILE_WIDTH
            trans = ti.cast(1.0, dtype)
            layers = 0
            total = row(0.0)
            k, end = tile_start[tile], tile_start[tile + 1]
            while k < end:
                splat = splats[entries[k]]
                radius = splat[RADIUS]
                dx, dy = x + 0.5 - splat[COLUMN], y + 0.5 - splat[ROW]
                if reaches(dx, dy, radius):
                    q = (dx * dx + dy * dy) / (radius * radius)
                    gain = splat[OPACITY] * profile_scale(kind, radius)
                    alpha = ti.min(gain * profile_value(kind, q), 1.0)
                    if alpha > 0.0:
                        weight = trans * alpha
                        for c in ti.static(range(channels)):
                            total[c] += weight * splat[FEATURES + c]
                        trans -= weight
                        layers += 1
                        if trans < min_transmittance or (ti.static(limited) and layers >= max_layers):
                            end = k
                k += 1
            if x < image.shape[1] and y < image.shape[0]:
                for c in ti.static(range(channels)):
                    image[y, x, c] = total[c]
                transmittance[y, x] = trans

    @ti.kernel
    def backward(
        splats: rows, tile_start: ints, entries: ints, spans: ints, slots: ints, image: array3, transmittance: array2,
        grad_image: array3, grad_alpha: array2, entry_grad: rows,
        tiles_x: int, tiles: int, workers: int, min_transmittance: dtype, max_layers: int, quotient_guard: dtype,
    ):
        ti.loop_config(block_dim=_BLOCK)
        for thread in range(tiles * _BLOCK):
            tile, lane = thread // _BLOCK, thread % _BLOCK
            x = (tile % tiles_x) * TILE_WIDTH + lane % TILE_WIDTH
            y = (tile // tiles_x) * TILE_HEIGHT + lane // TILE_WIDTH
            values = ti.simt.block.SharedArray((_BLOCK * columns,), dtype)
            parts = ti.simt.block.SharedArray((_PARTS * columns,), dtype)
            trans = ti.cast(1.0, dtype)
            layers = 0
            grad = row(0.0)
            alpha_grad = ti.cast(0.0, dtype)
            behind = ti.cast(0.0, dtype)
            inside = x < image.shape[1] and y < image.shape[0]
            if inside:
                alpha_grad = grad_alpha[y, x]
                behind = alpha_grad * (1.0 - transmittance[y, x])
                for c in ti.static(range(channels)):
                    grad[c] = grad_image[y, x, c]
                    behind += grad[c] * image[y, x, c]
            for k in range(tile_start[tile], tile_start[tile + 1]):
                splat = splats[entries[k]]
                radius = splat[RADIUS]
                scale = profile_scale(kind, radius)
                gain = splat[OPACITY] * scale
                dx, dy = x + 0.5 - splat[COLUMN], y + 0.5 - splat[ROW]
                d_alpha = ti.cast(0.0, dtype)
                weight = ti.cast(0.0, dtype)
                value = ti.cast(0.0, dtype)
                q = ti.cast(0.0, dtype)
                live = inside and trans >= min_transmittance and (not ti.static(limited) or layers < max_layers)
                if live and reaches(dx, dy, radius):
                    q = (dx * dx + dy * dy) / (radius * radius)
                    value = profile_value(kind, q)
                    alpha = ti.min(gain * value, 1.0)
                    if alpha > 0.0:
                        weight = trans * alpha
                        colour = alpha_grad
                        for c in ti.static(range(channels)):
                            colour += splat[FEATURES + c] * grad[c]
                        behind -= weight * colour
                        if gain * value <= 1.0:
                            d_alpha = trans * colour - behind / ti.max(1.0 - alpha, quotient_guard)
                        trans -= weight
                        layers += 1
                slope = d_alpha * profile_slope(kind, value)
                d_radius = -2.0 * gain / radius * slope * q
                if ti.static(support > 1.0):
                    d_radius -= gain / radius * d_alpha * value
                base = lane * columns
                values[base + COLUMN] = -2.0 * gain / (radius * radius) * slope * dx
                values[base + ROW] = -2.0 * gain / (radius * radius) * slope * dy
                values[base + RADIUS] = d_radius
                values[base + OPACITY] = scale * d_alpha * value
                for c in ti.static(range(channels)):
                    values[base + FEATURES + c] = weight * grad[c]
                ti.simt.block.sync()
                # 64 threads sum 8 parts of 8 pixels, then the first threads sum the parts
                for column in ti.static(range(columns)):
                    if lane // _PARTS == column:
                        part = lane % _PARTS
                        total = ti.cast(0.0, dtype)
                        for j in range(_BLOCK // _PARTS):
                            total += values[(part * (_BLOCK // _PARTS) + j) * columns + column]
                        parts[part * columns + column] = total
                ti.simt.block.sync()
                if lane < columns:
                    total = ti.cast(0.0, dtype)
                    for part in range(_PARTS):
                        total += parts[part * columns + lane]
                    entry_grad[slots[k]][lane] = total

    return forward, backward
