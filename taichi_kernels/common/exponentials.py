"""exp(-x) and 1 - exp(-x) without the loss of digits: what an optical thickness x lets through and absorbs."""

import taichi as ti


@ti.func
def one_minus_exp(x):
    """1 - exp(-x) for x >= 0, to a relative 1e-14."""
    series = 1.0 / 24.0 - x * (1.0 / 120.0 - x * (1.0 / 720.0 - x * (1.0 / 5040.0 - x / 40320.0)))
    small = x * (1.0 - x * (0.5 - x * (1.0 / 6.0 - x * series)))
    return ti.select(x < 0.05, small, 1.0 - ti.exp(-x))


@ti.func
def parts_of_exp_f32(x):
    """(2^-n, 1 - exp(-f)) with x = n ln 2 + f, by a series in f: operations that the CPU's compiler vectorises."""
    turns = ti.min(x, 87.0) * 1.4426950408889634
    n = ti.floor(turns + 0.5)
    f = (turns - n) * 0.6931471805599453
    part = f * (1.0 - f * (0.5 - f * (1 / 6.0 - f * (1 / 24.0 - f * (1 / 120.0 - f * (1 / 720.0 - f / 5040.0))))))
    return ti.bit_cast((127 - ti.cast(n, ti.i32)) << 23, ti.f32), part


@ti.func
def one_minus_exp_f32(x):
    """`one_minus_exp` in single precision."""
    scale, part = parts_of_exp_f32(x)
    return 1.0 - scale + scale * part


@ti.func
def exp_minus_f32(x):
    """exp(-x) for x >= 0 in single precision."""
    scale, part = parts_of_exp_f32(x)
    return scale - scale * part


@ti.func
def exp_minus(x):
    """exp(-x)."""
    return ti.exp(-x)
