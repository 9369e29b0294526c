"""Which screen tiles a splat touches; one formula for the CPU and the GPU binning."""

import taichi as ti

from taichi_kernels.common.splat_rows import COLUMN, OPACITY, RADIUS, ROW

MIN_RADIUS = 1e-6  # pixels


@ti.func
def tile_range(splat, support: ti.template(), tile: ti.template(), tiles_x, tiles_y):
    """Tiles (x0, x1, y0, y1), both ends inclusive, that the square around a splat's disc overlaps; x1 < x0 for none.

    splat: [column, row, radius, opacity]; support: radii beyond which the profile is zero; tile: (width, height) in pixels.

    Coordinates are clamped before the conversion to an integer, so that points far outside the image, or not a number,
    fall in no tile. A splat without opacity, or with a radius whose square could underflow, falls in none.
    """
    reach = splat[RADIUS] * support
    u, v = splat[COLUMN], splat[ROW]
    x0 = ti.cast(ti.floor(ti.min(ti.max((u - reach) * (1.0 / tile[0]), 0.0), tiles_x)), ti.i32)
    y0 = ti.cast(ti.floor(ti.min(ti.max((v - reach) * (1.0 / tile[1]), 0.0), tiles_y)), ti.i32)
    x1 = ti.cast(ti.floor(ti.min(ti.max((u + reach) * (1.0 / tile[0]), -1.0), tiles_x - 1.0)), ti.i32)
    y1 = ti.cast(ti.floor(ti.min(ti.max((v + reach) * (1.0 / tile[1]), -1.0), tiles_y - 1.0)), ti.i32)
    if not (splat[OPACITY] > 0.0 and splat[RADIUS] > MIN_RADIUS):
        x0, x1 = 0, -1
    return ti.Vector([x0, x1, y0, y1])


def check_pairs(count: int, columns: int) -> None:
    """Raises ValueError for more (tile, splat) pairs than 32-bit indices can address gradient rows of."""
    if count * max(columns, 2) >= 2**31:
        raise ValueError(f"{count} splat-tile pairs are too many: use smaller radii, fewer points or a smaller image")
