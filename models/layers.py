"""Parts of small networks that the fields of grids share."""

import torch
from torch import Tensor

from models.repeatable import linear, padded

_MOST_RAW = 15.0  # gradients of exp(raw) are those of at most exp(15)


class _Exp(torch.autograd.Function):
    """exp, with a gradient that stays finite."""

    @staticmethod
    def forward(ctx, raw):
        ctx.save_for_backward(raw)
        return torch.exp(raw.clamp(max=80))

    @staticmethod
    def backward(ctx, grad):
        (raw,) = ctx.saved_tensors
        return grad * torch.exp(raw.clamp(-_MOST_RAW, _MOST_RAW))


def density_of(raw: Tensor) -> Tensor:
    """Densities exp(raw), with gradients that stay finite."""
    return _Exp.apply(raw)


def network(inputs: Tensor, *weights: Tensor, in_bfloat16: bool) -> Tensor:
    """Linear layers (M, outputs) of inputs (M, inputs), with weights (outputs, inputs) each and a ReLU between them."""
    values = padded(inputs.bfloat16() if in_bfloat16 else inputs)
    for weight in weights[:-1]:
        values = torch.relu(linear(values, weight))
    return linear(values, weights[-1])[: len(inputs)].to(inputs)


def start_uniform(outputs: int, inputs: int, generator: torch.Generator) -> Tensor:
    """Kaiming's uniform start for layers before a ReLU."""
    return (torch.rand(outputs, inputs, generator=generator) * 2 - 1) * (6 / inputs) ** 0.5
