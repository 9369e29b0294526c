"""Normals of a field: the direction in which its density falls fastest."""

import torch
from torch import Tensor

from models.rays import Ndc
from models.volume import Field


def density_normals(field: Field, positions: Tensor, ndc: Ndc | None = None) -> Tensor:
    """Unit normals n = -grad density / |grad density| (M, 3), world, at positions (M, 3) in the model's coordinates.

    They are 0 where the density is constant. The networks multiply in single precision, whose gradients have less noise.
    Nothing is differentiable.
    """
    in_bfloat16, field.in_bfloat16 = field.in_bfloat16, False
    try:
        with torch.enable_grad():
            at = positions.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(field.density(at).sum(), at)
    finally:
        field.in_bfloat16 = in_bfloat16
    if ndc is not None:
        gradient = ndc.gradient_to_world(positions, gradient)
    return torch.nn.functional.normalize(-gradient, dim=1, eps=1e-20)
