"""Positional encoding: coordinates, and their sines and cosines at octaves.

    [x, sin(x), cos(x), sin(2 x), cos(2 x), ..., sin(2^(L-1) x), cos(2^(L-1) x)]

with each entry standing for all D coordinates. Source: Mildenhall et al. 2020, eq. 4, without its factor pi, as its program does.
"""

from functools import cache

import taichi as ti
import torch
from torch import Tensor

from taichi_kernels import runtime
from taichi_kernels.common.derivatives import once_differentiable
from taichi_kernels.common.types import taichi_type
from taichi_kernels.common.waves import sine_and_cosine

_CHUNK = 32  # samples that the CPU works on at a time


@cache
def _kernels(dtype, octaves: int, lanes: int, stride: int):
    """(forward, backward); octave by octave over `lanes` samples at a time, which lie in local arrays."""
    rows = ti.types.ndarray(dtype=dtype, ndim=2)
    chunk, waves = ti.types.vector(lanes, dtype), sine_and_cosine(dtype)

    @ti.kernel
    def forward(values: rows, out: rows, workers: int):  # (N, D), (N, D (1 + 2 octaves)) out
        for turn in range(workers * stride):
            if turn % stride == 0:
                count, axes = values.shape[0], values.shape[1]
                start = turn // stride * lanes
                while start < count:
                    size = ti.min(lanes, count - start)
                    for axis in range(axes):
                        x, sines, cosines = chunk(0.0), chunk(0.0), chunk(0.0)
                        for i in range(size):
                            x[i] = values[start + i, axis]
                            out[start + i, axis] = x[i]
                        factor = 1.0
                        for octave in range(octaves):
                            for i in range(lanes):
                                sines[i], cosines[i] = waves(x[i], factor)
                            column = axes * (1 + 2 * octave) + axis
                            for i in range(size):
                                out[start + i, column] = sines[i]
                                out[start + i, column + axes] = cosines[i]
                            factor *= 2.0
                    start += workers * lanes

    @ti.kernel
    def backward(out: rows, grad: rows, grad_values: rows, axes: int):  # grad_values: (N, D) out
        for n in range(out.shape[0]):
            for axis in range(axes):
                total, factor = grad[n, axis], ti.cast(1.0, dtype)
                for octave in range(octaves):
                    s = axes * (1 + 2 * octave) + axis
                    c = s + axes
                    total += factor * (grad[n, s] * out[n, c] - grad[n, c] * out[n, s])
                    factor *= 2.0
                grad_values[n, axis] = total

    return forward, backward


def _kernels_for(values: Tensor, octaves: int):
    """The kernels, and how many workers they have."""
    lanes, stride, workers = runtime.chunking(len(values), _CHUNK)
    return _kernels(taichi_type(values), octaves, lanes, stride), workers


class _Encode(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values, octaves):
        values = values.detach().contiguous()
        out = values.new_empty(len(values), values.shape[1] * (1 + 2 * octaves))
        if out.numel():
            kernels, workers = _kernels_for(values, octaves)
            kernels[0](values, out, workers)
        ctx.save_for_backward(out)
        ctx.sizes = values.shape[1], octaves
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        (out,) = (t.detach() for t in ctx.saved_tensors)
        axes, octaves = ctx.sizes
        total = out.new_empty(len(out), axes)
        if total.numel():
            _kernels_for(out, octaves)[0][1](out, grad.contiguous(), total, axes)
        return total, None


def encode_frequencies(values: Tensor, octaves: int) -> Tensor:
    """The positional encoding (N, D (1 + 2 octaves)) of values (N, D); see the module's docstring. Differentiable in the values.

    Raises ValueError on shapes that do not fit.
    """
    if values.ndim != 2 or not 0 <= octaves <= 24:
        raise ValueError(f"expected values (N, D) and 0 to 24 octaves; got {tuple(values.shape)}, {octaves}")
    runtime.ensure_init()
    return _Encode.apply(values, octaves)
