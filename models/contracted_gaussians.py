"""Gaussians in contracted space: the contraction's linear part at the mean carries a covariance S to J S J^T.

Lengths are in units of the ball's radius, or of the inner cube's half edge; order is 2 or inf as in `models.contraction`. Within,
Gaussians stay as they are. Plain Torch, differentiable as often as one likes. Source: Barron et al. 2022 (mip-NeRF 360), eq. 9.
"""

from torch import Tensor

from models.contraction import contract, contraction_jacobian, length, length_gradient


def contract_gaussians(means: Tensor, covariances: Tensor, order: float = 2) -> tuple[Tensor, Tensor]:
    """Means (..., 3) and covariances (..., 3, 3) of the contracted Gaussians."""
    jacobian = contraction_jacobian(means, order)
    return contract(means, order), jacobian @ covariances @ jacobian.transpose(-1, -2)


def contract_axis_aligned_gaussians(means: Tensor, variances: Tensor, order: float = 2) -> tuple[Tensor, Tensor]:
    """Means (..., 3) and variances along the axes (..., 3) of the contracted Gaussians, of which no more is wanted, from those of
    Gaussians without other covariances: the diagonal of J S J^T with J = s I + u n^T.
    """
    r = length(means, order).clamp_min(1)
    s, n, u = (2 - 1 / r) / r, length_gradient(means, order), 2 * (1 - r) / r**2 * (means / r)
    along = variances * n
    return contract(means, order), s**2 * variances + 2 * s * along * u + (along * n).sum(-1, keepdim=True) * u**2
