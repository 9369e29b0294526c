"""Parts of small networks, common to the fields of grids."""

import torch
from torch import Tensor

from models.checks import check_number
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


def start_uniform(size: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Kaiming's uniform start for layers before a ReLU; size: (outputs, inputs)."""
    outputs, inputs = size
    return (torch.rand(outputs, inputs, generator=generator) * 2 - 1) * (6 / inputs) ** 0.5


def check_grid(levels: int, features: int, coarsest: int, finest: int, log2_rows: int) -> None:
    """Raises ValueError for numbers that make no grid."""
    check_number("its levels", levels, 1, 64, whole=True)
    check_number("its features", features, 1, 64, whole=True)
    for cells in (coarsest, finest):
        check_number("its cells along an edge", cells, 1, 1 << 20, whole=True)
    check_number("its log2_rows", log2_rows, 3, 30, whole=True)


def check_network(hidden: int, code: int, sh_degree: int) -> None:
    """Raises ValueError for numbers that make no network of a grid's features."""
    check_number("its hidden units", hidden, 1, 1 << 16, whole=True)
    check_number("its code", code, 0, 1 << 16, whole=True)
    check_number("its harmonics' degree", sh_degree, 0, 3, whole=True)
