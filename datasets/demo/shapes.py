"""The demo scene's solids: a toy island with a lighthouse, a cottage, a boat, a pier and a cloud on a wire.

Everything lies within 1.15 of the z axis and between z = -0.87 and 0.92 (world units, z up). `scene(p)` gives
the signed distance and the part that is nearest. A group of solids is skipped if its bounding ball is farther than
the nearest solid so far. Solids whose formula gives too short a distance far away are cut by that ball, so that
skipping them changes nothing.
"""

import taichi as ti
import taichi.math as tm

from datasets.demo.signed_distances import box, capsule, cone, cylinder, rod, rotated, smooth_union, sphere, torus

# Parts: `scene` returns the nearest one, and it decides the paint.
(
    PLINTH,
    RIM,
    SEA,
    LAND,
    ROCK,
    TOWER,
    IRON,
    LAMP,
    ROOF,
    WALL,
    TILES,
    BARK,
    LEAF,
    HULL,
    SAIL,
    PLANK,
    BALL,
    BUOY,
    CLOUD,
) = range(19)
PART_COUNT = 19

BOUND_RADIUS = 1.45  # of the ball about the origin that holds everything
SEA_LEVEL = -0.6
TOWER_FOOT = tm.vec3(-0.27, 0.16, -0.36)
TOWER_TOP = 0.40  # z of the gallery's floor
COTTAGE = tm.vec3(0.27, 0.20, -0.335)  # centre of the walls
COTTAGE_BALL = tm.vec4(0.0, 0.0, 0.05, 0.32)  # centre from COTTAGE and radius of the ball that holds it
COTTAGE_TURN = (0.9397, -0.3420)  # cosine and sine of -20 degrees
BOAT = tm.vec3(0.50, -0.68, SEA_LEVEL + 0.03)  # bow towards +x
BOAT_BALL = tm.vec4(0.0, 0.0, 0.22, 0.36)
PIER = tm.vec3(-0.28, -0.66, -0.525)
PIER_TURN = (0.9659, -0.2588)  # -15 degrees
BALL_CENTER = tm.vec3(0.05, -0.38, -0.418)
BUOY_CENTER = tm.vec3(-0.78, -0.38, SEA_LEVEL + 0.008)
CLOUD_CENTER = tm.vec3(0.52, 0.30, 0.50)


@ti.func
def nearer(best, distance, part):
    """The nearer of (distance, part) `best` and a new one."""
    return tm.vec2(ti.min(best.x, distance), ti.select(distance < best.x, ti.cast(part, ti.f32), best.y))


@ti.func
def may_beat(best, offset, radius):
    """Whether something in the ball of `radius`, at `offset` from its centre, can be nearer than `best`."""
    reach = best.x + radius
    return (reach > 0.0) & (offset.dot(offset) < reach * reach)


@ti.func
def land_and_sea(p):
    """Plinth, its brass rim, the sea and the island with its hill: (distance, part)."""
    best = tm.vec2(cylinder(p - tm.vec3(0.0, 0.0, -0.65), 1.055, 0.05, 0.015), SEA)
    shore = sphere(p - tm.vec3(-0.03, 0.10, -1.66), 1.256)
    hill = sphere(p - tm.vec3(-0.27, 0.18, -0.72), 0.39)
    best = nearer(best, ti.max(smooth_union(shore, hill, 0.18), -0.66 - p.z), LAND)
    if p.z + 0.68 < best.x:
        best = nearer(best, cylinder(p - tm.vec3(0.0, 0.0, -0.77), 1.12, 0.09, 0.035), PLINTH)
    return nearer(best, torus(p - tm.vec3(0.0, 0.0, -0.675), 1.07, 0.028), RIM)


@ti.func
def rocks(p):
    """Three boulders on the western shore."""
    boulders = smooth_union(
        sphere(p - tm.vec3(-0.72, 0.26, -0.60), 0.13), sphere(p - tm.vec3(-0.60, 0.42, -0.58), 0.11), 0.03
    )
    return smooth_union(boulders, sphere(p - tm.vec3(-0.80, 0.43, -0.60), 0.085), 0.03)


@ti.func
def lantern(p, best):
    """The tower's top, from the gallery floor at the origin up: twelve posts, rails, lamp, roof, spike."""
    best = nearer(best, cylinder(p, 0.205, 0.018, 0.012), IRON)
    best = nearer(best, torus(p - tm.vec3(0.0, 0.0, 0.12), 0.19, 0.010), IRON)
    best = nearer(best, torus(p - tm.vec3(0.0, 0.0, 0.07), 0.19, 0.006), IRON)
    # Folded into one eighth of the circle, twelve posts are two: at 0 and at 30 degrees.
    eighth = tm.vec3(ti.max(ti.abs(p.x), ti.abs(p.y)), ti.min(ti.abs(p.x), ti.abs(p.y)), p.z)
    second = eighth.x * 0.8660 + eighth.y * 0.5 > eighth.x
    post = ti.select(second, tm.vec3(0.16454, 0.095, 0.0), tm.vec3(0.19, 0.0, 0.0))
    best = nearer(best, rod(eighth - post, 0.12, 0.008), IRON)
    best = nearer(best, cylinder(p - tm.vec3(0.0, 0.0, 0.10), 0.092, 0.10, 0.02), LAMP)
    best = nearer(best, cone(p - tm.vec3(0.0, 0.0, 0.265), 0.065, 0.145, 0.022) - 0.008, ROOF)
    best = nearer(best, sphere(p - tm.vec3(0.0, 0.0, 0.355), 0.034), RIM)
    return nearer(best, rod(p - tm.vec3(0.0, 0.0, 0.355), 0.15, 0.009), RIM)


@ti.func
def cottage(p, best):
    """Walls, gable roof with eaves and a chimney, about the centre of the walls."""
    best = nearer(best, box(p, tm.vec3(0.16, 0.11, 0.10), 0.008), WALL)
    slope = tm.vec2(0.7071, 0.7071).dot(tm.vec2(ti.abs(p.y), p.z - 0.235))
    bound = sphere(p - COTTAGE_BALL.xyz, COTTAGE_BALL.w)
    best = nearer(best, ti.max(slope, 0.085 - p.z, ti.abs(p.x) - 0.185, bound), TILES)
    best = nearer(best, box(p - tm.vec3(0.085, 0.05, 0.21), tm.vec3(0.026, 0.026, 0.085), 0.004), WALL)
    return best


@ti.func
def pines(p, best):
    """Three firs of stacked cones on trunks; one tree in a loop, as an inlined copy costs compile time."""
    for tree in range(3):
        foot, size = tm.vec3(0.02, 0.56, -0.50), 1.1
        if tree == 1:
            foot, size = tm.vec3(0.50, -0.06, -0.50), 0.85
        elif tree == 2:
            foot, size = tm.vec3(-0.13, -0.22, -0.475), 0.68
        if may_beat(best, p - foot - tm.vec3(0.0, 0.0, 0.225 * size), 0.27 * size):
            q = (p - foot) / size
            best = nearer(best, rod(q, 0.12, 0.028) * size, BARK)
            for tier in range(3):
                half = 0.075 - 0.008 * ti.min(tier, 1)
                wide, narrow = 0.135 - 0.030 * tier, 0.045 - 0.020 * tier
                q.z -= ti.select(tier == 0, 0.17, 0.108)
                best = nearer(best, (cone(q, half, wide, narrow) - 0.011) * size, LEAF)
    return best


@ti.func
def boat(p, best):
    """A hull (the overlap of two balls, cut at the deck), a thin mast and boom, and two thin sails."""
    shell = ti.max(sphere(p - tm.vec3(0.0, 0.24, 0.03), 0.34), sphere(p - tm.vec3(0.0, -0.24, 0.03), 0.34))
    bound = sphere(p - BOAT_BALL.xyz, BOAT_BALL.w)
    best = nearer(best, ti.max(shell, p.z - 0.065, -0.1 - p.z, bound), HULL)
    best = nearer(best, rod(p - tm.vec3(0.03, 0.0, 0.05), 0.50, 0.010), PLANK)
    best = nearer(best, capsule(p, tm.vec3(0.03, 0.0, 0.125), tm.vec3(-0.21, 0.0, 0.125), 0.008), PLANK)
    behind = tm.vec2(0.03 - p.x, p.z - 0.54).dot(tm.vec2(0.8682, 0.4961))  # the main sail's slanted edge
    main = ti.max(behind, p.x - 0.012, 0.15 - p.z)
    ahead = tm.vec2(p.x - 0.055, p.z - 0.47).dot(tm.vec2(0.9035, 0.4286))  # the jib's
    jib = ti.max(ahead, 0.055 - p.x, 0.13 - p.z)
    return nearer(best, ti.max(ti.min(main, jib), ti.abs(p.y) - 0.007, bound), SAIL)


@ti.func
def pier(p, best):
    """A plank deck on three pairs of thin posts, its long side along y."""
    best = nearer(best, box(p, tm.vec3(0.075, 0.27, 0.012), 0.004), PLANK)
    row = tm.clamp(ti.round(p.y / 0.23), -1.0, 1.0) * 0.23
    post = tm.vec3(ti.abs(p.x) - 0.072, p.y - row, p.z + 0.12)
    return nearer(best, rod(post, 0.19, 0.014), BARK)


@ti.func
def cloud_bound(p):
    """Distance of the upright round column, open below, that holds the cloud and its wire."""
    return ti.max(p.xy.norm() - 0.26, p.z - 0.13)


@ti.func
def cloud(p, best):
    """A cloud of five puffs with a flat base, held by a thin wire that stands on the island."""
    puffs = 1e9
    for i in range(5):
        puff = tm.vec4(0.0, 0.0, 0.0, 0.125)  # centre and radius
        if i == 1:
            puff = tm.vec4(0.15, 0.02, -0.02, 0.095)
        elif i == 2:
            puff = tm.vec4(-0.14, -0.02, -0.015, 0.10)
        elif i == 3:
            puff = tm.vec4(0.05, -0.09, -0.03, 0.085)
        elif i == 4:
            puff = tm.vec4(-0.05, 0.09, -0.03, 0.085)
        puffs = smooth_union(puffs, sphere(p - puff.xyz, puff.w), 0.05)
    best = nearer(best, ti.max(puffs, -0.075 - p.z, cloud_bound(p)), CLOUD)
    return nearer(best, rod(p - tm.vec3(0.0, 0.0, -0.98), 0.95, 0.009), IRON)


@ti.func
def scene(p):
    """Signed distance of world point `p`, never longer than the true one, and its nearest part, as vec2."""
    best = land_and_sea(p)
    best = nearer(best, sphere(p - BALL_CENTER, 0.085), BALL)
    boulders = p - tm.vec3(-0.71, 0.36, -0.59)
    if may_beat(best, boulders, 0.25):
        best = nearer(best, ti.max(rocks(p), sphere(boulders, 0.25)), ROCK)
    if may_beat(best, p - BUOY_CENTER, 0.13):
        best = nearer(best, torus(p - BUOY_CENTER, 0.088, 0.032), BUOY)
    tower = p - tm.vec3(TOWER_FOOT.x, TOWER_FOOT.y, 0.5 * (TOWER_TOP + TOWER_FOOT.z))
    if tower.xy.norm() - 0.185 < best.x:
        best = nearer(best, cone(tower, 0.5 * (TOWER_TOP - TOWER_FOOT.z), 0.185, 0.115), TOWER)
    top = p - tm.vec3(TOWER_FOOT.x, TOWER_FOOT.y, TOWER_TOP)
    if may_beat(best, top - tm.vec3(0.0, 0.0, 0.22), 0.33):
        best = lantern(top, best)
    if may_beat(best, p - COTTAGE - COTTAGE_BALL.xyz, COTTAGE_BALL.w):
        best = cottage(rotated(p - COTTAGE, COTTAGE_TURN[0], COTTAGE_TURN[1]), best)
    best = pines(p, best)
    if may_beat(best, p - BOAT - BOAT_BALL.xyz, BOAT_BALL.w):
        best = boat(p - BOAT, best)
    if may_beat(best, p - PIER, 0.33):
        best = pier(rotated(p - PIER, PIER_TURN[0], PIER_TURN[1]), best)
    wire = p - CLOUD_CENTER
    if cloud_bound(wire) < best.x:
        best = cloud(wire, best)
    return best
