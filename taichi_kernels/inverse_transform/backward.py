"""Gradients of drawn samples to densities and to the bins' ends; arguments and names are those of `forward`."""

from functools import cache

import taichi as ti

from taichi_kernels.common.types import array
from taichi_kernels.inverse_transform.forward import TINY


@cache
def backward_kernel(dtype, knots: bool, linear: bool, size: int):
    """The kernel from dL/dt (R * K,) of the samples and dL/dy (R,) to dL/ds (densities' shape) and, if to_t, to dL/d(bins' ends).

    All of one ray, with bin i's h, s and x of the package's docstring and g_k = (dL/dt_k) / (|d| s(t_k)), sums over samples k:

        dL/ds_left(i)  = h (rest_i / 2 - sum_in_i g_k (x_k - x_k^2 / 2))
        dL/ds_right(i) = h (rest_i / 2 - sum_in_i g_k x_k^2 / 2)
        dL/dt_right(i) = |d| ((s_left + s_right) rest_i / 2 + (s_right - s_left) sum_in_i g_k x_k^2 / 2)
        dL/dt_left(i)  = sum_in_i dL/dt_k - dL/dt_right(i)
        rest_i = (1 - y) dL/dy + sum r_k g_k - sum_behind_i g_k

    What two bins have in common, a knot or its density, gets the sum of both; a bin of one density gets the sum of its two ends.
    Samples of a ray without density are even in t: they move its first and last t only. dtype, knots, linear, size: as `forward`.
    """
    floats, whole = (ti.types.ndarray(dtype=each, ndim=1) for each in (dtype, ti.i32))
    t_shift, s_shift = int(knots), int(linear)
    chunk, more = (ti.types.vector(count, dtype) for count in (size, size + 1))

    @ti.func
    def gradient_of_thickness(
        r, samples, clear, empty, uniforms: array, drawn_densities: array, grad_drawn: array, grad_opacity: array
    ):
        """dL / dPhi(far): through the ray's opacity, and through the samples by dE / dPhi(far)."""
        total = grad_opacity[r] * clear
        if not empty:
            for k in range(r * samples, (r + 1) * samples):
                u = uniforms[k]
                rate = u * clear / ti.max(u * clear + (1.0 - u), 1e-37)
                total += rate * grad_drawn[k] / ti.max(drawn_densities[k], TINY)
        return total

    @ti.func
    def evenly_drawn(k, samples, uniforms: array, grad_drawn: array, to_end: ti.template()):
        """What the samples of a ray without density give to its last t (to_end), or to its first."""
        total = ti.cast(0.0, dtype)
        for j in range(k, k + samples):
            total += (uniforms[j] if ti.static(to_end) else 1.0 - uniforms[j]) * grad_drawn[j]
        return total

    @ti.kernel
    def backward(
        t_starts: floats, t_ends: floats, densities: floats, offsets: whole, lengths: floats, uniforms: floats,
        thickness: floats, bins: whole, fractions: floats, drawn_densities: floats,
        grad_drawn: floats, grad_opacity: floats,  # (R * K,), (R,)
        grad_t_starts: floats, grad_t_ends: floats, grad_densities: floats,  # out; with knots, grad_t_starts is that of all knots
        samples: ti.i32,
        to_t: ti.template(),  # whether gradients of t_starts and t_ends are wanted
    ):
        for r in range(offsets.shape[0] - 1):
            count, length, first_sample = offsets[r + 1] - offsets[r], lengths[r], r * samples
            first_t, first_s = offsets[r] + r * t_shift, offsets[r] + r * s_shift
            clear, empty = ti.exp(-thickness[r]), thickness[r] <= TINY
            # From the last bins to the first. Sums over a bin's samples, with x their fraction of the bin and g = dL/dt / s(t):
            # mass of g, firsts of g x, seconds of g x^2 / 2, pulls of dL/dt. `rests` is what moves all that lies before a bin,
            # dL / dPhi(far) less the mass behind. Lefts and rights are the gradients of its two ends; one past a chunk's last
            # bin, lefts has that of the next bin, which begins where this one ends.
            mass, firsts, seconds, pulls, rests = chunk(0.0), chunk(0.0), chunk(0.0), chunk(0.0), chunk(0.0)
            rights, rights_t, lefts, lefts_t = chunk(0.0), chunk(0.0), more(0.0), more(0.0)
            rest = gradient_of_thickness(r, samples, clear, empty, uniforms, drawn_densities, grad_drawn, grad_opacity)
            k, end = samples - 1, count
            while end > 0:
                some = ti.min(size, end)
                begin = end - some
                lefts[some], lefts_t[some] = lefts[0], lefts_t[0]
                for n in range(some):
                    mass[n], firsts[n], seconds[n], pulls[n] = 0.0, 0.0, 0.0, 0.0
                while k >= 0 and bins[first_sample + k] >= begin:
                    n, x, pull = bins[first_sample + k] - begin, fractions[first_sample + k], grad_drawn[first_sample + k]
                    g = pull / ti.max(drawn_densities[first_sample + k], TINY)
                    mass[n] += g
                    firsts[n] += g * x
                    seconds[n] += 0.5 * g * x * x
                    if ti.static(to_t):
                        pulls[n] += pull
                    k -= 1
                for m in range(some):
                    n = some - 1 - m
                    rests[n] = rest
                    rest -= mass[n]
                for n in range(some):
                    i = begin + n
                    width = t_ends[first_t + i + t_shift] - t_starts[first_t + i]
                    s_left, s_right = densities[first_s + i], densities[first_s + i + s_shift]
                    lefts[n] = length * width * (0.5 * rests[n] - (firsts[n] - seconds[n]))
                    rights[n] = length * width * (0.5 * rests[n] - seconds[n])
                    if ti.static(to_t):
                        mean, bend = 0.5 * length * (s_left + s_right) * rests[n], length * (s_right - s_left) * seconds[n]
                        lefts_t[n], rights_t[n] = pulls[n] - bend - mean, bend + mean
                if ti.static(to_t):
                    if empty and end == count:
                        rights_t[some - 1] += evenly_drawn(first_sample, samples, uniforms, grad_drawn, True)
                    if empty and begin == 0:
                        lefts_t[0] += evenly_drawn(first_sample, samples, uniforms, grad_drawn, False)
                    for n in range(some):
                        if ti.static(knots):
                            grad_t_starts[first_t + begin + n + 1] = rights_t[n] + lefts_t[n + 1]
                        else:
                            grad_t_ends[first_t + begin + n], grad_t_starts[first_t + begin + n] = rights_t[n], lefts_t[n]
                for n in range(some):
                    if ti.static(linear):
                        grad_densities[first_s + begin + n + 1] = rights[n] + lefts[n + 1]
                    else:
                        grad_densities[first_s + begin + n] = rights[n] + lefts[n]
                end = begin
            if ti.static(linear):
                grad_densities[first_s] = lefts[0]
            if ti.static(to_t and knots):
                grad_t_starts[first_t] = lefts_t[0]

    return backward
