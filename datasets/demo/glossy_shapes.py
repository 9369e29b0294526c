"""The glossy demo scene's solids and materials: a mirror ball, a ring of brushed gold, a glazed vase and beads on polished stone.

Everything lies within 1.1 of the z axis and between z = -0.58 and 0.53 (world units, z up).
"""

import taichi as ti
import taichi.math as tm

from datasets.demo.shapes import may_beat, nearer
from datasets.demo.signed_distances import cone, cylinder, smooth_union, sphere, torus

STONE, RIM, MIRROR, RING, VASE, BEAD = range(6)  # parts: `scene` returns the nearest one, and it decides the material
BOUND_RADIUS = 1.35  # of the ball about the origin that holds everything
FLOOR = -0.42  # z of the stone's top
MIRROR_RADIUS = 0.42
MIRROR_CENTER = tm.vec3(-0.42, 0.28, FLOOR + MIRROR_RADIUS)
RING_CENTER = tm.vec3(0.06, -0.34, FLOOR + 0.30)
RING_TURN = (0.9397, 0.3420)  # cosine and sine of 20 degrees about z
VASE_FOOT = tm.vec3(0.46, 0.34, FLOOR)
BEAD_COUNT = 7
_FIRST_BEAD, _BEADS_APART = 3.55, 0.372  # radians about z
_BEAD_RADIUS, _BEADS_AWAY = 0.095, 0.84


@ti.func
def bead(number):
    """Centre of a bead."""
    angle = _FIRST_BEAD + _BEADS_APART * number
    return tm.vec3(_BEADS_AWAY * ti.cos(angle), _BEADS_AWAY * ti.sin(angle), FLOOR + _BEAD_RADIUS)


@ti.func
def in_ring(p):
    """`p` in the ring's own axes: it stands upright, and its axis is z."""
    q = p - RING_CENTER
    return tm.vec3(RING_TURN[0] * q.x + RING_TURN[1] * q.y, q.z, RING_TURN[1] * q.x - RING_TURN[0] * q.y)


@ti.func
def vase(p):
    """A belly, a neck and a lip; hollow above the shoulder."""
    belly = sphere(p - tm.vec3(0.0, 0.0, 0.31), 0.31)
    neck = cone(p - tm.vec3(0.0, 0.0, 0.70), 0.20, 0.12, 0.085)
    solid = smooth_union(belly, neck, 0.18)
    solid = smooth_union(solid, torus(p - tm.vec3(0.0, 0.0, 0.915), 0.12, 0.028), 0.05)
    hollow = cylinder(p - tm.vec3(0.0, 0.0, 0.93), 0.07, 0.33, 0.02)
    return ti.max(ti.max(solid, -hollow), 0.012 - p.z)


@ti.func
def scene(p):
    """Signed distance of world point `p`, never longer than the true one outside, and its nearest part, as vec2."""
    best = tm.vec2(cylinder(p - tm.vec3(0.0, 0.0, FLOOR - 0.06), 1.03, 0.06, 0.02), STONE)
    best = nearer(best, torus(p - tm.vec3(0.0, 0.0, FLOOR - 0.06), 1.035, 0.035), RIM)
    best = nearer(best, sphere(p - MIRROR_CENTER, MIRROR_RADIUS), MIRROR)
    best = nearer(best, torus(in_ring(p), 0.215, 0.085), RING)
    if may_beat(best, p - VASE_FOOT - tm.vec3(0.0, 0.0, 0.45), 0.52):
        best = nearer(best, vase(p - VASE_FOOT), VASE)
    if torus(p - tm.vec3(0.0, 0.0, FLOOR + _BEAD_RADIUS), _BEADS_AWAY, _BEAD_RADIUS) < best.x:  # which holds all beads
        for number in range(BEAD_COUNT):
            best = nearer(best, sphere(p - bead(number), _BEAD_RADIUS), BEAD)
    return best


@ti.func
def stone(p):
    """Dark polished tiles of two shades, with a ring of brass inlay."""
    odd = (ti.cast(ti.floor(p.x / 0.26 + 40.0), ti.i32) + ti.cast(ti.floor(p.y / 0.26 + 40.0), ti.i32)) & 1
    shade = ti.select(odd == 1, tm.vec3(0.055, 0.062, 0.075), tm.vec3(0.42, 0.40, 0.37))
    return ti.select(p.xy.norm() > 0.955, tm.vec3(0.055, 0.062, 0.075), shade)


@ti.func
def glaze(q):
    """Teal that runs over a cream foot in drops; q: from the vase's foot."""
    angle = tm.atan2(q.y, q.x)
    edge = 0.17 + 0.035 * ti.sin(5.0 * angle) + 0.02 * ti.sin(11.0 * angle + 1.3)
    cream = tm.vec3(0.70, 0.60, 0.42)
    teal = tm.mix(tm.vec3(0.015, 0.24, 0.26), tm.vec3(0.03, 0.10, 0.30), tm.clamp(q.z, 0.0, 1.0))
    return tm.mix(cream, teal, tm.smoothstep(-0.008, 0.008, q.z - edge))


@ti.func
def bead_colour(p):
    """The colour of the bead nearest to a point on it."""
    found, colour = 1e9, tm.vec3(0.0)
    for number in range(BEAD_COUNT):
        away = (p - bead(number)).norm()
        if away < found:
            found = away
            hue = number / 7.0 + tm.vec3(0.02, 0.68, 0.35)
            colour = tm.clamp(ti.abs(tm.fract(hue) * 6.0 - 3.0) - 1.0, 0.0, 1.0)
    return tm.mix(tm.vec3(0.02), tm.vec3(0.62), colour * colour)


@ti.func
def diffuse_of(p, part):
    """Diffuse albedo of a part at world point `p`, linear light; metals have none."""
    colour = tm.vec3(0.0)
    if part == STONE:
        colour = stone(p)
    elif part == VASE:
        colour = glaze(p - VASE_FOOT)
    elif part == BEAD:
        colour = bead_colour(p)
    return colour


@ti.func
def tint_of(part):
    """The fraction (3,) of light that a part reflects straight on; at grazing angles it is more (Schlick)."""
    tint = tm.vec3(0.05)
    if part == MIRROR:
        tint = tm.vec3(0.93, 0.94, 0.96)
    elif part == RING:
        tint = tm.vec3(0.95, 0.66, 0.28)
    elif part == RIM:
        tint = tm.vec3(0.82, 0.56, 0.28)
    elif part == STONE:
        tint = tm.vec3(0.07)
    return tint


@ti.func
def roughness_of(p, part):
    """The inverse of the concentration of a part's reflection lobe. The ring's grows around it, from a mirror to matt."""
    rough = 0.004
    if part == MIRROR:
        rough = 0.0005
    elif part == RING:
        q = in_ring(p)
        turn = 0.5 + tm.atan2(q.x, q.y) / (2.0 * tm.pi)
        rough = 0.001 + 0.35 * turn * turn
    elif part == RIM:
        rough = 0.08
    elif part == STONE:
        rough = 0.003
    return rough
