"""Compositing of samples along rays: the volume-rendering quadrature, exact for piecewise-constant density and colour.

A ray of direction d has intervals [a_i, b_i] (units of t) with density s_i (per world unit) and colour c_i. With |d| world units
per t, optical thickness x_i = s_i |d| (b_i - a_i) and transmittance T_i = exp(-sum_{j < i} x_j):

    w_i = T_i (1 - exp(-x_i)),   colour = sum w_i c_i,   transmittance = exp(-sum x_i) = 1 - sum w_i
    depth = sum w_i m_i,   m_i = a_i + (b_i - a_i) f(x_i),   f(x) = 1/x - 1/(exp(x) - 1)

m_i is the mean t at which light that stops in interval i does so; splitting an interval changes none of the sums. `median` is the
t at which the transmittance falls to a half, infinite if it stays above. Source: Max 1995; Mildenhall et al. 2020, eq. 3.
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

_CHUNK = 16  # samples of a ray that the CPU takes the exponentials of at a time


class Composite(NamedTuple):
    """What R rays with M samples in all composite to."""

    colour: Tensor  # (R, C)
    transmittance: Tensor  # (R,): the weight of what lies behind; 1 - opacity
    depth: Tensor | None  # (R,) in t, with_weights by w: divide by the opacity for a mean; None unless requested
    median: Tensor | None  # (R,) in t, infinite if the transmittance stays above a half; not differentiable
    weights: Tensor | None  # (M,), or (R, N) for dense samples; None of a ray that was not composited sample by sample


@ti.func
def mean_fraction(x, opacity):
    """f(x), the fraction of an interval of thickness x at which light stops on average: from 1/2 for small x to 0 for large.

    opacity: that of the interval, 1 - exp(-x).
    """
    xx = x * x
    series = 0.5 - x * (1.0 / 12.0 - xx * (1.0 / 720.0 - xx * (1.0 / 30240.0 - xx * (1.0 / 1209600.0))))
    safe, part = ti.max(x, 0.5), ti.max(opacity, 0.3)
    return ti.select(x < 0.5, series, 1.0 / safe - (1.0 - part) / part)


@ti.func
def mean_fraction_slope(x, opacity):
    """df/dx."""
    xx = x * x
    series = -1.0 / 12.0 + xx * (1.0 / 240.0 - xx * (1.0 / 6048.0 - xx * (1.0 / 172800.0 - xx * (1.0 / 5322240.0))))
    safe, part = ti.max(x, 0.5), ti.max(opacity, 0.3)
    return ti.select(x < 0.5, series, (1.0 - part) / (part * part) - 1.0 / (safe * safe))


@cache
def _kernels(dtype, channels: int, size: int):
    """(forward, backward): a ray a loop turn, on a CPU and on a GPU. No sample but a ray's own is written.

    size: samples of a ray that the forward pass looks at together, so that the compiler vectorises what does not depend on the
    sample before.
    """
    scalars = ti.types.ndarray(dtype=dtype, ndim=1)
    colours_type = ti.types.ndarray(dtype=ti.types.vector(channels, dtype), ndim=1)
    offsets_type = ti.types.ndarray(dtype=ti.i32, ndim=1)
    vector, chunk = ti.types.vector(channels, dtype), ti.types.vector(size, dtype)
    opacity_of = one_minus_exp_f32 if dtype == ti.f32 else one_minus_exp

    @ti.kernel
    def forward(
        densities: scalars, colours: colours_type,  # (M,), (M, C)
        t_starts: scalars, t_ends: scalars,  # (M,) t
        offsets: offsets_type,  # (R + 1,): samples offsets[r] to offsets[r + 1] belong to ray r
        lengths: scalars,  # (R,) world units per t
        out: colours_type, transmittance: scalars, depth: scalars, median: scalars,  # (R, C), (R,) ... out
        weights: scalars,  # (M,) out
        with_depth: ti.template(),  # whether depth and median are wanted
    ):
        for r in range(offsets.shape[0] - 1):
            left, half = ti.cast(1.0, dtype), ti.cast(ti.math.inf, dtype)
            colour, far, passed = vector(0.0), ti.cast(0.0, dtype), ti.cast(0.0, dtype)
            thickness, opacity, fraction = chunk(0.0), chunk(0.0), chunk(0.0)
            first, last = offsets[r], offsets[r + 1]
            while first < last:
                count = ti.min(size, last - first)
                for i in range(count):
                    thickness[i] = densities[first + i] * lengths[r] * (t_ends[first + i] - t_starts[first + i])
                for i in range(size):
                    opacity[i] = opacity_of(thickness[i])
                if ti.static(with_depth):
                    for i in range(size):
                        fraction[i] = mean_fraction(thickness[i], opacity[i])
                for i in range(count):
                    k = first + i
                    weight = left * opacity[i]
                    colour += weight * colours[k]
                    weights[k] = weight
                    passed += thickness[i]
                    after = left - weight
                    if ti.static(with_depth):
                        width = t_ends[k] - t_starts[k]
                        far += weight * (t_starts[k] + width * fraction[i])
                        if left > 0.5 and after <= 0.5:
                            half = t_starts[k] + width * ti.min(ti.log(2.0 * left) / thickness[i], 1.0)
                    left = after
                first += count
            out[r], transmittance[r] = colour, ti.exp(-passed)
            if ti.static(with_depth):
                depth[r], median[r] = far, half

    @ti.kernel
    def backward(
        densities: scalars, colours: colours_type, t_starts: scalars, t_ends: scalars, offsets: offsets_type, lengths: scalars,
        transmittance: scalars, weights: scalars,
        grad_out: colours_type, grad_transmittance: scalars, grad_depth: scalars,  # (R, C), (R,), (R,)
        grad_weights: scalars,  # (M,)
        grad_densities: scalars, grad_colours: colours_type, grad_t_starts: scalars, grad_t_ends: scalars,  # (M,), (M, C) ... out
        with_depth: ti.template(), with_weights: ti.template(),  # whether there are gradients of depths and of weights
        to_t: ti.template(),  # whether those to t_starts and t_ends are wanted
    ):
        for r in range(offsets.shape[0] - 1):
            # Back to front: `after` is the transmittance behind the sample, `behind` the value of all that lies there.
            after, behind = transmittance[r], grad_transmittance[r] * transmittance[r]
            g = grad_out[r]
            first, last = offsets[r], offsets[r + 1]
            for i in range(last - first):
                k = last - 1 - i
                width, weight = t_ends[k] - t_starts[k], weights[k]
                value, grad_thickness, along = g.dot(colours[k]), ti.cast(0.0, dtype), ti.cast(0.0, dtype)
                if ti.static(with_weights):
                    value += grad_weights[k]
                if ti.static(with_depth):
                    thickness = densities[k] * lengths[r] * width
                    opacity = opacity_of(thickness)
                    fraction, g_depth = mean_fraction(thickness, opacity), grad_depth[r]
                    value += g_depth * (t_starts[k] + width * fraction)
                    grad_thickness = g_depth * weight * width * mean_fraction_slope(thickness, opacity)
                    along = g_depth * weight * fraction
                grad_thickness += after * value - behind
                grad_densities[k] = grad_thickness * lengths[r] * width
                grad_colours[k] = weight * g
                if ti.static(to_t):
                    grad_width = grad_thickness * densities[k] * lengths[r] + along
                    grad_t_ends[k], grad_t_starts[k] = grad_width, -grad_width
                    if ti.static(with_depth):
                        grad_t_starts[k] += grad_depth[r] * weight
                behind += weight * value
                after += weight

    return forward, backward


def _kernels_for(values: Tensor, channels: int):
    return _kernels(taichi_type(values), channels, 1 if runtime.is_gpu() else _CHUNK)


class _Composite(torch.autograd.Function):
    @staticmethod
    def forward(ctx, densities, colours, t_starts, t_ends, offsets, lengths, with_depth):
        ctx.set_materialize_grads(False)
        inputs = [t.detach().contiguous() for t in (densities, colours, t_starts, t_ends, offsets, lengths)]
        rays, channels = len(offsets) - 1, colours.shape[1]
        per_ray = [densities.new_empty(rays if wanted else 0) for wanted in (True, with_depth, with_depth)]
        out, weights = densities.new_empty(rays, channels), torch.empty_like(inputs[0])
        if rays:
            spare = [t if t.numel() else densities.new_empty(1) for t in per_ray]
            _kernels_for(densities, channels)[0](*inputs, out, *spare, weights, with_depth)
        transmittance, depth, median = per_ray
        ctx.save_for_backward(*inputs, transmittance, weights)
        ctx.mark_non_differentiable(median)
        return out, transmittance, depth, median, weights

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_out, grad_transmittance, grad_depth, _, grad_weights):
        saved = [t.detach() for t in ctx.saved_tensors]
        densities, colours, transmittance = saved[0], saved[1], saved[6]
        rays, channels = len(transmittance), colours.shape[1]
        grad_out, grad_transmittance = (transmittance.new_zeros(shape) if grad is None else grad.contiguous()
                                        for grad, shape in ((grad_out, (rays, channels)), (grad_transmittance, (rays,))))
        with_depth, with_weights, to_t = grad_depth is not None, grad_weights is not None, any(ctx.needs_input_grad[2:4])
        one = densities.new_empty(1)
        others = (grad_depth.contiguous() if with_depth else one, grad_weights.contiguous() if with_weights else one)
        results = [torch.empty_like(t) for t in (densities, colours)]
        results += [torch.empty_like(densities) if to_t else one for _ in range(2)]
        if rays:
            kernel = _kernels_for(densities, channels)[1]
            kernel(*saved, grad_out, grad_transmittance, *others, *results, with_depth, with_weights, to_t)
        return *results[:2], *(results[2:] if to_t else (None, None)), None, None, None


def composite(
    densities: Tensor, colours: Tensor, t_starts: Tensor, t_ends: Tensor, *, offsets: Tensor | None = None,
    lengths: Tensor | None = None, depth: bool = True,
) -> Composite:
    """Composite samples front to back; see the module's docstring.

    Packed samples: densities (M,) >= 0, colours (M, C), t_starts and t_ends (M,), ascending along each ray, and offsets (R + 1,)
    int32 with offsets[0] = 0 and offsets[R] = M; a ray may have none. Dense samples: the same without offsets, as (R, N) and
    (R, N, C). lengths (R,): world units per t, 1 if left out. depth: whether depth and median are wanted, which take time.
    Differentiable in densities, colours, t_starts and t_ends. Raises ValueError on shapes that do not fit.
    """
    shape = densities.shape
    if t_starts.shape != shape or t_ends.shape != shape or colours.shape[:-1] != shape:
        shapes = ", ".join(str(tuple(t.shape)) for t in (densities, colours, t_starts, t_ends))
        raise ValueError(f"expected densities (M,), colours (M, C), t_starts and t_ends (M,), or (R, N) each; got {shapes}")
    runtime.ensure_init()
    if offsets is None:
        if len(shape) != 2:
            raise ValueError(f"dense samples are (R, N), packed ones need offsets; got {tuple(shape)}")
        offsets = torch.arange(shape[0] + 1, dtype=torch.int32, device=densities.device) * shape[1]
    elif len(shape) != 1 or offsets.dtype != torch.int32 or offsets.ndim != 1 or len(offsets) < 1:
        raise ValueError(f"packed samples are (M,) with int32 offsets (R + 1,); got {tuple(shape)}, {tuple(offsets.shape)}")
    rays = len(offsets) - 1
    if lengths is None:
        lengths = densities.new_ones(rays)
    elif lengths.shape != (rays,):
        raise ValueError(f"expected lengths ({rays},); got {tuple(lengths.shape)}")
    flat = (densities.reshape(-1), colours.reshape(-1, colours.shape[-1]), t_starts.reshape(-1), t_ends.reshape(-1))
    colour, transmittance, *depths, weights = _Composite.apply(*flat, offsets, lengths, depth)
    return Composite(colour, transmittance, *(depths if depth else (None, None)), weights.view(shape))
