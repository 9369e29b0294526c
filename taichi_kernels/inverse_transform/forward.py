"""Drawing: Phi along each ray, and the t at which it is what a sample wants.

What this kernel and the one in `backward` are made for. knots: neighbouring bins have an end in common, and all ends lie in one
array, one more than bins; linear: so do the densities. Otherwise there are arrays of the bins' starts, ends and densities.
size: so many of a ray's samples or bins are worked on together, so that the CPU's compiler vectorises. A turn of the outer loop
is a ray, on a CPU and on a GPU. `first_t` and `first_s` are a ray's first entries in the arrays of t and of densities.
"""

from functools import cache

import taichi as ti

from taichi_kernels.common.exponentials import one_minus_exp, one_minus_exp_f32
from taichi_kernels.common.types import array

TINY = 1e-30  # a density times a length, below which there is nothing


@ti.func
def log_of_rest(part, rest):
    """-log(1 - part) for part in [0, 1], to a relative 1e-9; rest is 1 - part, to its own full precision."""
    z = part / (2.0 - part)
    zz = z * z
    series = 2.0 * z * (1.0 + zz * (1.0 / 3.0 + zz * (1.0 / 5.0 + zz * (1.0 / 7.0 + zz * (1.0 / 9.0 + zz / 11.0)))))
    return ti.select(part < 0.2, series, -ti.log(ti.max(rest, 1e-37)))


@ti.func
def log_of_rest_f32(part, rest):
    """The same in single precision, of operations that the CPU's compiler vectorises: rest = m 2^e, and a series in m - 1."""
    z = part / (2.0 - part)
    zz = z * z
    series = 2.0 * z * (1.0 + zz * (1.0 / 3.0 + zz * (1.0 / 5.0 + zz / 7.0)))
    bits = ti.bit_cast(ti.max(rest, 1e-37), ti.i32)
    e = (bits - 0x3F3504F3) >> 23  # m from sqrt(1/2) to sqrt(2)
    w = ti.bit_cast(bits - (e << 23), ti.f32) - 1.0
    v = w / (2.0 + w)
    vv = v * v
    log_m = 2.0 * v * (1.0 + vv * (1.0 / 3.0 + vv * (1.0 / 5.0 + vv * (1.0 / 7.0 + vv / 9.0))))
    return ti.select(part < 0.2, series, -(ti.cast(e, ti.f32) * 0.6931471805599453 + log_m))


@cache
def forward_kernel(dtype, knots: bool, linear: bool, size: int):
    """The kernel from R rays with M bins and uniforms u (R * K,) to t (R * K,), Phi(far) (R,) and y (R,).

    Per sample, with the h, s, x of the package's docstring and the last bin i that begins before E = -log(1 - u y):

        w = E - Phi(t_left(i)),   a = h s_left,   b = h (s_right - s_left)
        x = 2 w / (a + sqrt(a^2 + 2 b w)),   t = t_left + x (t_right - t_left)

    It also writes what `backward` needs: bin, x and |d| s(t) of each sample (R * K,). In a ray without density t is
    (1 - u) t_first + u t_last, and the bin -1. t_starts, t_ends and densities have M entries, one more a ray with knots (t) or if
    linear (densities). dtype: ti.f32 or ti.f64 of all values; knots, linear, size: see the module's docstring.
    """
    floats, whole = (ti.types.ndarray(dtype=each, ndim=1) for each in (dtype, ti.i32))
    t_shift, s_shift = int(knots), int(linear)
    absorbed_by, log_of = (one_minus_exp_f32, log_of_rest_f32) if dtype == ti.f32 else (one_minus_exp, log_of_rest)
    chunk, whole_chunk = (ti.types.vector(size, each) for each in (dtype, ti.i32))

    @ti.func
    def integrate(
        t_starts: array, t_ends: array, densities: array, first_t, first_s, length, first_bin, count, thickness_before: array
    ):
        """Phi where each bin begins, into thickness_before; returns Phi(far), and the number of bins without density in front."""
        total, clear_bins = ti.cast(0.0, dtype), 0
        for i in range(count):
            thickness_before[first_bin + i] = total
            width = t_ends[first_t + i + t_shift] - t_starts[first_t + i]
            total += 0.5 * length * width * (densities[first_s + i] + densities[first_s + i + s_shift])
            clear_bins += ti.cast(total <= 0.0, ti.i32)
        return total, clear_bins

    @ti.func
    def bins_of(found: array, wanted: array, some, thickness_before: array, first_bin, clear_bins, count):
        """The last bins that begin before the wanted Phi, into found, by bisection. None is without density, for the bin after
        such a one begins at the same Phi."""
        for n in range(some):
            found[n] = clear_bins
        left = count - clear_bins
        while left > 1:
            half = left // 2
            for n in range(some):
                found[n] += ti.select(thickness_before[first_bin + found[n] + half] < wanted[n], half, 0)
            left -= half

    @ti.kernel
    def forward(
        t_starts: floats, t_ends: floats, densities: floats,  # t, t, and per world unit
        offsets: whole,  # (R + 1,): bins offsets[r] to offsets[r + 1] belong to ray r
        lengths: floats,  # (R,) world units per t
        uniforms: floats,  # (R * K,) in [0, 1], ascending
        drawn: floats, thickness: floats, opacity: floats,  # (R * K,), (R,), (R,) out: the samples' t, Phi(far), and y
        bins: whole, fractions: floats,  # (R * K,) out: the samples' bins, and which fraction of the bin lies before them
        drawn_densities: floats,  # (R * K,) out: the density there, per t
        thickness_before: floats,  # (M,) out: Phi where the bins begin
        samples: ti.i32,  # K
    ):
        for r in range(offsets.shape[0] - 1):
            count, length, first_bin = offsets[r + 1] - offsets[r], lengths[r], offsets[r]
            first_t, first_s = first_bin + r * t_shift, first_bin + r * s_shift
            total, clear_bins = integrate(
                t_starts, t_ends, densities, first_t, first_s, length, first_bin, count, thickness_before)
            clear, empty = ti.exp(-total), total <= TINY
            y = ti.select(total < 0.5, absorbed_by(total), 1.0 - clear)
            thickness[r], opacity[r] = total, y
            wanted, left_t, widths, left_densities, slopes = chunk(0.0), chunk(0.0), chunk(0.0), chunk(0.0), chunk(0.0)
            x, found = chunk(0.0), whole_chunk(0)
            done, last = 0, 0
            while done < samples:
                some, k = ti.min(size, samples - done), r * samples + done
                if empty:
                    begin, end = ti.cast(0.0, dtype), ti.cast(0.0, dtype)
                    if count > 0:
                        begin, end = t_starts[first_t], t_ends[first_t + count - 1 + t_shift]
                    for n in range(some):
                        u = uniforms[k + n]
                        drawn[k + n], drawn_densities[k + n] = begin + u * (end - begin), 0.0
                        bins[k + n], fractions[k + n] = -1, u
                else:
                    for n in range(some):
                        u = uniforms[k + n]
                        wanted[n] = ti.min(log_of(u * y, u * clear + (1.0 - u)), total)
                    bins_of(found, wanted, some, thickness_before, first_bin, clear_bins, count)
                    for n in range(some):  # ascending, which rounding of what is wanted does not promise
                        last = ti.max(last, found[n])
                        found[n] = last
                    for n in range(some):
                        i = found[n]
                        left_t[n], widths[n] = t_starts[first_t + i], t_ends[first_t + i + t_shift] - t_starts[first_t + i]
                        left_densities[n] = length * densities[first_s + i]
                        slopes[n] = length * (densities[first_s + i + s_shift] - densities[first_s + i])
                        wanted[n] = ti.max(wanted[n] - thickness_before[first_bin + i], 0.0)
                    for n in range(some):  # base x + slope x^2 / 2 = wanted
                        base, slope = widths[n] * left_densities[n], widths[n] * slopes[n]
                        root = ti.sqrt(ti.max(base * base + 2.0 * slope * wanted[n], 0.0))
                        x[n] = ti.min(2.0 * wanted[n] / ti.max(base + root, TINY), 1.0)
                        left_t[n] += widths[n] * x[n]  # from here on the samples' own t and density
                        left_densities[n] += slopes[n] * x[n]
                    for n in range(some):
                        drawn[k + n], drawn_densities[k + n] = left_t[n], left_densities[n]
                        bins[k + n], fractions[k + n] = found[n], x[n]
                done += some

    return forward
