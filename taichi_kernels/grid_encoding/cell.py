"""The cell around a point: its eight table rows, and trilinear interpolation between them.

Corner c lies at (c & 1, c >> 1 & 1, c >> 2) of the cell.
"""

import taichi as ti


@ti.func
def cell_of(position, cells):
    """The cell of a coordinate in the unit interval, and the fraction of the cell before it; outside, those of the near end."""
    scaled = ti.min(ti.max(position, 0.0), 1.0) * cells
    cell = ti.min(ti.cast(scaled, ti.i32), cells - 1)
    return cell, scaled - cell


@ti.func
def surroundings(p, layout: ti.template(), level):
    """The rows (8,) of the vertices around p in one level, and p's fraction (3,) of the way between them. See `GridLayout`."""
    rx, ry, rz, first, mask = layout[level, 0], layout[level, 1], layout[level, 2], layout[level, 3], layout[level, 4]
    x, fx = cell_of(p[0], rx)
    y, fy = cell_of(p[1], ry)
    z, fz = cell_of(p[2], rz)
    # what a vertex adds to the row along each axis: the row is the sum of the three, or their xor if the level is hashed
    stride_y = ti.select(mask != 0, ti.u32(2654435761), ti.cast(rx + 1, ti.u32))
    stride_z = ti.select(mask != 0, ti.u32(805459861), ti.cast((rx + 1) * (ry + 1), ti.u32))
    low = ti.Vector([ti.cast(x, ti.u32), ti.cast(y, ti.u32) * stride_y, ti.cast(z, ti.u32) * stride_z])
    high = low + ti.Vector([ti.u32(1), stride_y, stride_z])
    rows = ti.Vector([0 for _ in ti.static(range(8))])
    for c in ti.static(range(8)):
        a, b, d = (high if c & 1 else low)[0], (high if c >> 1 & 1 else low)[1], (high if c >> 2 else low)[2]
        row = ti.select(mask != 0, (a ^ b ^ d) & ti.cast(mask, ti.u32), a + b + d)
        rows[c] = first + ti.cast(row, ti.i32)
    return rows, ti.Vector([fx, fy, fz])


@ti.func
def corner_weight(c: ti.template(), fraction):
    """The weight of corner c in the interpolation."""
    other = 1.0 - fraction
    return (fraction if c & 1 else other)[0] * (fraction if c >> 1 & 1 else other)[1] * (fraction if c >> 2 else other)[2]


@ti.func
def weight_slope(c: ti.template(), fraction, step):
    """How fast the weight of corner c grows along a step of the fraction: sum over axes a of step_a d weight / d fraction_a."""
    other = 1.0 - fraction
    x, y, z = (fraction if c & 1 else other)[0], (fraction if c >> 1 & 1 else other)[1], (fraction if c >> 2 else other)[2]
    sx, sy, sz = (1.0 if c & 1 else -1.0) * step[0], (1.0 if c >> 1 & 1 else -1.0) * step[1], (1.0 if c >> 2 else -1.0) * step[2]
    return sx * y * z + x * (sy * z + y * sz)


@ti.func
def slope_change(values, fraction, step):
    """How fast `slope` changes along a step of the fraction: the interpolation has mixed second derivatives alone."""
    x, y, z = fraction[0], fraction[1], fraction[2]
    xy, xz, yz = 0.0 * x, 0.0 * x, 0.0 * x
    for c in ti.static(range(2)):
        i = ti.static(4 * c)
        xy += (z if c else 1.0 - z) * (values[i] + values[i + 3] - values[i + 1] - values[i + 2])
        j = ti.static(2 * c)
        xz += (y if c else 1.0 - y) * (values[j] + values[j + 5] - values[j + 1] - values[j + 4])
        yz += (x if c else 1.0 - x) * (values[c] + values[c + 6] - values[c + 2] - values[c + 4])
    total = 0.0 * fraction
    total[0], total[1], total[2] = xy * step[1] + xz * step[2], xy * step[0] + yz * step[2], xz * step[0] + yz * step[1]
    return total


@ti.func
def slope(values, fraction):
    """Gradient with respect to the fraction of the interpolation between values (8,) at the corners."""
    x, y, z = fraction[0], fraction[1], fraction[2]
    total = 0.0 * fraction
    for c in ti.static(range(4)):
        wx, wy = (x if c & 1 else 1.0 - x), (y if c >> 1 & 1 else 1.0 - y)
        total[2] += wx * wy * (values[4 + c] - values[c])
    for c in ti.static(range(4)):
        wx, wz = (x if c & 1 else 1.0 - x), (z if c >> 1 & 1 else 1.0 - z)
        i = ti.static((c & 1) + 4 * (c >> 1))
        total[1] += wx * wz * (values[i + 2] - values[i])
    for c in ti.static(range(4)):
        wy, wz = (y if c & 1 else 1.0 - y), (z if c >> 1 & 1 else 1.0 - z)
        i = ti.static(2 * c)
        total[0] += wy * wz * (values[i + 1] - values[i])
    return total


@ti.func
def inside(p, layout: ti.template(), level):
    """Cells per unit along each axis, 0 if p is outside: the factors from a gradient in the cell to one in the cube."""
    factors = 0.0 * p
    for a in ti.static(range(3)):
        factors[a] = ti.select((p[a] >= 0.0) & (p[a] <= 1.0), layout[level, a], 0)
    return factors


def array_types(dtype, features: int):
    """Types of the kernels' arguments: a row of features, points (N, 3), the table (E, F), samples (N, L, F), layouts (L, 5)."""
    row = ti.types.vector(features, dtype)
    points = ti.types.ndarray(dtype=ti.types.vector(3, dtype), ndim=1)
    rows, samples = (ti.types.ndarray(dtype=row, ndim=n) for n in (1, 2))
    return row, points, rows, samples, ti.types.ndarray(dtype=ti.i32, ndim=2)
