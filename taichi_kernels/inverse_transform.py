"""Samples of a ray from the distribution that its own density induces, with exact gradients to the density.

Along a ray a density s(t) per world unit, |d| world units per t, gives Phi(t) = |d| int s, the opacity F(t) = 1 - exp(-Phi(t))
and y = F(far). A number u in [0, 1] becomes the place t with F(t) = u y, found as

    Phi(t) = E(u) = -log(1 - u y)

so that neither nearly empty nor nearly opaque rays lose their digits. In a bin [a, b] whose density goes linearly from s_a to
s_b, h = |d| (b - a), and x = (t - a) / (b - a) solves h s_a x + h (s_b - s_a) x^2 / 2 = E - Phi(a). With all else fixed,

    dt/ds_j = (r dPhi(far)/ds_j - dPhi(t)/ds_j) / (|d| s(t)),   r = dE/dPhi(far) = u (1 - y) / (1 - u y)

and the same with the places of the knots instead of s_j. An expectation over the ray, int c dF, is thus y times the mean of
c(t(u)), u even in [0, 1], and its gradient goes through the samples. Source: Morozov et al. 2023 (Differentiable Rendering with
Reparameterized Volume Sampling), sections 3 and 4; the inversion and its gradient in this form are worked out here.
"""

from functools import cache
from typing import NamedTuple

import taichi as ti
import torch
from torch import Tensor

from taichi_kernels import runtime
from taichi_kernels.common.derivatives import once_differentiable
from taichi_kernels.common.exponentials import one_minus_exp, one_minus_exp_f32
from taichi_kernels.common.types import taichi_type

_CHUNK = 64  # samples and bins of a ray that the CPU works out at a time
_TINY = 1e-30  # a density times a length, below which there is nothing


class Drawn(NamedTuple):
    """What R rays give for K numbers each."""

    t: Tensor  # (R, K), ascending along a ray
    opacity: Tensor  # (R,) y: the share of light that the ray's density absorbs
    densities: Tensor  # (R, K) at t, per t; not differentiable


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


# What both kernels are made for. knots: bins of a ray share their ends, which lie in one array, one more than bins; linear: so do
# the densities. Otherwise there are arrays of the bins' starts, ends and densities. size: as many of a ray's samples or bins are
# looked at together, so that the CPU's compiler vectorises. A turn of the outer loop is a ray, on a CPU and on a GPU.


@cache
def _forward_kernel(dtype, knots: bool, linear: bool, size: int):
    floats, whole = (ti.types.ndarray(dtype=kind, ndim=1) for kind in (dtype, ti.i32))
    t_shift, s_shift = int(knots), int(linear)
    share_of, log_of = (one_minus_exp_f32, log_of_rest_f32) if dtype == ti.f32 else (one_minus_exp, log_of_rest)
    chunk, whole_chunk = (ti.types.vector(size, kind) for kind in (dtype, ti.i32))

    @ti.kernel
    def forward(
        starts: floats, ends: floats, densities: floats,  # t, t, and per world unit
        offsets: whole,  # (R + 1,): bins offsets[r] to offsets[r + 1] belong to ray r
        lengths: floats,  # (R,) world units per t
        uniforms: floats,  # (R * K,) in [0, 1], ascending
        places: floats, thickness: floats, opacity: floats,  # (R * K,), (R,), (R,) out: the samples, Phi(far), and y
        bins: whole, shares: floats,  # (R * K,) out: the samples' bins, and which share of the bin lies before them
        rates: floats,  # (R * K,) out: the density there, per t
        upto: floats,  # (M,) out: Phi where the bins begin
        samples: ti.i32,  # K
    ):
        for r in range(offsets.shape[0] - 1):
            count, length = offsets[r + 1] - offsets[r], lengths[r]
            o, t, s = offsets[r], offsets[r] + r * t_shift, offsets[r] + r * s_shift  # the first bin's
            total, clear_bins = ti.cast(0.0, dtype), 0
            for i in range(count):
                upto[o + i] = total
                total += 0.5 * length * (ends[t + i + t_shift] - starts[t + i]) * (densities[s + i] + densities[s + i + s_shift])
                clear_bins += ti.cast(total <= 0.0, ti.i32)  # before the first one with density, which holds u = 0
            clear, empty = ti.exp(-total), total <= _TINY
            y = ti.select(total < 0.5, share_of(total), 1.0 - clear)
            thickness[r], opacity[r] = total, y
            wanted, lefts, widths, bases, slopes = chunk(0.0), chunk(0.0), chunk(0.0), chunk(0.0), chunk(0.0)
            found = whole_chunk(0)
            first, last = 0, 0
            while first < samples:
                some, k = ti.min(size, samples - first), r * samples + first
                if empty:
                    begin, end = ti.cast(0.0, dtype), ti.cast(0.0, dtype)
                    if count > 0:
                        begin, end = starts[t], ends[t + count - 1 + t_shift]
                    for n in range(some):
                        u = uniforms[k + n]
                        places[k + n], bins[k + n], shares[k + n], rates[k + n] = begin + u * (end - begin), -1, u, 0.0
                else:
                    for n in range(some):
                        u = uniforms[k + n]
                        wanted[n] = ti.min(log_of(u * y, u * clear + (1.0 - u)), total)
                        found[n] = clear_bins
                    # The last bin that begins before what is wanted: never one without density, for the next begins there too.
                    left = count - clear_bins
                    while left > 1:
                        half = left // 2
                        for n in range(some):
                            found[n] += ti.select(upto[o + found[n] + half] < wanted[n], half, 0)
                        left -= half
                    for n in range(some):  # ascending, which rounding of what is wanted does not promise
                        last = ti.max(last, found[n])
                        found[n] = last
                    for n in range(some):
                        i = found[n]
                        lefts[n], widths[n] = starts[t + i], ends[t + i + t_shift] - starts[t + i]
                        bases[n] = length * densities[s + i]
                        slopes[n] = length * (densities[s + i + s_shift] - densities[s + i])
                        wanted[n] = ti.max(wanted[n] - upto[o + i], 0.0)
                    for n in range(some):  # from here on what was wanted is the share of the bin, lefts places, and bases rates
                        base, slope = widths[n] * bases[n], widths[n] * slopes[n]
                        root = ti.sqrt(ti.max(base * base + 2.0 * slope * wanted[n], 0.0))
                        wanted[n] = ti.min(2.0 * wanted[n] / ti.max(base + root, _TINY), 1.0)
                        lefts[n] += widths[n] * wanted[n]
                        bases[n] += slopes[n] * wanted[n]
                    for n in range(some):
                        places[k + n], bins[k + n], shares[k + n], rates[k + n] = lefts[n], found[n], wanted[n], bases[n]
                first += some

    return forward


@cache
def _backward_kernel(dtype, knots: bool, linear: bool, size: int):
    floats, whole = (ti.types.ndarray(dtype=kind, ndim=1) for kind in (dtype, ti.i32))
    t_shift, s_shift = int(knots), int(linear)
    chunk, more = (ti.types.vector(count, dtype) for count in (size, size + 1))

    @ti.kernel
    def backward(
        starts: floats, ends: floats, densities: floats, offsets: whole, lengths: floats, uniforms: floats,
        thickness: floats, bins: whole, shares: floats, rates: floats,
        grad_places: floats, grad_opacity: floats,  # (R * K,), (R,)
        grad_starts: floats, grad_ends: floats, grad_densities: floats,  # out; with knots, grad_starts is all places'
        samples: ti.i32,
        moved: ti.template(),  # whether gradients of places are wanted
    ):
        for r in range(offsets.shape[0] - 1):
            count, length, o = offsets[r + 1] - offsets[r], lengths[r], r * samples
            t, s = offsets[r] + r * t_shift, offsets[r] + r * s_shift
            clear, empty = ti.exp(-thickness[r]), thickness[r] <= _TINY
            whole_ray = grad_opacity[r] * clear  # dL / dPhi(far)
            if not empty:
                for k in range(samples):
                    u = uniforms[o + k]
                    rate = u * clear / ti.max(u * clear + (1.0 - u), 1e-37)
                    whole_ray += rate * grad_places[o + k] / ti.max(rates[o + k], _TINY)
            # From the last bins to the first. Sums over a bin's samples, whose shares of it are x and for which g = dL/dt / s(t):
            # mass of g, firsts of g x, seconds of g x^2 / 2, pulls of dL/dt. `rests` is what moves all that lies before a bin,
            # dL / dPhi(far) less the mass behind. Lefts and rights are the gradients of its two ends; one past a chunk's last
            # bin, lefts has the one of the bin behind, which shares that end.
            mass, firsts, seconds, pulls, rests = chunk(0.0), chunk(0.0), chunk(0.0), chunk(0.0), chunk(0.0)
            rights, rights_t, lefts, lefts_t = chunk(0.0), chunk(0.0), more(0.0), more(0.0)
            rest, k, end = whole_ray, samples - 1, count
            while end > 0:
                some = ti.min(size, end)
                begin = end - some
                lefts[some], lefts_t[some] = lefts[0], lefts_t[0]
                for n in range(some):
                    mass[n], firsts[n], seconds[n], pulls[n] = 0.0, 0.0, 0.0, 0.0
                while k >= 0 and bins[o + k] >= begin:
                    n, share, pull = bins[o + k] - begin, shares[o + k], grad_places[o + k]
                    g = pull / ti.max(rates[o + k], _TINY)
                    mass[n] += g
                    firsts[n] += g * share
                    seconds[n] += 0.5 * g * share * share
                    if ti.static(moved):
                        pulls[n] += pull
                    k -= 1
                for m in range(some):
                    n = some - 1 - m
                    rests[n] = rest
                    rest -= mass[n]
                for n in range(some):
                    i = begin + n
                    width, s_left, s_right = ends[t + i + t_shift] - starts[t + i], densities[s + i], densities[s + i + s_shift]
                    lefts[n] = length * width * (0.5 * rests[n] - (firsts[n] - seconds[n]))
                    rights[n] = length * width * (0.5 * rests[n] - seconds[n])
                    if ti.static(moved):
                        mean, bend = 0.5 * length * (s_left + s_right) * rests[n], length * (s_right - s_left) * seconds[n]
                        lefts_t[n], rights_t[n] = pulls[n] - bend - mean, bend + mean
                if ti.static(moved):
                    if empty and end == count:
                        for j in range(samples):
                            rights_t[some - 1] += uniforms[o + j] * grad_places[o + j]
                    if empty and begin == 0:
                        for j in range(samples):
                            lefts_t[0] += (1.0 - uniforms[o + j]) * grad_places[o + j]
                    for n in range(some):
                        if ti.static(knots):
                            grad_starts[t + begin + n + 1] = rights_t[n] + lefts_t[n + 1]
                        else:
                            grad_ends[t + begin + n], grad_starts[t + begin + n] = rights_t[n], lefts_t[n]
                for n in range(some):
                    if ti.static(linear):
                        grad_densities[s + begin + n + 1] = rights[n] + lefts[n + 1]
                    else:
                        grad_densities[s + begin + n] = rights[n] + lefts[n]
                end = begin
            if ti.static(linear):
                grad_densities[s] = lefts[0]
            if ti.static(moved and knots):
                grad_starts[t] = lefts_t[0]

    return backward


def _made_for(values: Tensor, knots: bool, linear: bool) -> tuple:
    return taichi_type(values), knots, linear, 1 if runtime.is_gpu() else _CHUNK


class _Draw(torch.autograd.Function):
    @staticmethod
    def forward(ctx, starts, ends, densities, offsets, lengths, uniforms, knots, linear):
        ctx.set_materialize_grads(False)
        rays, samples = uniforms.shape
        inputs = [t.detach().contiguous() for t in (starts, ends, densities, offsets, lengths, uniforms.reshape(-1))]
        places, shares, rates = (uniforms.new_empty(rays, samples) for _ in range(3))
        bins = torch.empty_like(places, dtype=torch.int32)
        thickness, opacity, upto = (uniforms.new_empty(n) for n in (rays, rays, max(len(densities), len(starts))))
        if rays:
            out = (places, thickness, opacity, bins, shares, rates, upto)
            _forward_kernel(*_made_for(places, knots, linear))(*(_filled(t.view(-1)) for t in (*inputs, *out)), samples)
        ctx.save_for_backward(*inputs, thickness, bins, shares, rates, opacity)
        ctx.kinds = knots, linear
        ctx.mark_non_differentiable(rates)
        return places, opacity, rates

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_places, grad_opacity, _):
        *saved, _ = (t.detach() for t in ctx.saved_tensors)
        starts, ends, densities, thickness, shares = *saved[:3], saved[6], saved[8]
        knots, linear = ctx.kinds
        grad_places = torch.zeros_like(shares) if grad_places is None else grad_places.contiguous()
        grad_opacity = torch.zeros_like(thickness) if grad_opacity is None else grad_opacity.contiguous()
        moved, one = any(ctx.needs_input_grad[:2]), shares.new_empty(1)
        grad_starts, grad_ends = (torch.empty_like(t) if moved else None for t in (starts, ends))
        if moved and knots:  # one array has the places of both
            grad_ends = None
        grad_densities = torch.empty_like(densities)
        if len(thickness):
            out = [one if t is None else _filled(t) for t in (grad_starts, grad_ends, grad_densities)]
            arguments = [_filled(t.view(-1)) for t in (*saved, grad_places, grad_opacity)]
            _backward_kernel(*_made_for(shares, knots, linear))(*arguments, *out, shares.shape[1], moved)
        return grad_starts, grad_ends, grad_densities, None, None, None, None, None


def _filled(tensor: Tensor) -> Tensor:
    """The tensor, or where it is empty one that kernels take."""
    return tensor if tensor.numel() else tensor.new_zeros(1)


def draw_from_knots(knots: Tensor, densities: Tensor, uniforms: Tensor, *, lengths: Tensor | None = None) -> Drawn:
    """Sample rays whose density is given at knots; see the module's docstring.

    knots (R, N + 1), t, ascending; densities per world unit, >= 0: (R, N + 1) at the knots, linear in between, or (R, N), one for
    each bin between knots. uniforms (R, K) in [0, 1], ascending along each ray, so that samples are; lengths (R,): world units
    per t, 1 where left out. Where a ray has no density, its samples are even from the first knot to the last.
    Differentiable in densities and knots. Raises ValueError on shapes that do not fit.
    """
    rays, count = knots.shape if knots.ndim == 2 else (-1, 0)
    linear = densities.shape == (rays, count)
    if count < 2 or not (linear or densities.shape == (rays, count - 1)) or uniforms.ndim != 2 or len(uniforms) != rays:
        shapes = ", ".join(str(tuple(t.shape)) for t in (knots, densities, uniforms))
        raise ValueError(f"expected knots (R, N + 1), densities (R, N + 1) or (R, N), and uniforms (R, K); got {shapes}")
    offsets = torch.arange(rays + 1, dtype=torch.int32, device=knots.device) * (count - 1)
    flat = knots.reshape(-1)
    return _draw(flat, flat, densities.reshape(-1), offsets, lengths, uniforms, True, linear)


def draw_from_samples(
    densities: Tensor, starts: Tensor, ends: Tensor, offsets: Tensor, uniforms: Tensor, *, lengths: Tensor | None = None
) -> Drawn:
    """Sample rays by packed intervals, each of one density, with nothing in between: what `compositing.composite` composites.

    densities (M,) per world unit, >= 0, starts and ends (M,) in t, ascending along each ray; offsets (R + 1,) int32 from 0 to M:
    intervals offsets[r] to offsets[r + 1] belong to ray r, which may have none: its samples are at 0, its opacity is 0. uniforms
    (R, K) and lengths (R,) as `draw_from_knots` takes them. Differentiable in densities, starts and ends. Raises ValueError on
    shapes that do not fit.
    """
    rays = len(offsets) - 1
    if densities.ndim != 1 or not densities.shape == starts.shape == ends.shape or uniforms.ndim != 2 or len(uniforms) != rays:
        shapes = ", ".join(str(tuple(t.shape)) for t in (densities, starts, ends, offsets, uniforms))
        raise ValueError(f"expected densities, starts and ends (M,), offsets (R + 1,) and uniforms (R, K); got {shapes}")
    return _draw(starts, ends, densities, offsets, lengths, uniforms, False, False)


def _draw(starts, ends, densities, offsets, lengths, uniforms, knots: bool, linear: bool) -> Drawn:
    runtime.ensure_init()
    rays = len(uniforms)
    if lengths is None:
        lengths = densities.new_ones(rays)
    elif lengths.shape != (rays,):
        raise ValueError(f"expected lengths ({rays},); got {tuple(lengths.shape)}")
    kinds = {(tensor.dtype, tensor.device) for tensor in (starts, ends, densities, lengths, uniforms)}
    if len(kinds) > 1 or offsets.dtype != torch.int32 or offsets.device != densities.device:
        raise ValueError(f"expected tensors of one type on one device, and int32 offsets; got {kinds} and {offsets.dtype}")
    return Drawn(*_Draw.apply(starts, ends, densities, offsets, lengths, uniforms, knots, linear))
