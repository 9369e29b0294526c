"""The glossy demo scene's materials: diffuse colour, tint of reflections and roughness of each part, as Taichi functions."""

import taichi as ti
import taichi.math as tm

from datasets.demo import glossy_shapes as shapes
from datasets.demo.paints import noise

_SLATE, _IVORY = tm.vec3(0.030, 0.034, 0.046), tm.vec3(0.60, 0.54, 0.44)
_ROUGHEST = 0.25  # of the last ball


@ti.func
def stone(p):
    """Veined slate and ivory: rings of fields that alternate, and a slate border."""
    radius, turn = p.xy.norm(), tm.atan2(p.y, p.x) / (2.0 * tm.pi) + 0.5
    ring = ti.cast(ti.floor(radius / 0.215), ti.i32)
    fields = ti.select(ring == 0, 8.0, ti.select(ring < 3, 16.0, 32.0))
    odd = (ti.cast(ti.floor(turn * fields), ti.i32) + ring) & 1
    grain = noise(p, tm.vec4(7.0, 19.0, 0.0, 0.0))
    vein = tm.smoothstep(0.05, 0.0, ti.abs(grain.x + 0.4 * grain.y - 0.7))
    ivory = _IVORY * (0.86 + 0.2 * grain.y) * (1.0 - 0.22 * vein)
    return ti.select((odd == 1) & (radius < 5 * 0.215), ivory, _SLATE * (0.8 + 0.5 * grain.x) + 0.012 * vein)


@ti.func
def glaze(q):
    """Turquoise that darkens upwards and runs over a cream foot in drops; q from the vase's foot."""
    turn = tm.atan2(q.y, q.x)
    edge = 0.15 + 0.035 * ti.sin(5.0 * turn) + 0.022 * ti.sin(11.0 * turn + 1.3)
    teal = tm.mix(tm.vec3(0.010, 0.30, 0.31), tm.vec3(0.012, 0.055, 0.20), tm.smoothstep(0.15, 0.75, q.z))
    thick = tm.smoothstep(0.06, 0.0, ti.abs(q.z - edge - 0.02))  # the glaze gathers at its edge
    teal = tm.mix(teal, tm.vec3(0.02, 0.42, 0.40), 0.7 * thick)
    return tm.mix(tm.vec3(0.66, 0.55, 0.38), teal, tm.smoothstep(-0.006, 0.006, q.z - edge))


@ti.func
def skin(p):
    """A red apple with yellow streaks from its dimple, and a green one."""
    red = (p - shapes.RED_APPLE).norm() < (p - shapes.GREEN_APPLE).norm()
    q = p - ti.select(red, shapes.RED_APPLE, shapes.GREEN_APPLE)
    turn = tm.atan2(q.y, q.x)
    streak = 0.5 + 0.25 * ti.sin(9.0 * turn + 2.0 * ti.sin(4.0 * turn)) + 0.25 * ti.sin(23.0 * turn + 1.0)
    near = tm.smoothstep(0.16, 0.03, q.xy.norm()) * tm.smoothstep(-0.05, 0.1, q.z)
    ripe = tm.mix(tm.vec3(0.46, 0.012, 0.015), tm.vec3(0.62, 0.30, 0.035), near * (0.35 + 0.65 * streak))
    unripe = tm.mix(tm.vec3(0.24, 0.40, 0.03), tm.vec3(0.48, 0.50, 0.06), near * streak)
    return ti.select(red, ripe, unripe)


@ti.func
def diffuse_of(p, part):
    """Diffuse albedo (3,) of a part at world point `p`, linear light; metals have none."""
    colour = tm.vec3(0.0)
    if part == shapes.STONE:
        colour = stone(p)
    elif part == shapes.VASE:
        colour = glaze((p - shapes.VASE_FOOT) / shapes.VASE_SIZE)
    elif part == shapes.APPLE:
        colour = skin(p)
    elif part == shapes.STALK:
        colour = tm.vec3(0.10, 0.055, 0.025)
    return colour


@ti.func
def ball_number(p):
    """The number of the metal ball that a point on one belongs to."""
    found, number = 1e9, 0
    for other in range(shapes.BALLS):
        middle = shapes.ball(other)
        away = ti.abs((p - middle.xyz).norm() - middle.w)
        if away < found:
            found, number = away, other
    return number


@ti.func
def tint_of(p, part):
    """The fraction (3,) of light that a part reflects straight on. The balls change from silver over gold to copper."""
    tint = tm.vec3(0.045)
    if part == shapes.SILVER:
        tint = tm.vec3(0.92, 0.92, 0.93)
    elif part == shapes.GOLD or part == shapes.RIM:
        tint = tm.vec3(0.93, 0.64, 0.25)
    elif part == shapes.BALL:
        way = ball_number(p) / (shapes.BALLS - 1.0)
        tint = tm.mix(tm.vec3(0.95, 0.93, 0.90), tm.vec3(0.95, 0.68, 0.30), tm.smoothstep(0.0, 0.45, way))
        tint = tm.mix(tint, tm.vec3(0.88, 0.40, 0.22), tm.smoothstep(0.4, 1.0, way))
    elif part == shapes.STALK:
        tint = tm.vec3(0.02)
    return tint


@ti.func
def is_metal(part):
    """Whether a part has no diffuse colour."""
    return (part == shapes.SILVER) | (part == shapes.GOLD) | (part == shapes.RIM) | (part == shapes.BALL)


@ti.func
def roughness_of(p, part):
    """The inverse of the concentration of a part's reflection lobe: from ball to ball, a mirror to nearly matt metal."""
    rough = 0.0015
    if part == shapes.BALL:
        way = ball_number(p) / (shapes.BALLS - 1.0)
        rough = 0.0004 + _ROUGHEST * way * way
    elif part == shapes.SILVER:
        rough = 0.0008
    elif part == shapes.GOLD:
        rough = 0.004
    elif part == shapes.RIM:
        rough = 0.03
    elif part == shapes.STONE:
        rough = 0.0012
    elif part == shapes.STALK:
        rough = 0.1
    return rough
