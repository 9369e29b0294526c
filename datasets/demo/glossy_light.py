"""The glossy demo scene's environment: a sky of two colours and coloured lamps, blurred by a surface's roughness in closed form.

The radiance from a direction w is a + b w_z + c w_z^2 plus, for each lamp with axis m, concentration k and colour e,
e exp(k (w . m - 1)). Blurred by a von Mises-Fisher lobe of concentration 1 / r, a lamp becomes one of concentration
k' = k / (1 + k r) and colour e k' / k, nearly exactly; the sky's harmonics of degree l fade by exp(-r l (l + 1) / 2).
Source: Sloan et al. 2002 and Verbin et al. 2022 for the factors; products of lobes as in Wang et al. 2009 (All-frequency
rendering).
"""

import taichi as ti
import taichi.math as tm

LAMPS = 7
EVEN, RISING, CURVED = tm.vec3(0.24, 0.22, 0.26), tm.vec3(0.08, 0.15, 0.32), tm.vec3(-0.02, 0.02, 0.10)  # a, b, c


@ti.func
def lamp(number):
    """(axis, concentration and colour) of a lamp: a window, a warm softbox, and small coloured lamps."""
    axis, light = tm.vec3(-0.50, -0.55, 0.67), tm.vec4(40.0, 8.0, 7.2, 6.0)
    if number == 1:
        axis, light = tm.vec3(0.80, -0.25, 0.54), tm.vec4(14.0, 1.9, 1.1, 0.5)
    elif number == 2:
        axis, light = tm.vec3(0.15, 0.92, 0.36), tm.vec4(25.0, 0.3, 0.9, 2.2)
    elif number == 3:
        axis, light = tm.vec3(-0.93, 0.22, 0.29), tm.vec4(180.0, 6.0, 0.9, 1.6)
    elif number == 4:
        axis, light = tm.vec3(0.10, -0.97, 0.22), tm.vec4(240.0, 1.0, 5.5, 3.0)
    elif number == 5:
        axis, light = tm.vec3(0.95, 0.28, 0.13), tm.vec4(320.0, 7.0, 4.4, 0.6)
    elif number == 6:
        axis, light = tm.vec3(0.05, 0.05, 0.997), tm.vec4(90.0, 3.0, 3.2, 3.6)
    return axis.normalized(), light


@ti.func
def environment(direction, roughness):
    """Radiance (3,), linear light, from a unit direction, blurred by a lobe of concentration 1 / roughness."""
    first, second = ti.exp(-roughness), ti.exp(-3.0 * roughness)
    z = direction.z
    found = EVEN + RISING * (first * z) + CURVED * (1.0 / 3.0 + second * (z * z - 1.0 / 3.0))
    for number in range(LAMPS):
        axis, light = lamp(number)
        fade = 1.0 / (1.0 + light.x * roughness)
        found += light.yzw * (fade * ti.exp(light.x * fade * (direction.dot(axis) - 1.0)))
    return ti.max(found, 0.0)
