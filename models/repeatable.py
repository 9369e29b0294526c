"""Operations of Torch that give the same bits on a CPU for any number of threads.

Torch's own do not: they cut a sum over many samples in one part for each thread. The last values of each thread's part are
computed by other instructions than the rest, which round differently. Here sums are cut in blocks of a fixed size, curves are
made of steps that round each value alike, and matrices have sizes at which the libraries cut only between whole vectors.
Libraries promise none of this; tests/training/test_threads.py checks it. All are differentiable once; a second
derivative through a curve or a layer raises RuntimeError (`once_differentiable`).
"""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from taichi_kernels.common.derivatives import once_differentiable

_BLOCK = 1024  # values, or samples, of a sum: oneDNN cuts a sum in bfloat16 from 2048 on
_ROWS = 64  # samples of a matrix: a multiple of these
_ROWS_BFLOAT16 = 2048  # multiplications in bfloat16 are compiled for each new size
_COLUMNS = 16  # of a matrix in single precision: a multiple of these
_FEW = 4  # columns that are never cut


def total(values: Tensor) -> Tensor:
    """The sum of all values."""
    flat = values.reshape(-1)
    while len(flat) > _BLOCK:
        flat = F.pad(flat, (0, -len(flat) % _BLOCK)).view(-1, _BLOCK).sum(1)
    return flat.sum()


def mean(values: Tensor) -> Tensor:
    """The mean of all values."""
    return total(values) / values.numel()


@torch.no_grad()
def clip_norm(parameters: Iterable[Tensor], largest: float) -> None:
    """Scale the gradients of all parameters by one number, in place, so that their norm together is at most `largest`; those that
    are not larger keep their bits."""
    gradients = [value.grad for value in parameters if value.grad is not None]
    norm = torch.stack([total(gradient**2) for gradient in gradients]).sum().sqrt()
    if norm > largest:
        for gradient in gradients:
            gradient *= largest / norm


def sigmoid(raw: Tensor) -> Tensor:
    """1 / (1 + exp(-raw))."""
    return _Sigmoid.apply(raw)


def softplus(raw: Tensor) -> Tensor:
    """log(1 + exp(raw))."""
    return _Softplus.apply(raw)


def padded(samples: Tensor) -> Tensor:
    """Samples (M, K) with rows and columns of zeros behind the last, up to a size at which `linear` need not copy them. On a GPU,
    which needs no padding, the samples themselves."""
    if samples.device.type != "cpu":
        return samples
    rows = _ROWS_BFLOAT16 if samples.dtype == torch.bfloat16 else _ROWS if _single(samples) else 1
    more = -samples.shape[1] % _COLUMNS if _single(samples) else 0, -len(samples) % rows
    return F.pad(samples, (0, more[0], 0, more[1])) if any(more) else samples


def linear(samples: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """A linear layer, samples @ weight.T + bias, (M, N), in the type of the samples.

    samples (M, K); weight (N, K), or with fewer columns if the samples' last ones are zeros; bias (N,). Differentiable in all;
    gradients to weight and bias are summed in their own type.
    """
    shape, samples = (len(samples), len(weight)), padded(samples)
    missing, more = samples.shape[1] - weight.shape[1], -shape[1] % _COLUMNS if _single(samples) and shape[1] > _FEW else 0
    if missing or more:
        weight = F.pad(weight, (0, missing, 0, more))
    if more and bias is not None:
        bias = F.pad(bias, (0, more))
    out = _Linear.apply(samples, weight, bias)
    return out if out.shape == shape else out[: shape[0], : shape[1]]


def _single(samples: Tensor) -> bool:
    """Whether matrices are cut between threads in single precision."""
    return samples.device.type == "cpu" and samples.dtype != torch.bfloat16


class _Sigmoid(torch.autograd.Function):
    @staticmethod
    def forward(ctx, raw):
        value = torch.exp(-raw).add_(1).reciprocal_()
        ctx.save_for_backward(value)
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        (value,) = ctx.saved_tensors
        return grad * (value * (1 - value))


class _Softplus(torch.autograd.Function):
    @staticmethod
    def forward(ctx, raw):
        ctx.save_for_backward(raw)
        return torch.exp(-raw.abs()).log1p_().add_(raw.clamp(min=0))

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        (raw,) = ctx.saved_tensors
        return grad * torch.exp(-raw).add_(1).reciprocal_()


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx, samples, weight, bias):
        ctx.type = weight.dtype
        ctx.save_for_backward(samples, weight)
        return F.linear(samples, weight.to(samples.dtype), None if bias is None else bias.to(samples.dtype))

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        samples, weight = ctx.saved_tensors
        to_samples, to_weight, to_bias = ctx.needs_input_grad
        return (
            grad @ weight.to(grad.dtype) if to_samples else None,
            _products(grad, samples, ctx.type) if to_weight else None,
            _column_sums(grad, ctx.type) if to_bias else None,
        )


def _products(grad: Tensor, samples: Tensor, dtype: torch.dtype) -> Tensor:
    """grad.T @ samples, (N, K), of grad (M, N) and samples (M, K)."""
    if grad.device.type != "cpu":
        return (grad.T @ samples).to(dtype)
    (grads, last_grads), (blocks, last) = _in_blocks(grad), _in_blocks(samples)
    rest = (last_grads.T @ last).to(dtype)
    return torch.bmm(grads.transpose(1, 2), blocks).sum(0, dtype=dtype) + rest if len(grads) else rest


def _column_sums(values: Tensor, dtype: torch.dtype) -> Tensor:
    """The sums (N,) of values (M, N)."""
    blocks, rest = _in_blocks(values)
    return blocks.sum(1, dtype=dtype).sum(0) + rest.sum(0, dtype=dtype)


def _in_blocks(values: Tensor) -> tuple[Tensor, Tensor]:
    """Rows (M, N) as whole blocks (B, _BLOCK, N), and the rest of them."""
    whole = len(values) - len(values) % _BLOCK
    return values[:whole].view(-1, _BLOCK, values.shape[1]), values[whole:]
