"""Twin of `models.contracted_gaussians`: whole covariance matrices, and the contraction's derivative by autograd."""

import torch
from torch import Tensor

from models.contraction import contract


def contracted_along(mean: Tensor, covariance: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
    """Means and variances (K,) along directions (K, 3) of one Gaussian, mean (3,) and covariance (3, 3), that is contracted."""
    jacobian = torch.autograd.functional.jacobian(lambda x: contract(x, 2), mean)
    spread = jacobian @ covariance @ jacobian.T
    return directions @ contract(mean, 2), (directions @ spread * directions).sum(1)


def frustum_covariance(direction: Tensor, along: Tensor, across: Tensor) -> Tensor:
    """The covariance (3, 3) of a frustum around a direction (3,): along is the variance of t, across that beside the ray."""
    outer = direction[:, None] * direction[None]
    return along * outer + across * (torch.eye(3).to(outer) - outer / (direction @ direction))
