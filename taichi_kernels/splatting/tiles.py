"""Which screen tiles a splat touches; one formula for the CPU and the GPU binning."""

import taichi as ti


@ti.func
def tile_range(splats: ti.template(), i, support, tile_width, tile_height, tiles_x, tiles_y):
    """Tiles (x0, x1, y0, y1), both ends inclusive, that the square around splat i's disc overlaps; x1 < x0 for none.

    Coordinates are clamped before the conversion to an integer, so that points far outside the image, or not a number,
    fall in no tile. A splat without opacity or radius falls in none.
    """
    reach = splats[i, 2] * support
    u, v = splats[i, 0], splats[i, 1]
    x0 = ti.cast(ti.floor(ti.min(ti.max((u - reach) / tile_width, 0.0), tiles_x)), ti.i32)
    y0 = ti.cast(ti.floor(ti.min(ti.max((v - reach) / tile_height, 0.0), tiles_y)), ti.i32)
    x1 = ti.cast(ti.floor(ti.min(ti.max((u + reach) / tile_width, -1.0), tiles_x - 1.0)), ti.i32)
    y1 = ti.cast(ti.floor(ti.min(ti.max((v + reach) / tile_height, -1.0), tiles_y - 1.0)), ti.i32)
    if not (splats[i, 3] > 0.0 and reach > 0.0):
        x0, x1 = 0, -1
    return ti.Vector([x0, x1, y0, y1])
