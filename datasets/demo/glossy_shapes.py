"""The glossy demo scene's solids: a silver teapot, a glazed vase, two lacquered apples and six metal balls on a round table.

Everything lies within 1.21 of the z axis and between z = -0.58 and 0.64 (world units, z up). `scene(p)` gives the signed distance
and the part that is nearest, as in `datasets.demo.shapes`.
"""

import taichi as ti
import taichi.math as tm

from datasets.demo.shapes import may_beat, nearer
from datasets.demo.signed_distances import cone, cylinder, disc, rod, rotated, smooth_union, sphere, tapered_rod, torus

STONE, RIM, SILVER, GOLD, VASE, APPLE, STALK, BALL = range(8)  # parts: `scene` returns the nearest one; it decides the material
BOUND_RADIUS = 1.40  # of the ball about the origin that holds everything
FLOOR = -0.48  # z of the stone's top
TABLE_RADIUS = 1.17

TEAPOT = tm.vec3(0.42, 0.36, FLOOR)  # its foot
TEAPOT_TURN = (0.8660, -0.5000)  # cosine and sine of -30 degrees: the spout points that way
TEAPOT_SIZE = 1.12
TEAPOT_BALL = tm.vec4(0.03, 0.0, 0.33, 0.60)  # centre and radius of the ball that holds it, in units of its size
VASE_FOOT = tm.vec3(-0.50, 0.40, FLOOR)
VASE_SIZE = 1.16
RED_APPLE, GREEN_APPLE = tm.vec3(0.0, -0.14, FLOOR + 0.137), tm.vec3(-0.06, 0.90, FLOOR + 0.122)
GREEN_SIZE = 0.89

BALLS = 6
BALLS_AWAY = 0.84  # distance of their centres from the z axis
_FIRST_RADIUS, _LAST_RADIUS, _FIRST_ANGLE, _LAST_ANGLE = 0.215, 0.105, 3.42, 5.60  # radians about z


@ti.func
def ball(number):
    """Centre and radius of a metal ball; they get smaller from 0, the mirror, to the last, which is the roughest."""
    way = number / (BALLS - 1.0)
    radius = tm.mix(_FIRST_RADIUS, _LAST_RADIUS, way)
    angle = tm.mix(_FIRST_ANGLE, _LAST_ANGLE, way * (1.21 - 0.21 * way))  # so that the gaps are alike
    return tm.vec4(BALLS_AWAY * ti.cos(angle), BALLS_AWAY * ti.sin(angle), FLOOR + radius, radius)


@ti.func
def teapot(p, best):
    """A round belly with a spout and a handle of silver, and a lid with a golden rim and knob; p from the foot, spout along x."""
    foot = cylinder(p - tm.vec3(0.0, 0.0, 0.035), 0.17, 0.035, 0.03)
    pot = smooth_union(disc(p - tm.vec3(0.0, 0.0, 0.245), 0.11, 0.215), foot, 0.07)
    lower = tapered_rod(p, tm.vec3(0.22, 0.0, 0.17), tm.vec3(0.40, 0.0, 0.30), 0.075, 0.045)
    upper = tapered_rod(p, tm.vec3(0.40, 0.0, 0.30), tm.vec3(0.53, 0.0, 0.47), 0.045, 0.034)
    spout = ti.max(smooth_union(lower, upper, 0.015), -sphere(p - tm.vec3(0.548, 0.0, 0.495), 0.030))
    pot = smooth_union(pot, spout, 0.05)
    q = p - tm.vec3(-0.30, 0.0, 0.27)  # the handle: a ring that stands upright, higher than wide
    handle = torus(tm.vec3(q.x, q.z - tm.clamp(q.z, -0.035, 0.035), q.y), 0.155, 0.027)
    pot = smooth_union(pot, handle, 0.045)
    lid = disc(p - tm.vec3(0.0, 0.0, 0.425), 0.10, 0.075)
    best = nearer(best, smooth_union(pot, lid, 0.012), SILVER)
    best = nearer(best, torus(p - tm.vec3(0.0, 0.0, 0.452), 0.168, 0.016), GOLD)
    knob = smooth_union(sphere(p - tm.vec3(0.0, 0.0, 0.565), 0.042), rod(p - tm.vec3(0.0, 0.0, 0.49), 0.04, 0.02), 0.03)
    return nearer(best, knob, GOLD)


@ti.func
def vase(p, best):
    """A belly, a neck and a golden lip, hollow above the shoulder; p from the foot."""
    belly = sphere(p - tm.vec3(0.0, 0.0, 0.33), 0.31)
    foot = cone(p - tm.vec3(0.0, 0.0, 0.06), 0.06, 0.17, 0.13) - 0.01
    neck = cone(p - tm.vec3(0.0, 0.0, 0.72), 0.20, 0.125, 0.08)
    solid = smooth_union(smooth_union(belly, neck, 0.20), foot, 0.09)
    hollow = cylinder(p - tm.vec3(0.0, 0.0, 0.93), 0.065, 0.33, 0.02)
    best = nearer(best, ti.max(solid, -hollow), VASE)
    return nearer(best, torus(p - tm.vec3(0.0, 0.0, 0.925), 0.105, 0.030), GOLD)


@ti.func
def apple(p, size, best):
    """A ball with a dimple, the outside of a thick ring, and its stalk; p from the centre."""
    q = p / size
    flesh = torus(tm.vec3(q.x, q.y, 0.94 * q.z), 0.055, 0.13)
    best = nearer(best, size * flesh, APPLE)
    stalk = tapered_rod(q, tm.vec3(0.0, 0.0, 0.06), tm.vec3(0.03, 0.015, 0.20), 0.010, 0.014)
    return nearer(best, size * stalk, STALK)


@ti.func
def scene(p):
    """Signed distance of world point `p`, never longer than the true one outside, and its nearest part, as vec2."""
    best = tm.vec2(cylinder(p - tm.vec3(0.0, 0.0, FLOOR - 0.05), TABLE_RADIUS, 0.05, 0.012), STONE)
    best = nearer(best, torus(p - tm.vec3(0.0, 0.0, FLOOR - 0.055), TABLE_RADIUS, 0.036), RIM)
    if torus(p - tm.vec3(0.0, 0.0, FLOOR + _FIRST_RADIUS), BALLS_AWAY, _FIRST_RADIUS) < best.x:  # which holds all balls
        for number in range(BALLS):
            middle = ball(number)
            best = nearer(best, sphere(p - middle.xyz, middle.w), BALL)
    for fruit in range(2):
        at, size = ti.select(fruit == 0, RED_APPLE, GREEN_APPLE), ti.select(fruit == 0, 1.0, GREEN_SIZE)
        if may_beat(best, p - at, 0.24):
            best = apple(p - at, size, best)
    tall = p - VASE_FOOT
    if may_beat(best, tall - tm.vec3(0.0, 0.0, 0.54), 0.60):
        best = nearer_scaled(best, vase(tall / VASE_SIZE, scaled(best, 1.0 / VASE_SIZE)), VASE_SIZE)
    pot = rotated(p - TEAPOT, TEAPOT_TURN[0], TEAPOT_TURN[1]) / TEAPOT_SIZE
    if may_beat(scaled(best, 1.0 / TEAPOT_SIZE), pot - TEAPOT_BALL.xyz, TEAPOT_BALL.w):
        best = nearer_scaled(best, teapot(pot, scaled(best, 1.0 / TEAPOT_SIZE)), TEAPOT_SIZE)
    return best


@ti.func
def scaled(best, factor):
    """(distance, part) in units that are 1 / factor as long."""
    return tm.vec2(best.x * factor, best.y)


@ti.func
def nearer_scaled(best, found, size):
    """The nearer of `best` and what was found in units of `size`; `best` keeps its bits if it is."""
    return ti.select(found.x * size < best.x, scaled(found, size), best)
