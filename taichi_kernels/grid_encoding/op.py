"""The feature grid as a differentiable operation."""

import torch
from torch import Tensor

from taichi_kernels import runtime
from taichi_kernels.common.derivatives import once_differentiable
from taichi_kernels.common.types import taichi_type
from taichi_kernels.grid_encoding import cpu, gpu
from taichi_kernels.grid_encoding.layout import GridLayout


def _encode(positions: Tensor, table: Tensor, layout_table: Tensor) -> Tensor:
    features = table.shape[1]
    out = positions.new_empty(len(positions), len(layout_table), features)
    kernels = (gpu if runtime.is_gpu() else cpu).kernels(taichi_type(positions), features)
    workers = [] if runtime.is_gpu() else [runtime.workers()]
    if len(positions):
        kernels[0](positions, table, layout_table, out, *workers)
    return out.flatten(1)


def _table_gradient(positions: Tensor, layout_table: Tensor, grad: Tensor, table: Tensor) -> Tensor:
    features = table.shape[1]
    if runtime.is_gpu():
        sums, scale = torch.zeros(table.shape, dtype=torch.int64, device=table.device), gpu.scale_for(grad)
        if scale:
            gpu.kernels(taichi_type(positions), features)[1](positions, layout_table, grad, scale, sums)
        return (sums.double() / (scale or 1.0)).to(table.dtype)
    total, workers = torch.zeros_like(table), runtime.workers()
    # workers on a level, a power of two: 1 unless there are more workers than levels
    parts = 1 << max(0, (workers // len(layout_table)).bit_length() - 1)
    if len(positions):
        cpu.kernels(taichi_type(positions), features)[1](positions, layout_table, grad, total, workers, parts)
    return total


def _position_gradient(positions: Tensor, table: Tensor, layout_table: Tensor, grad: Tensor) -> Tensor:
    total = torch.zeros_like(positions)
    kernels = (gpu if runtime.is_gpu() else cpu).kernels(taichi_type(positions), table.shape[1])
    workers = [] if runtime.is_gpu() else [runtime.workers()]
    if len(positions):
        kernels[2](positions, table, layout_table, grad, total, *workers)
    return total


class _EncodeGrid(torch.autograd.Function):
    @staticmethod
    def forward(ctx, positions, table, layout, known):
        layout_table = layout.table.to(positions.device)
        ctx.save_for_backward(positions, table, layout_table)
        if known is not None:
            return known.detach()
        return _encode(positions.detach().contiguous(), table.detach().contiguous(), layout_table)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        positions, table, layout_table = (t.detach().contiguous() for t in ctx.saved_tensors)
        grad = grad.contiguous().view(len(positions), len(layout_table), table.shape[1])
        to_positions, to_table = ctx.needs_input_grad[:2]
        grad_positions = _position_gradient(positions, table, layout_table, grad) if to_positions else None
        return grad_positions, _table_gradient(positions, layout_table, grad, table) if to_table else None, None, None


def encode_grid(positions: Tensor, table: Tensor, layout: GridLayout, *, known: Tensor | None = None) -> Tensor:
    """Trilinear interpolation of every level's features, (N, L F): level by level, F features each.

    positions (N, 3) in the unit cube (what lies outside is moved to its face, and gets no gradient in that axis); table
    (layout.rows, F) float; known: the result, if it has been computed before and only its gradient is wanted. Differentiable
    in positions and table, not in known. Raises ValueError on shapes that do not fit.
    """
    if positions.ndim != 2 or positions.shape[1] != 3 or table.ndim != 2 or table.shape[0] != layout.rows:
        shapes = f"{tuple(positions.shape)}, {tuple(table.shape)}"
        raise ValueError(f"expected positions (N, 3) and table ({layout.rows}, F); got {shapes}")
    shape = len(positions), layout.levels * table.shape[1]
    if known is not None and (known.shape != shape or known.dtype != table.dtype):
        raise ValueError(f"expected known features {shape} of {table.dtype}; got {tuple(known.shape)} of {known.dtype}")
    runtime.ensure_init()
    return _EncodeGrid.apply(positions, table, layout, known)
