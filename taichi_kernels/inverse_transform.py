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
from taichi_kernels.compositing import absorbed, absorbed_f32
from taichi_kernels.splatting.binning import taichi_type

_CHUNK = 16  # samples of a ray that the CPU works out at a time
_TINY = 1e-30  # a density times a length, below which there is nothing


class Drawn(NamedTuple):
    """What R rays give for K numbers each."""

    places: Tensor  # (R, K) t, ascending along a ray
    opacity: Tensor  # (R,) y: the share of light that the ray's density absorbs
    rates: Tensor  # (R, K): the density there, per t; not differentiable


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
def _kernels(dtype, knots: bool, linear: bool, size: int):
    """(forward, backward): a ray a loop turn, on a CPU and on a GPU.

    size: samples of a ray that are looked at together, so that the compiler vectorises what does not depend on the one before;
    knots: bins of a ray share their ends, which lie in one array, one more than bins; linear: so do the densities. Otherwise
    there are arrays of the bins' starts, ends and densities.
    """
    floats = ti.types.ndarray(dtype=dtype, ndim=1)
    rows = ti.types.ndarray(dtype=dtype, ndim=2)
    whole = ti.types.ndarray(dtype=ti.i32, ndim=2)
    offsets_type = ti.types.ndarray(dtype=ti.i32, ndim=1)
    t_shift, s_shift = int(knots), int(linear)
    share_of, log_of = (absorbed_f32, log_of_rest_f32) if dtype == ti.f32 else (absorbed, log_of_rest)
    chunk = ti.types.vector(size, dtype)

    @ti.kernel
    def forward(
        starts: floats, ends: floats, densities: floats,  # see `inverse_transform`
        offsets: offsets_type,  # (R + 1,): bins offsets[r] to offsets[r + 1] belong to ray r
        lengths: floats,  # (R,) world units per t
        uniforms: rows,  # (R, K) in [0, 1], ascending
        places: rows, thickness: floats,  # (R, K), (R,) out: the samples, and Phi(far)
        bins: whole, shares: rows,  # (R, K) out: the samples' bins, and which share of the bin lies before them
        rates: rows,  # (R, K) out: the density there, per t
    ):
        for r in range(offsets.shape[0] - 1):
            count, length = offsets[r + 1] - offsets[r], lengths[r]
            t, s = offsets[r] + r * t_shift, offsets[r] + r * s_shift  # the first bin's
            total = ti.cast(0.0, dtype)
            for i in range(count):
                total += 0.5 * length * (ends[t + i + t_shift] - starts[t + i]) * (densities[s + i] + densities[s + i + s_shift])
            thickness[r] = total
            y, clear = share_of(total), ti.exp(-total)
            begin, end = ti.cast(0.0, dtype), ti.cast(0.0, dtype)
            if count > 0:
                begin, end = starts[t], ends[t + count - 1 + t_shift]
            i, j, before, own = -1, 0, ti.cast(0.0, dtype), ti.cast(0.0, dtype)
            slope, base, left, width = ti.cast(0.0, dtype), ti.cast(0.0, dtype), begin, end - begin
            samples, first = uniforms.shape[1], 0
            wanted, rests, bases, slopes = chunk(0.0), chunk(0.0), chunk(0.0), chunk(0.0)
            while first < samples:
                some = ti.min(size, samples - first)
                for n in range(some):
                    u = uniforms[r, first + n]
                    wanted[n] = log_of(u * y, u * clear + (1.0 - u))
                for n in range(some):
                    while j < count and total > _TINY and (i < 0 or before + own < wanted[n]):
                        a, b = starts[t + j], ends[t + j + t_shift]
                        at_a, at_b = length * (b - a) * densities[s + j], length * (b - a) * densities[s + j + s_shift]
                        if at_a + at_b > 0.0:  # bins without density hold no sample
                            before += own
                            i, left, width, base, slope, own = j, a, b - a, at_a, at_b - at_a, 0.5 * (at_a + at_b)
                        j += 1
                    rests[n] = ti.min(ti.max(wanted[n] - before, 0.0), own)
                    bases[n], slopes[n] = base, slope
                    rates[r, first + n] = 1.0 / ti.max(width, _TINY)
                    bins[r, first + n], places[r, first + n], shares[r, first + n] = i, left, width
                for n in range(some):
                    root = ti.sqrt(ti.max(bases[n] * bases[n] + 2.0 * slopes[n] * rests[n], 0.0))
                    share = ti.min(2.0 * rests[n] / ti.max(bases[n] + root, _TINY), 1.0)
                    if total <= _TINY:  # where there is no density, samples are even
                        share = uniforms[r, first + n]
                    places[r, first + n] += shares[r, first + n] * share
                    shares[r, first + n] = share
                    rates[r, first + n] *= bases[n] + slopes[n] * share
                first += some

    @ti.kernel
    def backward(
        starts: floats, ends: floats, densities: floats, offsets: offsets_type, lengths: floats, uniforms: rows,
        thickness: floats, bins: whole, shares: rows,
        grad_places: rows, grad_opacity: floats,  # (R, K), (R,)
        grad_starts: floats, grad_ends: floats, grad_densities: floats,  # out; with knots, grad_starts is all places'
        moved: ti.template(),  # whether gradients of places are wanted
    ):
        for r in range(offsets.shape[0] - 1):
            count, length, samples = offsets[r + 1] - offsets[r], lengths[r], uniforms.shape[1]
            t, s = offsets[r] + r * t_shift, offsets[r] + r * s_shift
            clear = ti.exp(-thickness[r])
            whole_ray = grad_opacity[r] * clear  # dL / dPhi(far)
            empty = thickness[r] <= _TINY
            if not empty:
                for k in range(samples):
                    i, u = bins[r, k], uniforms[r, k]
                    density = densities[s + i] + shares[r, k] * (densities[s + i + s_shift] - densities[s + i])
                    rate = u * clear / ti.max(u * clear + (1.0 - u), 1e-37)
                    whole_ray += rate * grad_places[r, k] / ti.max(length * density, _TINY)
            # From the last bin to the first: `behind` is the sum of g / s(t) of the samples behind the bin.
            behind, carried_s, carried_t, k = ti.cast(0.0, dtype), ti.cast(0.0, dtype), ti.cast(0.0, dtype), samples - 1
            for n in range(count):
                i = count - 1 - n
                width, s_left, s_right = ends[t + i + t_shift] - starts[t + i], densities[s + i], densities[s + i + s_shift]
                g_left, g_right = 0.5 * width * (whole_ray - behind), 0.5 * width * (whole_ray - behind)
                mean = 0.5 * length * (s_left + s_right)
                t_right = mean * (whole_ray - behind)
                t_left = -t_right
                while k >= 0 and bins[r, k] == i and not empty:
                    share = shares[r, k]
                    density = s_left + share * (s_right - s_left)
                    g = grad_places[r, k] / ti.max(length * density, _TINY)
                    square = 0.5 * share * share
                    g_left -= g * width * (share - square)
                    g_right -= g * width * square
                    bend = g * length * (s_right - s_left) * square
                    t_right += bend
                    t_left += grad_places[r, k] - bend
                    behind += g
                    k -= 1
                if ti.static(linear):
                    grad_densities[s + i + 1] = length * (g_right + carried_s)
                    carried_s = g_left
                else:
                    grad_densities[s + i] = length * (g_left + g_right)
                if ti.static(moved):
                    if empty:
                        for j in range(samples):
                            if i == count - 1:
                                t_right += uniforms[r, j] * grad_places[r, j]
                            if i == 0:
                                t_left += (1.0 - uniforms[r, j]) * grad_places[r, j]
                    if ti.static(knots):
                        grad_starts[t + i + 1] = t_right + carried_t
                        carried_t = t_left
                    else:
                        grad_ends[t + i], grad_starts[t + i] = t_right, t_left
            if ti.static(linear):
                grad_densities[s] = length * carried_s
            if ti.static(moved and knots):
                grad_starts[t] = carried_t

    return forward, backward


def _kernels_for(values: Tensor, knots: bool, linear: bool):
    return _kernels(taichi_type(values), knots, linear, 1 if runtime.is_gpu() else _CHUNK)


class _Draw(torch.autograd.Function):
    @staticmethod
    def forward(ctx, starts, ends, densities, offsets, lengths, uniforms, knots, linear):
        ctx.set_materialize_grads(False)
        inputs = [t.detach().contiguous() for t in (starts, ends, densities, offsets, lengths, uniforms)]
        rays, samples = uniforms.shape
        places, shares, rates = (inputs[5].new_empty(rays, samples) for _ in range(3))
        thickness = inputs[5].new_empty(rays)
        bins = torch.empty(rays, samples, dtype=torch.int32, device=places.device)
        if rays:
            out = (_filled(t) for t in (places, thickness, bins, shares, rates))
            _kernels_for(places, knots, linear)[0](*(_filled(t) for t in inputs), *out)
        ctx.save_for_backward(*inputs, thickness, bins, shares)
        ctx.kinds = knots, linear
        ctx.mark_non_differentiable(rates)
        return places, -torch.expm1(-thickness), rates

    @staticmethod
    def backward(ctx, grad_places, grad_opacity, _):
        saved = [t.detach() for t in ctx.saved_tensors]
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
            arguments = [_filled(t) for t in (*saved, grad_places, grad_opacity)]
            _kernels_for(shares, knots, linear)[1](*arguments, *out, moved)
        return grad_starts, grad_ends, grad_densities, None, None, None, None, None


def _filled(tensor: Tensor) -> Tensor:
    """The tensor, or where it is empty one that kernels take: with as many rows as it has, one at least."""
    if tensor.numel():
        return tensor
    return tensor.new_zeros((max(len(tensor), 1), *(1 for _ in tensor.shape[1:])))


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

    densities (M,) per world unit, >= 0, starts and ends (M,) in t, ascending along each ray; offsets (R + 1,) int32: intervals
    offsets[r] to offsets[r + 1] belong to ray r, which may have none: its samples are at 0, its opacity is 0. uniforms (R, K)
    and lengths (R,) as `draw_from_knots` takes them. Differentiable in densities, starts and ends. Raises ValueError on shapes
    that do not fit.
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
