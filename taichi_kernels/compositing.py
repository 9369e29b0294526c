"""Compositing of samples along rays: the volume-rendering quadrature, exact for piecewise-constant density and colour.

A ray of direction d has intervals [a_i, b_i] (units of t) with density s_i (per world unit) and colour c_i. With |d| world units
per t, optical thickness x_i = s_i |d| (b_i - a_i) and transmittance T_i = exp(-sum_{j < i} x_j):

    w_i = T_i (1 - exp(-x_i)),   colour = sum w_i c_i,   transmittance = exp(-sum x_i) = 1 - sum w_i
    depth = sum w_i m_i,   m_i = a_i + (b_i - a_i) f(x_i),   f(x) = 1/x - 1/(exp(x) - 1)

m_i is the mean t at which light that ends in interval i ends, so that splitting an interval changes none of the sums. `median` is
the t at which the transmittance falls to a half, infinite where it stays above. Source: Max 1995; Mildenhall et al. 2020, eq. 3.
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
    depth: Tensor | None  # (R,) in t, weighted by w: divide by the opacity for a mean; None unasked
    median: Tensor | None  # (R,) in t, infinite where the ray stays more than half clear; not differentiable
    weights: Tensor | None  # (M,), or (R, N) for dense samples; None of a ray that was not composited sample by sample


@ti.func
def mean_place(x, share):
    """f(x), where in an interval of thickness x its light ends on average: 1/2 for thin ones, towards 0 for thick ones.

    share is 1 - exp(-x).
    """
    xx = x * x
    series = 0.5 - x * (1.0 / 12.0 - xx * (1.0 / 720.0 - xx * (1.0 / 30240.0 - xx * (1.0 / 1209600.0))))
    safe, part = ti.max(x, 0.5), ti.max(share, 0.3)
    return ti.select(x < 0.5, series, 1.0 / safe - (1.0 - part) / part)


@ti.func
def mean_place_slope(x, share):
    """df/dx."""
    xx = x * x
    series = -1.0 / 12.0 + xx * (1.0 / 240.0 - xx * (1.0 / 6048.0 - xx * (1.0 / 172800.0 - xx * (1.0 / 5322240.0))))
    safe, part = ti.max(x, 0.5), ti.max(share, 0.3)
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
    share_of = one_minus_exp_f32 if dtype == ti.f32 else one_minus_exp

    @ti.kernel
    def forward(
        densities: scalars, colours: colours_type,  # (M,), (M, C)
        starts: scalars, ends: scalars,  # (M,) t
        offsets: offsets_type,  # (R + 1,): samples offsets[r] to offsets[r + 1] belong to ray r
        lengths: scalars,  # (R,) world units per t
        out: colours_type, clear: scalars, depth: scalars, median: scalars,  # (R, C), (R,) ... out
        weights: scalars,  # (M,) out
        deep: ti.template(),  # whether depth and median are wanted
    ):
        for r in range(offsets.shape[0] - 1):
            left, half = ti.cast(1.0, dtype), ti.cast(ti.math.inf, dtype)
            colour, far, passed = vector(0.0), ti.cast(0.0, dtype), ti.cast(0.0, dtype)
            thickness, share, place = chunk(0.0), chunk(0.0), chunk(0.0)
            first, last = offsets[r], offsets[r + 1]
            while first < last:
                count = ti.min(size, last - first)
                for i in range(count):
                    thickness[i] = densities[first + i] * lengths[r] * (ends[first + i] - starts[first + i])
                for i in range(size):
                    share[i] = share_of(thickness[i])
                if ti.static(deep):
                    for i in range(size):
                        place[i] = mean_place(thickness[i], share[i])
                for i in range(count):
                    k = first + i
                    weight = left * share[i]
                    colour += weight * colours[k]
                    weights[k] = weight
                    passed += thickness[i]
                    after = left - weight
                    if ti.static(deep):
                        width = ends[k] - starts[k]
                        far += weight * (starts[k] + width * place[i])
                        if left > 0.5 and after <= 0.5:
                            half = starts[k] + width * ti.min(ti.log(2.0 * left) / thickness[i], 1.0)
                    left = after
                first += count
            out[r], clear[r] = colour, ti.exp(-passed)
            if ti.static(deep):
                depth[r], median[r] = far, half

    @ti.kernel
    def backward(
        densities: scalars, colours: colours_type, starts: scalars, ends: scalars, offsets: offsets_type, lengths: scalars,
        clear: scalars, weights: scalars,
        grad_out: colours_type, grad_clear: scalars, grad_depth: scalars,  # (R, C), (R,), (R,)
        grad_weights: scalars,  # (M,)
        grad_densities: scalars, grad_colours: colours_type, grad_starts: scalars, grad_ends: scalars,  # (M,), (M, C) ... out
        deep: ti.template(), weighted: ti.template(),  # whether there are gradients of depths and of weights
        moved: ti.template(),  # whether those to starts and ends are wanted
    ):
        for r in range(offsets.shape[0] - 1):
            # Back to front: `after` is the transmittance behind the sample, `behind` the value of all that lies there.
            after, behind = clear[r], grad_clear[r] * clear[r]
            g = grad_out[r]
            first, last = offsets[r], offsets[r + 1]
            for i in range(last - first):
                k = last - 1 - i
                width, weight = ends[k] - starts[k], weights[k]
                value, grad_thickness, along = g.dot(colours[k]), ti.cast(0.0, dtype), ti.cast(0.0, dtype)
                if ti.static(weighted):
                    value += grad_weights[k]
                if ti.static(deep):
                    thickness = densities[k] * lengths[r] * width
                    share = share_of(thickness)
                    place, g_depth = mean_place(thickness, share), grad_depth[r]
                    value += g_depth * (starts[k] + width * place)
                    grad_thickness = g_depth * weight * width * mean_place_slope(thickness, share)
                    along = g_depth * weight * place
                grad_thickness += after * value - behind
                grad_densities[k] = grad_thickness * lengths[r] * width
                grad_colours[k] = weight * g
                if ti.static(moved):
                    grad_width = grad_thickness * densities[k] * lengths[r] + along
                    grad_ends[k], grad_starts[k] = grad_width, -grad_width
                    if ti.static(deep):
                        grad_starts[k] += grad_depth[r] * weight
                behind += weight * value
                after += weight

    return forward, backward


def _kernels_for(values: Tensor, channels: int):
    return _kernels(taichi_type(values), channels, 1 if runtime.is_gpu() else _CHUNK)


class _Composite(torch.autograd.Function):
    @staticmethod
    def forward(ctx, densities, colours, starts, ends, offsets, lengths, deep):
        ctx.set_materialize_grads(False)
        inputs = [t.detach().contiguous() for t in (densities, colours, starts, ends, offsets, lengths)]
        rays, channels = len(offsets) - 1, colours.shape[1]
        per_ray = [densities.new_empty(rays if wanted else 0) for wanted in (True, deep, deep)]
        out, weights = densities.new_empty(rays, channels), torch.empty_like(inputs[0])
        if rays:
            spare = [t if t.numel() else densities.new_empty(1) for t in per_ray]
            _kernels_for(densities, channels)[0](*inputs, out, *spare, weights, deep)
        clear, depth, median = per_ray
        ctx.save_for_backward(*inputs, clear, weights)
        ctx.mark_non_differentiable(median)
        return out, clear, depth, median, weights

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_out, grad_clear, grad_depth, _, grad_weights):
        saved = [t.detach() for t in ctx.saved_tensors]
        densities, colours, clear = saved[0], saved[1], saved[6]
        rays, channels = len(clear), colours.shape[1]
        grad_out, grad_clear = (clear.new_zeros(shape) if grad is None else grad.contiguous()
                                for grad, shape in ((grad_out, (rays, channels)), (grad_clear, (rays,))))
        deep, weighted, moved = grad_depth is not None, grad_weights is not None, any(ctx.needs_input_grad[2:4])
        one = densities.new_empty(1)
        others = (grad_depth.contiguous() if deep else one, grad_weights.contiguous() if weighted else one)
        results = [torch.empty_like(t) for t in (densities, colours)]
        results += [torch.empty_like(densities) if moved else one for _ in range(2)]
        if rays:
            kernel = _kernels_for(densities, channels)[1]
            kernel(*saved, grad_out, grad_clear, *others, *results, deep, weighted, moved)
        return *results[:2], *(results[2:] if moved else (None, None)), None, None, None


def composite(
    densities: Tensor, colours: Tensor, starts: Tensor, ends: Tensor, *, offsets: Tensor | None = None,
    lengths: Tensor | None = None, depth: bool = True,
) -> Composite:
    """Composite samples front to back; see the module's docstring.

    Packed samples: densities (M,) >= 0, colours (M, C), starts and ends (M,) in t, ascending along each ray, and offsets (R + 1,)
    int32 with offsets[0] = 0 and offsets[R] = M; a ray may have none. Dense samples: the same without offsets, as (R, N) and
    (R, N, C). lengths (R,): world units per t, 1 where left out. depth: whether depth and median are wanted, which take time.
    Differentiable in densities, colours, starts and ends; rays never touch each other's samples. Raises ValueError on shapes that
    do not fit.
    """
    shape = densities.shape
    if starts.shape != shape or ends.shape != shape or colours.shape[:-1] != shape:
        shapes = ", ".join(str(tuple(t.shape)) for t in (densities, colours, starts, ends))
        raise ValueError(f"expected densities (M,), colours (M, C), starts and ends (M,), or (R, N) each; got {shapes}")
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
    flat = (densities.reshape(-1), colours.reshape(-1, colours.shape[-1]), starts.reshape(-1), ends.reshape(-1))
    colour, clear, *places, weights = _Composite.apply(*flat, offsets, lengths, depth)
    return Composite(colour, clear, *(places if depth else (None, None)), weights.view(shape))
