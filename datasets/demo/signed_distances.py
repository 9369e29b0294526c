"""Signed distances of simple solids, as Taichi functions: negative inside, never longer than the true distance.

Formulas follow I. Quilez, "Distance functions" (iquilezles.org/articles/distfunctions). All lengths are in
the caller's units; `p` is the point in the solid's own axes, with z the axis of everything round.
"""

import taichi as ti
import taichi.math as tm


@ti.func
def sphere(p, radius):
    """Ball about the origin."""
    return p.norm() - radius


@ti.func
def box(p, half, rounding):
    """Axis-aligned box of half sizes `half` (3,), edges rounded inwards."""
    q = ti.abs(p) - half + rounding
    return ti.max(q, 0.0).norm() + ti.min(ti.max(q.x, q.y, q.z), 0.0) - rounding


@ti.func
def cylinder(p, radius, half_height, rounding):
    """Upright cylinder centred at the origin, edges rounded inwards."""
    radial = p.xy.norm() - radius + rounding
    axial = ti.abs(p.z) - half_height + rounding
    return (
        ti.min(ti.max(radial, axial), 0.0)
        + tm.vec2(ti.max(radial, 0.0), ti.max(axial, 0.0)).norm()
        - rounding
    )


@ti.func
def cone(p, half_height, lower_radius, upper_radius):
    """Upright cone frustum centred at the origin."""
    radial = p.xy.norm()
    slope = tm.vec2(upper_radius - lower_radius, 2.0 * half_height)
    cap_radius = ti.select(p.z < 0.0, lower_radius, upper_radius)
    to_cap = tm.vec2(radial - ti.min(radial, cap_radius), ti.abs(p.z) - half_height)
    top = tm.vec2(upper_radius - radial, half_height - p.z)
    to_side = -top + slope * tm.clamp(top.dot(slope) / slope.dot(slope), 0.0, 1.0)
    sign = ti.select((to_side.x < 0.0) & (to_cap.y < 0.0), -1.0, 1.0)
    return sign * ti.sqrt(ti.min(to_cap.dot(to_cap), to_side.dot(to_side)))


@ti.func
def torus(p, ring_radius, tube_radius):
    """Ring around the z axis."""
    return tm.vec2(p.xy.norm() - ring_radius, p.z).norm() - tube_radius


@ti.func
def capsule(p, start, end, radius):
    """Rod with round ends from `start` to `end`."""
    along = end - start
    return (p - start - along * tm.clamp((p - start).dot(along) / along.dot(along), 0.0, 1.0)).norm() - radius


@ti.func
def rod(p, height, radius):
    """Upright rod with round ends from the origin to `height` (a cheaper capsule)."""
    return tm.vec3(p.x, p.y, p.z - tm.clamp(p.z, 0.0, height)).norm() - radius


@ti.func
def smooth_union(a, b, width):
    """The smaller of two distances, with the crease between them rounded over `width`."""
    h = ti.max(width - ti.abs(a - b), 0.0) / width
    return ti.min(a, b) - 0.25 * h * h * width


@ti.func
def rotated(p, cosine, sine):
    """Coordinates of `p` in axes turned about z by the angle with this cosine and sine."""
    return tm.vec3(cosine * p.x + sine * p.y, cosine * p.y - sine * p.x, p.z)


@ti.func
def disc(p, radius, thickness):
    """Flat disc about the z axis, with `thickness` of rounding on all sides: a ball drawn out to the sides."""
    return tm.vec2(ti.max(p.xy.norm() - radius, 0.0), p.z).norm() - thickness


@ti.func
def tapered_rod(p, start, end, first_radius, last_radius):
    """Rod from `start` to `end` whose radius changes on the way; shorter than the true distance by the taper's slope."""
    along = end - start
    way = tm.clamp((p - start).dot(along) / along.dot(along), 0.0, 1.0)
    return 0.95 * ((p - start - along * way).norm() - tm.mix(first_radius, last_radius, way))
