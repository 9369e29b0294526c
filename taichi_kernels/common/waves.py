"""Sine and cosine of large arguments, of operations that the CPU's compiler vectorises; calls of the library's functions it does
not. One reduction to a half turn, in double precision because 2^9 x is large, and two short polynomials: the error is 1e-7.
"""

from functools import cache

import taichi as ti


@cache
def sine_and_cosine(dtype):
    """A function (x, factor) -> (sin(factor x), cos(factor x)) for a float type."""

    @ti.func
    def waves(x, factor):
        turns = ti.cast(x, ti.f64) * ti.cast(factor, ti.f64) * ti.f64(0.31830988618379067)  # in half turns
        whole = ti.floor(turns + 0.5)
        r = ti.cast((turns - whole) * ti.f64(3.14159265358979312), dtype)
        sign = ti.cast(1.0 - 2.0 * (whole - 2.0 * ti.floor(0.5 * whole)), dtype)  # -1 for odd half turns
        q = r * r
        s = 1 / 120.0 - q * (1 / 5040.0 - q * (1 / 362880.0 - q * (1 / 39916800.0)))
        c = 1 / 24.0 - q * (1 / 720.0 - q * (1 / 40320.0 - q * (1 / 3628800.0 - q * (1 / 479001600.0))))
        return sign * r * (1.0 - q * (1 / 6.0 - q * s)), sign * (1.0 - q * (0.5 - q * c))

    return waves
