"""Spherical harmonics of directions, as an encoding for what depends on the viewing direction."""

from functools import cache

import taichi as ti
import torch
from torch import Tensor

from taichi_kernels import runtime
from taichi_kernels.common.derivatives import once_differentiable
from taichi_kernels.common.types import taichi_type
from taichi_kernels.spherical_harmonics import sh_basis, sh_gradient

_CHUNK = 64  # directions that the CPU works on at a time


@cache
def _kernels(dtype, count: int, lanes: int, stride: int):
    """(forward, backward). Workers take chunks of `lanes` directions, so that where one ends does not depend on their number: the
    first or last of a loop may go through other instructions than the rest, which round differently."""
    vectors = ti.types.ndarray(dtype=ti.types.vector(3, dtype), ndim=1)
    rows = ti.types.ndarray(dtype=ti.types.vector(count, dtype), ndim=1)

    @ti.kernel
    def forward(directions: vectors, out: rows, workers: int):
        for turn in range(workers * stride):
            if turn % stride == 0:
                start = turn // stride * lanes
                while start < directions.shape[0]:
                    for i in range(start, ti.min(start + lanes, directions.shape[0])):
                        out[i] = sh_basis(count, directions[i])
                    start += workers * lanes

    @ti.kernel
    def backward(directions: vectors, grad: rows, grad_directions: vectors, workers: int):
        for turn in range(workers * stride):
            if turn % stride == 0:
                start = turn // stride * lanes
                while start < directions.shape[0]:
                    for i in range(start, ti.min(start + lanes, directions.shape[0])):
                        grad_directions[i] = sh_gradient(count, directions[i], grad[i])
                    start += workers * lanes

    return forward, backward


def _kernels_for(directions: Tensor, count: int):
    """The kernels, and how many workers they have."""
    lanes, stride, workers = runtime.chunking(len(directions), _CHUNK)
    return _kernels(taichi_type(directions), count, lanes, stride), workers


class _Encode(torch.autograd.Function):
    @staticmethod
    def forward(ctx, directions, count):
        ctx.save_for_backward(directions)
        directions = directions.detach().contiguous()
        out = directions.new_empty(len(directions), count)
        if len(directions):
            kernels, workers = _kernels_for(directions, count)
            kernels[0](directions, out, workers)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        (directions,) = (t.detach().contiguous() for t in ctx.saved_tensors)
        total = torch.empty_like(directions)
        if len(directions):
            kernels, workers = _kernels_for(directions, grad.shape[1])
            kernels[1](directions, grad.contiguous(), total, workers)
        return total, None


def encode_directions(directions: Tensor, degree: int = 3) -> Tensor:
    """The spherical harmonics up to a degree from 0 to 3 at unit vectors (N, 3): (N, (degree + 1)^2).

    Differentiable in the directions, whose three components are taken as free. Raises ValueError on shapes that do not fit.
    """
    if directions.ndim != 2 or directions.shape[1] != 3 or degree not in (0, 1, 2, 3):
        raise ValueError(f"expected directions (N, 3) and a degree from 0 to 3; got {tuple(directions.shape)}, {degree}")
    runtime.ensure_init()
    return _Encode.apply(directions, (degree + 1) ** 2)
