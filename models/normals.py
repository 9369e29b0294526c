"""Normals of a field: the direction in which its density falls fastest."""

from typing import Protocol

import torch
from torch import Tensor

from models.rays import Ndc


class DensityField(Protocol):
    """A density that can be differentiated."""

    def log_density_gradient(self, positions: Tensor, features: Tensor | None = None) -> Tensor:
        """The gradient (M, 3), per world unit, of the logarithm of the density at positions (M, 3)."""
        ...


def density_normals(field: DensityField, positions: Tensor, features: Tensor | None = None, ndc: Ndc | None = None) -> Tensor:
    """Unit normals n = -grad density / |grad density| (M, 3), world, at positions (M, 3) in the model's coordinates.

    features: of the positions, if they are known. Normals are 0 where the density is constant. Differentiable once in the field's
    parameters.
    """
    gradient = field.log_density_gradient(positions, features)  # the same direction as the density's, and never too small
    if ndc is not None:
        gradient = ndc.gradient_to_world(positions, gradient)
    return torch.nn.functional.normalize(-gradient, dim=1, eps=1e-20)
