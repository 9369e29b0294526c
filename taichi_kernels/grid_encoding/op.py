"""The feature grid as a differentiable operation, and its gradient to positions as another.

With features f(x, T) of positions x and a table T, linear in T, and g the weights of the features:

    P(x, T, g) = d <g, f> / dx,     <v, P> = <g, df / dx v>

so the derivative of <v, P> to g is the change of f along v, to T the same as f's with the weights' change along v in place of
the weights, and to x a mixed second derivative of the interpolation inside of a cell.
"""

import math
from typing import Any

import torch
from torch import Tensor

from taichi_kernels import runtime
from taichi_kernels.common.derivatives import once_differentiable
from taichi_kernels.common.types import taichi_type
from taichi_kernels.grid_encoding import cpu, gpu
from taichi_kernels.grid_encoding.layout import GridLayout


def _kernels(positions: Tensor, features: int) -> tuple[tuple[Any, ...], list[int]]:
    """The kernels, and the last of their numbers: how many workers there are on a CPU."""
    on_gpu = runtime.is_gpu()
    return (gpu if on_gpu else cpu).kernels(taichi_type(positions), features), [] if on_gpu else [runtime.workers()]


def _encode(positions: Tensor, table: Tensor, layout_table: Tensor) -> Tensor:
    out = positions.new_empty(len(positions), len(layout_table), table.shape[1])
    kernels, workers = _kernels(positions, table.shape[1])
    if len(positions):
        kernels[0](positions, table, layout_table, out, *workers)
    return out.flatten(1)


def _table_gradient(
    positions: Tensor, layout_table: Tensor, grad: Tensor, table: Tensor, steps: Tensor | None = None
) -> Tensor:
    """Of <grad, features>, or of <grad, their change along steps>; grad (N, L F); table: for its shape and type."""
    grad, along = _by_level(grad, layout_table), steps is not None
    steps = positions if steps is None else steps
    kernels, workers = _kernels(positions, table.shape[1])
    if runtime.is_gpu():
        # a weight's change along a step is at most the step in cells, and the scale has to leave room for it
        growth = float((steps.abs().amax() if steps.numel() else 0) * layout_table[:, :3].amax()) * 3 if along else 1.0
        sums, scale = torch.zeros(table.shape, dtype=torch.int64, device=table.device), gpu.scale_for(grad, growth)
        if math.isnan(scale):  # integers hold no NaN, and a gradient of 0 would hide it
            return torch.full_like(table, math.nan)
        if scale:
            kernels[1](positions, steps, layout_table, grad, scale, sums, along)
        return (sums.double() / (scale or 1.0)).to(table.dtype)
    total = torch.zeros_like(table)
    # workers on a level, a power of two: 1 unless there are more workers than levels
    parts = 1 << max(0, (runtime.workers() // len(layout_table)).bit_length() - 1)
    if len(positions):
        kernels[1](positions, steps, layout_table, grad, total, *workers, parts, along)
    return total


def _position_gradient(positions: Tensor, table: Tensor, layout_table: Tensor, grad: Tensor) -> Tensor:
    total = torch.zeros_like(positions)
    kernels, workers = _kernels(positions, table.shape[1])
    if len(positions):
        kernels[2](positions, table, layout_table, _by_level(grad, layout_table), total, *workers)
    return total


def _gradient_change(
    positions: Tensor, steps: Tensor, table: Tensor, layout_table: Tensor, grad: Tensor
) -> tuple[Tensor, Tensor]:
    """The gradients of <steps, gradient to positions>, steps (N, 3): to positions (N, 3), and to grad (N, L F)."""
    change, grad = torch.zeros_like(positions), _by_level(grad, layout_table)
    out = torch.empty_like(grad)
    kernels, workers = _kernels(positions, table.shape[1])
    if len(positions):
        kernels[3](positions, steps, table, layout_table, grad, change, out, *workers)
    return change, out.flatten(1)


def _by_level(grad: Tensor, layout_table: Tensor) -> Tensor:
    levels = len(layout_table)
    return grad.contiguous().view(len(grad), levels, grad.shape[1] // levels)


class _EncodeGrid(torch.autograd.Function):
    @staticmethod
    def forward(ctx, positions, table, layout_table, known):
        ctx.save_for_backward(positions, table, layout_table)
        if known is not None:
            return known.detach()
        return _encode(positions.detach().contiguous(), table.detach().contiguous(), layout_table)

    @staticmethod
    def backward(ctx, grad):
        positions, table, layout_table = ctx.saved_tensors
        to_positions, to_table = ctx.needs_input_grad[:2]
        return (
            _PositionGradient.apply(positions, table, grad, layout_table) if to_positions else None,
            _TableGradient.apply(positions, grad, table, layout_table) if to_table else None,
            None,
            None,
        )


class _PositionGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, positions, table, grad, layout_table):
        ctx.save_for_backward(positions, table, grad, layout_table)
        positions, table, grad = (t.detach().contiguous() for t in (positions, table, grad))
        return _position_gradient(positions, table, layout_table, grad)

    @staticmethod
    @once_differentiable
    def backward(ctx, steps):
        positions, table, grad, layout_table = (t.detach().contiguous() for t in ctx.saved_tensors)
        steps = steps.contiguous()
        to_positions, to_table, to_grad = ctx.needs_input_grad[:3]
        change, slopes = (
            _gradient_change(positions, steps, table, layout_table, grad) if to_positions or to_grad else (None, None)
        )
        to_rows = _table_gradient(positions, layout_table, grad, table, steps) if to_table else None
        return change, to_rows, slopes, None


class _TableGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, positions, grad, table, layout_table):
        ctx.save_for_backward(positions, grad, layout_table)
        return _table_gradient(positions.detach().contiguous(), layout_table, grad.detach(), table.detach())

    @staticmethod
    @once_differentiable
    def backward(ctx, table):
        """Linear in the weights of the features, as they are in the table."""
        positions, grad, layout_table = (t.detach().contiguous() for t in ctx.saved_tensors)
        table = table.contiguous()
        to_positions, to_grad = ctx.needs_input_grad[:2]
        return (
            _position_gradient(positions, table, layout_table, grad) if to_positions else None,
            _encode(positions, table, layout_table) if to_grad else None,
            None,
            None,
        )


def encode_grid(positions: Tensor, table: Tensor, layout: GridLayout, *, known: Tensor | None = None) -> Tensor:
    """Trilinear interpolation of every level's features, (N, L F): level by level, F features each.

    positions (N, 3) in the unit cube (what lies outside is moved to its face, and gets no gradient in that axis); table
    (layout.rows, F) float; known: the result, if it has been computed before and only its gradient is wanted. Differentiable
    twice in positions and table, not in known. Raises ValueError on shapes that do not fit.
    """
    _check(positions, table, layout)
    shape = len(positions), layout.levels * table.shape[1]
    if known is not None and (known.shape != shape or known.dtype != table.dtype):
        raise ValueError(f"expected known features {shape} of {table.dtype}; got {tuple(known.shape)} of {known.dtype}")
    return _EncodeGrid.apply(positions, table, layout.table.to(positions.device), known)


def grid_gradient(positions: Tensor, table: Tensor, layout: GridLayout, weights: Tensor) -> Tensor:
    """d <weights, features> / d positions (N, 3): the gradient to positions of `encode_grid`'s features, weighted and summed.

    weights (N, L F) of the features; the rest as in `encode_grid`. Differentiable once in positions, table and weights; the
    gradient jumps at the faces of cells. Raises ValueError on shapes that do not fit.
    """
    _check(positions, table, layout)
    shape = len(positions), layout.levels * table.shape[1]
    if weights.shape != shape or weights.dtype != table.dtype:
        raise ValueError(f"expected weights {shape} of {table.dtype}; got {tuple(weights.shape)} of {weights.dtype}")
    return _PositionGradient.apply(positions, table, weights, layout.table.to(positions.device))


def _check(positions: Tensor, table: Tensor, layout: GridLayout) -> None:
    if positions.ndim != 2 or positions.shape[1] != 3 or table.ndim != 2 or table.shape[0] != layout.rows:
        shapes = f"{tuple(positions.shape)}, {tuple(table.shape)}"
        raise ValueError(f"expected positions (N, 3) and table ({layout.rows}, F); got {shapes}")
    runtime.ensure_init()
