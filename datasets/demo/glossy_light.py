"""The glossy demo scene's environment: a dusky sky, a window of four panes and coloured lamps, blurred by a surface's roughness
in closed form.

A lamp with axis m, concentration k and colour e has the radiance e exp(k (w . m - 1)) from a direction w. Blurred by a von
Mises-Fisher lobe of concentration 1 / r it is nearly one of concentration k' = k / (1 + k r), with colour e k' / k. The sky's
harmonics of degree l fade by exp(-r l (l + 1) / 2). A pane is a rectangle on the plane w . m = 1; its edges are blurred by a
Gaussian of variance r, whose integral is close to a logistic function.

Sources: Verbin et al. 2022 (Ref-NeRF) for the harmonics' factors; Wang et al. 2009 (All-Frequency Rendering) for products of
lobes.
"""

import taichi as ti
import taichi.math as tm

LAMPS = 9
EVEN, RISING, CURVED = tm.vec3(0.25, 0.21, 0.21), tm.vec3(0.00, 0.06, 0.17), tm.vec3(-0.20, -0.12, 0.02)  # a + b z + c z^2
WINDOW = tm.vec3(-0.50, -0.55, 0.67)  # towards its middle, not normalised
WINDOW_LIGHT = tm.vec3(8.6, 8.0, 7.2)
_PANE, _BAR, _EDGE = 0.25, 0.025, 1e-4  # half the window's side, half a bar's width, variance of its edges, at distance 1
_LOGISTIC = 1.702  # times x: the logistic function nearest to the normal distribution's


@ti.func
def lamp(number):
    """(axis, concentration and colour) of a lamp: warm and cool glows near the horizon, then small coloured lamps."""
    axis, light = tm.vec3(0.85, -0.30, 0.35), tm.vec4(9.0, 1.10, 0.56, 0.22)
    if number == 1:
        axis, light = tm.vec3(0.25, 0.90, 0.25), tm.vec4(10.0, 0.16, 0.40, 0.95)
    elif number == 2:
        axis, light = tm.vec3(-0.95, 0.25, 0.10), tm.vec4(12.0, 0.75, 0.16, 0.42)
    elif number == 3:
        axis, light = tm.vec3(0.05, 0.10, 0.99), tm.vec4(60.0, 2.6, 2.5, 2.4)
    elif number == 4:
        axis, light = tm.vec3(-0.75, 0.52, 0.42), tm.vec4(260.0, 14.0, 0.5, 3.6)
    elif number == 5:
        axis, light = tm.vec3(0.30, -0.92, 0.26), tm.vec4(300.0, 0.9, 11.0, 6.6)
    elif number == 6:
        axis, light = tm.vec3(0.93, 0.22, 0.30), tm.vec4(300.0, 14.0, 7.4, 0.5)
    elif number == 7:
        axis, light = tm.vec3(0.42, 0.72, 0.55), tm.vec4(340.0, 1.2, 4.4, 15.0)
    elif number == 8:
        axis, light = tm.vec3(0.62, -0.48, 0.62), tm.vec4(220.0, 13.0, 10.4, 6.8)
    return axis.normalized(), light


@ti.func
def interval(x, half, softness):
    """The integral of a narrow bump at x, of this standard deviation, from -half to half."""
    scale = _LOGISTIC / softness
    return 1.0 / (1.0 + ti.exp(-scale * (x + half))) - 1.0 / (1.0 + ti.exp(-scale * (x - half)))


@ti.func
def window(direction, roughness):
    """How much of the blurred window is in a direction: 1 in the middle of a pane that is not blurred."""
    axis = WINDOW.normalized()
    ahead, found = direction.dot(axis), 0.0
    if ahead > 0.05:
        right = tm.vec3(-axis.y, axis.x, 0.0).normalized()
        x, y = direction.dot(right) / ahead, direction.dot(axis.cross(right)) / ahead
        soft = ti.sqrt(roughness + _EDGE)
        across = interval(x, _PANE, soft) - interval(x, _BAR, soft)
        down = interval(y, 1.2 * _PANE, soft) - interval(y, _BAR, soft)
        found = across * down * tm.smoothstep(0.05, 0.4, ahead)
    return found


@ti.func
def glow(direction, roughness):
    """Radiance (3,), linear light, of all but the window from a unit direction, blurred as in `environment`."""
    first, second = ti.exp(-roughness), ti.exp(-3.0 * roughness)
    z = direction.z
    found = EVEN + RISING * (first * z) + CURVED * (1.0 / 3.0 + second * (z * z - 1.0 / 3.0))
    for number in range(LAMPS):
        axis, light = lamp(number)
        fade = 1.0 / (1.0 + light.x * roughness)
        found += light.yzw * (fade * ti.exp(light.x * fade * (direction.dot(axis) - 1.0)))
    return ti.max(found, 0.0)


@ti.func
def environment(direction, roughness):
    """Radiance (3,), linear light, from a unit direction, blurred by a lobe of concentration 1 / roughness."""
    return glow(direction, roughness) + WINDOW_LIGHT * window(direction, roughness)
