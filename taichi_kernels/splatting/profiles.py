"""Splat profiles: how a point's opacity falls off with distance on the screen.

With q = d² / r² (d: distance of a pixel's centre from the projected point, r: the point's radius, both in pixels) a point of
opacity o covers a pixel with alpha = min(o * profile(q, r), 1):

- PARABOLA: 1 - q inside q < 1 (the weight of the original point-radiance program);
- GAUSSIAN: exp(-q / 2) / sqrt(2 pi r²) inside q < 9 (equation 5 of Zhang et al. 2022, cut at three radii). It peaks at 0.2 for
  r = 2 px, so more points are needed to make a surface opaque.
"""

import math

import taichi as ti

PARABOLA, GAUSSIAN = 0, 1
PROFILES = {"parabola": PARABOLA, "gaussian": GAUSSIAN}
SUPPORT = {PARABOLA: 1.0, GAUSSIAN: 3.0}  # the profile is zero beyond this many radii
_INV_SQRT_2PI = 1.0 / math.sqrt(2.0 * math.pi)


@ti.func
def _exp_minus(x):
    """exp(-x) for x in [0, 4.5]: a Taylor polynomial of x/16, squared four times; relative error below 1e-8.

    The library's exp is a scalar call on the CPU and would keep the pixel loop from vectorising.
    """
    s = x * (-1.0 / 16.0)
    p = 1.0 + s * (1.0 + s * (1.0 / 2 + s * (1.0 / 6 + s * (1.0 / 24 + s * (1.0 / 120 + s * (1.0 / 720))))))
    p = p * p
    p = p * p
    p = p * p
    return p * p


@ti.func
def profile_scale(kind: ti.template(), radius):
    """The factor of a profile that depends on the radius alone; hoisted out of the pixel loop."""
    scale = 1.0 + 0.0 * radius
    if ti.static(kind == GAUSSIAN):
        scale = _INV_SQRT_2PI / radius
    return scale


@ti.func
def profile_value(kind: ti.template(), q):
    """profile(q) without its scale, and zero outside the support."""
    value = 0.0 * q
    if ti.static(kind == PARABOLA):
        value = 1.0 - q
        value = ti.select(value > 0.0, value, 0.0)  # one instruction; ti.max, which cares for NaN, takes two
    else:
        value = ti.select(q < 9.0, _exp_minus(0.5 * ti.min(q, 9.0)), 0.0)
    return value


@ti.func
def profile_slope(kind: ti.template(), value):
    """d profile / d q inside the support, from the profile's own value."""
    slope = -1.0 + 0.0 * value
    if ti.static(kind == GAUSSIAN):
        slope = -0.5 * value
    return slope
