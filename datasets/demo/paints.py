"""The demo scene's paints: the colour, gloss and sharpness of highlight of each part, as Taichi functions.

Colours are linear light; only the lamp's glass exceeds 1. Every colour has some red, because the original
point-radiance program reads a pixel without red as background.
"""

import taichi as ti
import taichi.math as tm

from datasets.demo import shapes
from datasets.demo.signed_distances import rotated


@ti.func
def lattice_value(cell):
    """A number in [0, 1) that looks random, the same for the same integer cell (3,) on every device."""
    h = ti.cast(cell.x, ti.u32) * ti.u32(1597334677) ^ ti.cast(cell.y, ti.u32) * ti.u32(3812015801)
    h = h ^ ti.cast(cell.z, ti.u32) * ti.u32(2798796415)
    h = (h ^ (h >> ti.u32(15))) * ti.u32(2246822519)
    h = (h ^ (h >> ti.u32(13))) * ti.u32(3266489917)
    return ti.cast((h ^ (h >> ti.u32(16))) >> ti.u32(8), ti.f32) / 16777216.0


@ti.func
def noise(p, scales):
    """Value noise in [0, 1] with `scales` lattice cells a unit length, four at once; 0 is skipped."""
    found = tm.vec4(0.0)
    for octave in range(4):
        scale = scales[octave]
        if scale > 0.0:
            corner = ti.floor(p * scale)
            w = p * scale - corner
            w = w * w * (3.0 - 2.0 * w)
            for i in range(8):
                step = tm.ivec3(i & 1, (i >> 1) & 1, i >> 2)
                weight = 1.0 - w + step * (2.0 * w - 1.0)
                found[octave] += weight.x * weight.y * weight.z * lattice_value(ti.cast(corner, ti.i32) + step)
    return found


@ti.func
def noise_scales(part):
    """Which noise a part's paint uses, in lattice cells a world unit."""
    scales = tm.vec4(0.0)
    if part == shapes.PLINTH:
        scales.x = 3.0
    elif part == shapes.SEA:
        scales = tm.vec4(5.0, 4.0, 0.0, 0.0)
    elif part == shapes.LAND:
        scales = tm.vec4(9.0, 42.0, 24.0, 7.0)
    elif part == shapes.ROCK:
        scales = tm.vec4(14.0, 41.0, 0.0, 0.0)
    elif part == shapes.LEAF:
        scales.x = 26.0
    return scales


@ti.func
def stripe(x, period, fraction):
    """1 on the first `fraction` of each period of x, 0 elsewhere."""
    return ti.select(tm.fract(x / period) < fraction, 1.0, 0.0)


@ti.func
def inside(x, y, half_x, half_y):
    """1 within the rectangle |x| < half_x, |y| < half_y, 0 elsewhere."""
    return ti.select((ti.abs(x) < half_x) & (ti.abs(y) < half_y), 1.0, 0.0)


@ti.func
def plinth_paint(p, normal, grain):
    """Checkered marquetry along the side and year rings below."""
    odd = (tm.fract(tm.atan2(p.y, p.x) / tm.pi * 16.0) < 0.5) ^ (p.z < -0.775)
    side = ti.select(odd, tm.vec3(0.36, 0.15, 0.06), tm.vec3(0.75, 0.48, 0.22))
    rings = 0.5 + 0.5 * ti.sin(34.0 * p.xy.norm() + 5.0 * grain.x)
    return ti.select(
        ti.abs(normal.z) > 0.5, tm.mix(tm.vec3(0.34, 0.15, 0.06), tm.vec3(0.58, 0.31, 0.13), rings), side
    )


@ti.func
def sea_paint(p, grain):
    """Turquoise at the shore to blue outside, with rippled lines and rings of foam around the island."""
    shore = tm.vec2(p.x + 0.03, p.y - 0.10).norm() - 0.69 + 0.05 * (grain.x - 0.5)
    colour = tm.mix(tm.vec3(0.10, 0.62, 0.62), tm.vec3(0.03, 0.19, 0.52), tm.smoothstep(0.0, 0.34, shore))
    colour *= 1.0 + 0.16 * ti.sin(26.0 * p.x + 9.0 * p.y + 7.0 * grain.y) * ti.sin(11.0 * p.y - 5.0 * p.x)
    foam = ti.select((shore < 0.035) | (ti.abs(shore - 0.075) < 0.010), 0.75, 0.0)
    return tm.mix(colour, tm.vec3(0.85, 0.93, 0.92), foam)


@ti.func
def land_paint(p, grain):
    """Sand at the water's edge, a meadow with flowers above, and a path from the pier to the lighthouse."""
    rough = 0.85 + 0.3 * grain.y
    meadow = tm.mix(tm.vec3(0.17, 0.42, 0.06), tm.vec3(0.38, 0.62, 0.10), grain.x) * rough
    meadow = ti.select(grain.z > 0.86, tm.vec3(0.95, 0.72, 0.25), meadow)
    high = tm.smoothstep(-0.535, -0.515, p.z + 0.035 * (grain.w - 0.5))
    path = (ti.abs(p.x + 0.27 + 0.03 * ti.sin(9.0 * p.y)) < 0.055) & (p.y < 0.05)
    return ti.select(
        path, tm.vec3(0.72, 0.58, 0.40) * rough, tm.mix(tm.vec3(0.80, 0.60, 0.32) * rough, meadow, high)
    )


@ti.func
def tower_paint(p):
    """Red and white bands, an arched door towards the pier and two windows above it."""
    q = p - shapes.TOWER_FOOT
    colour = ti.select(
        tm.fract((q.z + 0.02) / 0.304) < 0.5, tm.vec3(0.86, 0.83, 0.76), tm.vec3(0.72, 0.045, 0.04)
    )
    if q.y < 0.0:
        arch = tm.vec2(q.x, ti.max(q.z - 0.19, 0.0)).norm()
        if arch < 0.058 and q.z < 0.30:
            colour = tm.vec3(0.86, 0.62, 0.20)
        if arch < 0.043 and q.z < 0.30:
            colour = tm.vec3(0.05, 0.22, 0.24)
        pane = inside(q.x, q.z - 0.385, 0.026, 0.038) + inside(q.x, q.z - 0.585, 0.022, 0.034)
        colour = tm.mix(colour, tm.vec3(0.06, 0.10, 0.16), pane)
    return colour


@ti.func
def cottage_paint(p, part):
    """Cream walls with blue windows and a door, a brick chimney, rows of shingles on the roof."""
    q = rotated(p - shapes.COTTAGE, shapes.COTTAGE_TURN[0], shapes.COTTAGE_TURN[1])
    colour = tm.vec3(0.90, 0.80, 0.58)
    if part == shapes.TILES:
        row = ti.floor(ti.abs(q.y) / 0.024)
        shade = lattice_value(
            tm.ivec3(ti.cast(ti.floor(q.x / 0.034 + 0.5 * row), ti.i32), ti.cast(row, ti.i32), 5)
        )
        colour = tm.vec3(0.78, 0.22, 0.05) * (0.62 + 0.5 * shade)
    elif q.z > 0.11:
        mortar = tm.max(stripe(q.z, 0.024, 0.25), stripe(q.x + q.y, 0.026, 0.2))
        colour = tm.mix(tm.vec3(0.55, 0.16, 0.10), tm.vec3(0.75, 0.66, 0.55), mortar)
    elif ti.abs(q.y) > 0.10:
        x = ti.abs(q.x) - 0.095
        colour = tm.mix(colour, tm.vec3(0.95, 0.95, 0.92), inside(x, q.z - 0.005, 0.036, 0.042))
        colour = tm.mix(
            colour, tm.vec3(0.10, 0.26, 0.48), inside(ti.abs(x) - 0.014, q.z - 0.005, 0.011, 0.033)
        )
        colour = tm.mix(colour, tm.vec3(0.10, 0.34, 0.30), inside(q.x, q.z + 0.03, 0.034, 0.08))
    else:
        colour = tm.mix(colour, tm.vec3(0.10, 0.26, 0.48), inside(q.y, q.z - 0.01, 0.034, 0.036))
        colour = tm.mix(colour, tm.vec3(0.95, 0.95, 0.92), inside(q.y, q.z - 0.01, 0.006, 0.036))
    return colour


@ti.func
def boat_paint(p, part):
    """A navy hull with a white waterline and a wooden deck; a cream main sail with an orange band."""
    q = p - shapes.BOAT
    colour = tm.vec3(0.93, 0.89, 0.78)
    if part == shapes.SAIL:
        band = tm.max(inside(0.0, q.z - 0.27, 1.0, 0.035), inside(0.0, q.z - 0.18, 1.0, 0.012))
        colour = tm.mix(colour, tm.vec3(0.92, 0.34, 0.03), band)
    elif q.z > 0.06:
        colour = tm.vec3(0.62, 0.38, 0.17) * (0.75 + 0.3 * stripe(q.y, 0.03, 0.7))
    else:
        colour = ti.select(ti.abs(q.z - 0.035) < 0.012, colour, tm.vec3(0.07, 0.10, 0.36))
    return colour


@ti.func
def plank_paint(p):
    """Weathered boards across the pier; the boat's spars have the same wood."""
    q = rotated(p - shapes.PIER, shapes.PIER_TURN[0], shapes.PIER_TURN[1])
    board = lattice_value(tm.ivec3(ti.cast(ti.floor(q.y / 0.045), ti.i32), 3, 1))
    gap = stripe(q.y, 0.045, 0.82)
    return tm.vec3(0.66, 0.43, 0.22) * (0.65 + 0.35 * board) * (0.4 + 0.6 * gap)


@ti.func
def ball_paint(p):
    """A beach ball: six wedges about a tilted axis, with a white cap at each end."""
    q = (p - shapes.BALL_CENTER) / 0.085
    axis, right = tm.vec3(0.35, -0.45, 0.821), tm.vec3(0.789, 0.614, 0.0)
    wedge = tm.fract(tm.atan2(q.dot(axis.cross(right)), q.dot(right)) / (2.0 * tm.pi)) * 6.0
    colour = tm.vec3(0.93, 0.91, 0.86)
    if ti.abs(q.dot(axis)) < 0.93:
        if wedge < 1.0:
            colour = tm.vec3(0.86, 0.06, 0.05)
        elif wedge >= 2.0 and wedge < 3.0:
            colour = tm.vec3(0.95, 0.66, 0.03)
        elif wedge >= 4.0 and wedge < 5.0:
            colour = tm.vec3(0.05, 0.28, 0.75)
    return colour


@ti.func
def paint(p, normal, part):
    """Colour of a part at world point `p` with unit `normal`."""
    colour = tm.vec3(0.80, 0.52, 0.16)  # brass: the rim and the spike
    grain = noise(p, noise_scales(part))
    if part == shapes.PLINTH:
        colour = plinth_paint(p, normal, grain)
    elif part == shapes.SEA:
        colour = sea_paint(p, grain)
    elif part == shapes.LAND:
        colour = land_paint(p, grain)
    elif part == shapes.ROCK:
        colour = tm.mix(tm.vec3(0.25, 0.23, 0.27), tm.vec3(0.56, 0.52, 0.50), 1.6 * grain.x * grain.y)
    elif part == shapes.TOWER:
        colour = tower_paint(p)
    elif part == shapes.IRON:
        colour = tm.vec3(0.09, 0.10, 0.13)
    elif part == shapes.LAMP:
        frame = tm.fract(tm.atan2(p.y - shapes.TOWER_FOOT.y, p.x - shapes.TOWER_FOOT.x) * 4.0 / tm.pi) < 0.16
        colour = ti.select(frame, tm.vec3(0.10, 0.11, 0.14), tm.vec3(1.7, 1.25, 0.36))
    elif part == shapes.ROOF:
        colour = tm.vec3(0.66, 0.04, 0.05)
    elif part == shapes.WALL or part == shapes.TILES:
        colour = cottage_paint(p, part)
    elif part == shapes.BARK:
        colour = tm.vec3(0.27, 0.14, 0.07)
    elif part == shapes.LEAF:
        colour = tm.mix(tm.vec3(0.04, 0.22, 0.09), tm.vec3(0.20, 0.50, 0.12), grain.x)
    elif part == shapes.HULL or part == shapes.SAIL:
        colour = boat_paint(p, part)
    elif part == shapes.PLANK:
        colour = plank_paint(p)
    elif part == shapes.BALL:
        colour = ball_paint(p)
    elif part == shapes.BUOY:
        q = p - shapes.BUOY_CENTER
        white = tm.fract(tm.atan2(q.y, q.x) * 2.0 / tm.pi) < 0.45
        colour = ti.select(white, tm.vec3(0.92, 0.90, 0.86), tm.vec3(0.88, 0.13, 0.03))
    elif part == shapes.CLOUD:
        colour = tm.vec3(0.78, 0.85, 0.95)
    return colour


@ti.func
def gloss(part):
    """How a part shines: (strength of the highlight, Blinn-Phong exponent)."""
    shine = tm.vec2(0.03, 12.0)
    if part == shapes.SEA:
        shine = tm.vec2(0.35, 60.0)
    elif part == shapes.BALL or part == shapes.BUOY or part == shapes.LAMP or part == shapes.ROOF:
        shine = tm.vec2(0.60, 70.0)
    elif part == shapes.RIM:
        shine = tm.vec2(0.80, 40.0)
    elif part == shapes.TOWER or part == shapes.HULL or part == shapes.IRON:
        shine = tm.vec2(0.25, 30.0)
    elif part == shapes.PLINTH:
        shine = tm.vec2(0.18, 25.0)
    return shine
