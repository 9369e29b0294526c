"""What a proposal allows the weights of a field to be, and the loss that teaches it to allow what they are.

A proposal has weights p_j in K bins [e_j, e_(j+1)) along each ray, a field has weights w_i in N intervals [f_i, f_(i+1)]. If both
came from one density, w_i could be no more than what lies in the bins that the interval overlaps:

    bound_i = sum of p_j over the bins with e_j <= f_(i+1) and e_(j+1) > f_i
    loss_i  = max(0, w_i - bound_i)^2 / (w_i + eps)

As in multinerf, a bin that begins where the interval ends counts, and one that ends where the interval begins doesn't. Bounds are
sums of p_j, not differences of their running sums, so that no digits are lost and a loss is 0 if and only if the bound holds.
Source: Barron et al. 2022 (mip-NeRF 360), eq. 12 and 13.
"""

from functools import cache

import taichi as ti
import torch
from torch import Tensor

from taichi_kernels import runtime
from taichi_kernels.common.derivatives import once_differentiable
from taichi_kernels.common.types import taichi_type

_LANES = 16  # on a CPU


@cache
def _kernels(dtype, lanes: int):
    """(bound, gradient to the weights): a turn computes `lanes` neighbours of a ray, in local arrays, from what they overlap."""
    rows = ti.types.ndarray(dtype=dtype, ndim=2)
    local = ti.types.vector(lanes, dtype)

    @ti.func
    def neighbours(edges: ti.template(), r, first, starts: ti.template(), ends: ti.template()):
        """Where the bins or intervals from `first` on begin and end; past the last one, as that one."""
        for i in range(lanes):
            own = ti.min(first + i, edges.shape[1] - 2)
            starts[i], ends[i] = edges[r, own], edges[r, own + 1]

    @ti.kernel
    def bound(
        edges: rows,  # (R, K + 1), ascending
        weights: rows,  # (R, K)
        field_edges: rows,  # (R, N + 1), ascending
        out: rows,  # (R, N) out
    ):
        for r, part in ti.ndrange(out.shape[0], (out.shape[1] + lanes - 1) // lanes):
            starts, ends, totals = local(0.0), local(0.0), local(0.0)
            first, bins, j = part * lanes, weights.shape[1], 0
            neighbours(field_edges, r, first, starts, ends)
            while j < bins and edges[r, ti.min(j + 1, bins)] <= starts[0]:
                j += 1
            while j < bins and edges[r, j] <= ends[lanes - 1]:
                e, e_next, w = edges[r, j], edges[r, j + 1], weights[r, j]
                for i in range(lanes):
                    totals[i] += ti.select((e <= ends[i]) & (e_next > starts[i]), w, 0.0)
                j += 1
            for i in range(ti.min(lanes, out.shape[1] - first)):
                out[r, first + i] = totals[i]

    @ti.kernel
    def gradient(edges: rows, field_edges: rows, grad: rows, grad_weights: rows):  # (R, N); (R, K) out
        for r, part in ti.ndrange(grad_weights.shape[0], (grad_weights.shape[1] + lanes - 1) // lanes):
            starts, ends, totals = local(0.0), local(0.0), local(0.0)
            first, intervals, i = part * lanes, grad.shape[1], 0
            neighbours(edges, r, first, starts, ends)
            while i < intervals and field_edges[r, ti.min(i + 1, intervals)] < starts[0]:
                i += 1
            while i < intervals and field_edges[r, i] < ends[lanes - 1]:
                f, f_next, g = field_edges[r, i], field_edges[r, i + 1], grad[r, i]
                for j in range(lanes):
                    totals[j] += ti.select((starts[j] <= f_next) & (ends[j] > f), g, 0.0)
                i += 1
            for j in range(ti.min(lanes, grad_weights.shape[1] - first)):
                grad_weights[r, first + j] = totals[j]

    return bound, gradient


def _kernels_for(weights: Tensor):
    """A GPU has a thread for each number; a CPU's compiler vectorises over neighbours."""
    return _kernels(taichi_type(weights), 1 if runtime.is_gpu() else _LANES)


class _Bound(torch.autograd.Function):
    @staticmethod
    def forward(ctx, edges, weights, field_edges):
        ctx.save_for_backward(edges, weights, field_edges)
        edges, weights, field_edges = (t.detach().contiguous() for t in (edges, weights, field_edges))
        out = weights.new_empty(len(weights), field_edges.shape[1] - 1)
        if out.numel():
            _kernels_for(weights)[0](edges, weights, field_edges, out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        edges, weights, field_edges = (t.detach().contiguous() for t in ctx.saved_tensors)
        total = torch.empty_like(weights)
        if grad.numel():
            _kernels_for(weights)[1](edges, field_edges, grad.contiguous(), total)
        return None, total, None


def proposal_bound(edges: Tensor, weights: Tensor, field_edges: Tensor) -> Tensor:
    """The bounds (R, N) that proposals with edges (R, K + 1) and weights (R, K) set to the weights of intervals with field_edges
    (R, N + 1); see the module's docstring.

    Edges ascend along each ray, both in the same unit; neighbours may be equal, and an interval may lie outside of all bins: its
    bound is 0. Differentiable once in the weights, not in the edges. Raises ValueError on shapes and types that do not fit.
    """
    rays, bins = weights.shape if weights.ndim == 2 else (-1, 0)
    fits = edges.shape == (rays, bins + 1) and field_edges.ndim == 2 and len(field_edges) == rays and field_edges.shape[1] > 1
    if bins < 1 or not fits:
        shapes = ", ".join(str(tuple(t.shape)) for t in (edges, weights, field_edges))
        raise ValueError(f"expected edges (R, K + 1), weights (R, K), field_edges (R, N + 1), K and N at least 1; got {shapes}")
    if not edges.dtype == weights.dtype == field_edges.dtype:
        raise ValueError(f"expected one type; got {edges.dtype}, {weights.dtype}, {field_edges.dtype}")
    runtime.ensure_init()
    return _Bound.apply(edges.detach(), weights, field_edges.detach())


def interlevel_loss(edges: Tensor, weights: Tensor, field_edges: Tensor, field_weights: Tensor) -> Tensor:
    """How much (R, N) each of the field's weights (R, N) exceeds the bound of a proposal; see the module's docstring.

    The rest as in `proposal_bound`. Differentiable once in the proposal's weights alone: the field does not learn from it.
    """
    wanted = field_weights.detach()
    excess = (wanted - proposal_bound(edges, weights, field_edges)).clamp_min(0)
    return excess.square() / (wanted + torch.finfo(torch.float32).eps)
