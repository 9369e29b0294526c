"""The distortion of the weights along rays: how far they are spread out.

With weights w_i on intervals of middles m_i and widths d_i, all in units of t:

    L = sum_ij w_i w_j |m_i - m_j| + 1/3 sum_i w_i^2 d_i
      = 2 sum_i w_i (m_i W_i - M_i) + 1/3 sum_i w_i^2 d_i,   W_i = sum_{j < i} w_j,   M_i = sum_{j < i} w_j m_j

the mean distance of two t that are drawn by the weights. One pass over a ray's samples, forward and backward. Source: Barron
et al. 2022 (mip-NeRF 360), eq. 15; Sun et al. 2022 for the sums.
"""

from functools import cache

import taichi as ti
import torch
from torch import Tensor

from taichi_kernels import runtime
from taichi_kernels.common.derivatives import once_differentiable
from taichi_kernels.common.types import taichi_type


@cache
def _kernels(dtype):
    """(forward, backward): a ray a loop turn."""
    scalars = ti.types.ndarray(dtype=dtype, ndim=1)
    offsets_type = ti.types.ndarray(dtype=ti.i32, ndim=1)

    @ti.kernel
    def forward(weights: scalars, t_starts: scalars, t_ends: scalars, offsets: offsets_type, out: scalars):  # (M,) ..., (R,) out
        for r in range(offsets.shape[0] - 1):
            before, moment, total = ti.cast(0.0, dtype), ti.cast(0.0, dtype), ti.cast(0.0, dtype)
            origin = t_starts[ti.min(offsets[r], t_starts.shape[0] - 1)]  # sums of t near 0 lose fewer digits
            for k in range(offsets[r], offsets[r + 1]):
                w, middle = weights[k], 0.5 * (t_starts[k] + t_ends[k]) - origin
                total += w * (2.0 * (middle * before - moment) + w * (t_ends[k] - t_starts[k]) / 3.0)
                before += w
                moment += w * middle
            out[r] = total

    @ti.kernel
    def backward(
        weights: scalars, t_starts: scalars, t_ends: scalars, offsets: offsets_type,  # (M,) ..., (R + 1,)
        grad: scalars,  # (R,)
        grad_weights: scalars, grad_t_starts: scalars, grad_t_ends: scalars,  # (M,) out
    ):
        for r in range(offsets.shape[0] - 1):
            behind, later = ti.cast(0.0, dtype), ti.cast(0.0, dtype)  # sums of w and of w m over the samples from here on
            origin = t_starts[ti.min(offsets[r], t_starts.shape[0] - 1)]
            for k in range(offsets[r], offsets[r + 1]):
                behind += weights[k]
                later += weights[k] * (0.5 * (t_starts[k] + t_ends[k]) - origin)
            before, moment = ti.cast(0.0, dtype), ti.cast(0.0, dtype)
            for k in range(offsets[r], offsets[r + 1]):
                w, width, middle = weights[k], t_ends[k] - t_starts[k], 0.5 * (t_starts[k] + t_ends[k]) - origin
                behind -= w
                later -= w * middle
                spread = middle * (before - behind) - moment + later
                grad_weights[k] = grad[r] * (2.0 * spread + 2.0 / 3.0 * w * width)
                shift, stretch = grad[r] * w * (before - behind), grad[r] * w * w / 3.0
                grad_t_starts[k], grad_t_ends[k] = shift - stretch, shift + stretch
                before += w
                moment += w * middle

    return forward, backward


class _Distortion(torch.autograd.Function):
    @staticmethod
    def forward(ctx, weights, t_starts, t_ends, offsets):
        inputs = [t.detach().contiguous() for t in (weights, t_starts, t_ends, offsets)]
        out = weights.new_zeros(len(offsets) - 1)
        if weights.numel():
            _kernels(taichi_type(weights))[0](*inputs, out)
        ctx.save_for_backward(*inputs, out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        *inputs, _ = (t.detach() for t in ctx.saved_tensors)
        results = [torch.zeros_like(inputs[0]) for _ in range(3)]
        if inputs[0].numel():
            _kernels(taichi_type(inputs[0]))[1](*inputs, grad.contiguous(), *results)
        return *results, None


def distortion(weights: Tensor, t_starts: Tensor, t_ends: Tensor, offsets: Tensor | None = None) -> Tensor:
    """The distortion (R,), in t, of each ray's weights; see the module's docstring.

    Packed samples: weights, t_starts and t_ends (M,), ascending along each ray, and offsets (R + 1,) int32 as `composite` takes
    them; a ray may have none. Dense samples: the same without offsets, as (R, N). Differentiable in all three. Raises ValueError
    on shapes that do not fit.
    """
    shape = weights.shape
    if t_starts.shape != shape or t_ends.shape != shape or len(shape) != (2 if offsets is None else 1):
        shapes = ", ".join(str(tuple(t.shape)) for t in (weights, t_starts, t_ends))
        raise ValueError(f"expected weights, t_starts and t_ends (M,) with offsets, or (R, N) without; got {shapes}")
    runtime.ensure_init()
    if offsets is None:
        offsets = torch.arange(shape[0] + 1, dtype=torch.int32, device=weights.device) * shape[1]
    return _Distortion.apply(*(t.reshape(-1) for t in (weights, t_starts, t_ends)), offsets)
