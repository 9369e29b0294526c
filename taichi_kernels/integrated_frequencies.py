"""Integrated positional encoding: what sines and cosines of a coordinate are on average over a Gaussian.

With mean m and variance v of each coordinate, independent of the others, and octaves l = 0 to L - 1,

    E[sin(2^l x)] = sin(2^l m) exp(-4^l v / 2),   E[cos(2^l x)] = cos(2^l m) exp(-4^l v / 2)

    [sin(m), cos(m), sin(2 m), cos(2 m), ..., cos(2^(L-1) m)], each times its factor

with each entry standing for all D coordinates. A wave that is short beside the Gaussian fades: what it encodes is not there.
Source: Barron et al. 2021 (mip-NeRF), eq. 13 and 14, without the coordinates themselves, as there.
"""

from functools import cache

import taichi as ti
import torch
from torch import Tensor

from taichi_kernels import runtime
from taichi_kernels.common.derivatives import once_differentiable
from taichi_kernels.common.exponentials import exp_minus, exp_minus_f32
from taichi_kernels.common.types import taichi_type
from taichi_kernels.common.waves import sine_and_cosine

_CHUNK = 32  # samples that the CPU works on at a time


@cache
def _kernels(dtype, octaves: int, lanes: int, stride: int):
    """(forward, backward); octave by octave over `lanes` samples at a time, which lie in local arrays."""
    rows = ti.types.ndarray(dtype=dtype, ndim=2)
    chunk, waves = ti.types.vector(lanes, dtype), sine_and_cosine(dtype)
    faded = exp_minus_f32 if dtype == ti.f32 else exp_minus

    @ti.kernel
    def forward(means: rows, variances: rows, out: rows, workers: int):  # (N, D), (N, D), (N, 2 D octaves) out
        for turn in range(workers * stride):
            if turn % stride == 0:
                count, axes = means.shape[0], means.shape[1]
                start = turn // stride * lanes
                while start < count:
                    size = ti.min(lanes, count - start)
                    for axis in range(axes):
                        m, half, sines, cosines = chunk(0.0), chunk(0.0), chunk(0.0), chunk(0.0)
                        for i in range(size):
                            m[i], half[i] = means[start + i, axis], 0.5 * variances[start + i, axis]
                        factor = ti.cast(1.0, dtype)
                        for octave in range(octaves):
                            for i in range(lanes):
                                fade = faded(factor * factor * half[i])
                                s, c = waves(m[i], factor)
                                sines[i], cosines[i] = fade * s, fade * c
                            column = 2 * axes * octave + axis
                            for i in range(size):
                                out[start + i, column] = sines[i]
                                out[start + i, column + axes] = cosines[i]
                            factor *= 2.0
                    start += workers * lanes

    @ti.kernel
    def backward(out: rows, grad: rows, grad_means: rows, grad_variances: rows):  # (N, D) out, the last two
        for n in range(out.shape[0]):
            axes = grad_means.shape[1]
            for axis in range(axes):
                to_mean, to_variance, factor = ti.cast(0.0, dtype), ti.cast(0.0, dtype), ti.cast(1.0, dtype)
                for octave in range(octaves):
                    s = 2 * axes * octave + axis
                    c = s + axes
                    to_mean += factor * (grad[n, s] * out[n, c] - grad[n, c] * out[n, s])
                    to_variance -= 0.5 * factor * factor * (grad[n, s] * out[n, s] + grad[n, c] * out[n, c])
                    factor *= 2.0
                grad_means[n, axis], grad_variances[n, axis] = to_mean, to_variance

    return forward, backward


def _kernels_for(means: Tensor, octaves: int):
    """The kernels, and how many workers they have."""
    lanes, stride, workers = runtime.chunking(len(means), _CHUNK)
    return _kernels(taichi_type(means), octaves, lanes, stride), workers


class _Encode(torch.autograd.Function):
    @staticmethod
    def forward(ctx, means, variances, octaves):
        means, variances = means.detach().contiguous(), variances.detach().contiguous()
        out = means.new_empty(len(means), means.shape[1] * 2 * octaves)
        if out.numel():
            kernels, workers = _kernels_for(means, octaves)
            kernels[0](means, variances, out, workers)
        ctx.save_for_backward(out)
        ctx.sizes = means.shape[1], octaves
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        (out,) = (t.detach() for t in ctx.saved_tensors)
        axes, octaves = ctx.sizes
        results = [out.new_zeros(len(out), axes) for _ in range(2)]
        if out.numel():
            _kernels_for(out, octaves)[0][1](out, grad.contiguous(), *results)
        return *results, None


def encode_gaussians(means: Tensor, variances: Tensor, octaves: int) -> Tensor:
    """The integrated positional encoding (N, 2 D octaves) of Gaussians; see the module's docstring.

    means (N, D); variances (N, D) >= 0, the diagonal of the covariance; 0 gives the plain encoding. Differentiable in both, once.
    Raises ValueError on shapes that do not fit.
    """
    if means.ndim != 2 or variances.shape != means.shape or not 0 <= octaves <= 24:
        shapes = f"{tuple(means.shape)}, {tuple(variances.shape)}"
        raise ValueError(f"expected means and variances (N, D) and 0 to 24 octaves; got {shapes}, {octaves}")
    runtime.ensure_init()
    return _Encode.apply(means, variances, octaves)
