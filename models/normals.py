"""Normals of a field: the direction in which its density falls fastest."""

import torch
from torch import Tensor

from models.rays import Ndc
from models.volume import Field


def density_normals(field: Field, positions: Tensor, features: Tensor | None = None, ndc: Ndc | None = None) -> Tensor:
    """Unit normals n = -grad density / |grad density| (M, 3), world, at positions (M, 3) in the model's coordinates.

    features: of the positions, if they are known. Normals are 0 where the density is constant. Differentiable once in the field's
    parameters.
    """
    gradient = field.log_density_gradient(positions, features)  # the same direction as the density's, and never too small
    if ndc is not None:
        gradient = ndc.gradient_to_world(positions, gradient)
    return torch.nn.functional.normalize(-gradient, dim=1, eps=1e-20)
