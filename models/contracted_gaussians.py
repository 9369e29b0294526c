"""Gaussians of frustums in contracted space, as a network sees them: projected on directions that point everywhere.

The contraction's linear part J at the mean carries a covariance S to J S J^T. Of that, a network is shown the mean and the
variance along each of 21 directions p: p . x and p^T J S J^T p. The coordinates' axes alone would not tell a long Gaussian on a
diagonal from a round one, and far away nearly all are long. Source: Barron et al. 2022 (mip-NeRF 360), eq. 9 and supplement.
"""

import itertools
import math
from typing import NamedTuple

import torch
from torch import Tensor

from models.cones import Gaussians, frustum_moments
from models.contraction import contract
from models.rays import Rays


class Ball(NamedTuple):
    """The ball that is not contracted."""

    center: tuple[float, float, float]  # world
    radius: float


def icosahedron_directions() -> Tensor:
    """(21, 3) unit: the corners of an icosahedron and the middles of its edges, one of each two that are opposite."""
    golden = (1 + math.sqrt(5)) / 2
    corners = [(0.0, a, b * golden) for a, b in itertools.product((-1, 1), repeat=2)]
    points = torch.tensor([corner[i:] + corner[:i] for corner in corners for i in range(3)], dtype=torch.float64)
    edges = [(a + b) / 2 for a, b in itertools.combinations(points, 2) if (a - b).norm() < 2.1]  # edges have the length 2
    found = torch.nn.functional.normalize(torch.cat([points, torch.stack(edges)]), dim=1)
    ranks = (found * torch.tensor([1.0, 0.1, 0.01])).sum(1)  # opposite points have opposite signs, and none is 0
    return found[ranks > 0].float()


def contracted_frustums(rays: Rays, edges: Tensor, directions: Tensor, ball: Ball) -> Gaussians:
    """Means and variances (R, N, K) of contracted frustums along unit directions (K, 3), in units of the ball's radius.

    edges (R, N + 1): of the frustums, ascending in t. With x the mean of a frustum, r = max(|x|, 1) and d the ray's direction,
    J = s I + c x x^T / r^2, s = (2 - 1/r) / r and c = 2 (1 - r) / r^2. Differentiable as often as one likes.
    """
    middle, along, across = frustum_moments(rays.radii, edges)
    d = rays.directions / ball.radius
    origins = (rays.origins - rays.origins.new_tensor(ball.center)) / ball.radius
    means = origins[:, None] + middle[..., None] * d[:, None]
    r = means.norm(dim=-1, keepdim=True).clamp_min(1)
    outward = means / r
    s, c = (2 - 1 / r) / r, 2 * (1 - r) / r**2
    facing = outward @ directions.T  # (R, N, K)
    of_ray = s * (d @ directions.T)[:, None] + c * facing * (outward * d[:, None]).sum(-1, keepdim=True)  # p^T J d
    squared = s * s + (2 * s * c + c * c) * facing * facing  # |J p|^2
    per_unit = rays.direction_norms.square().clamp_min(1e-10) / ball.radius**2  # |d|^2
    beside = (squared - of_ray.square() / per_unit[:, None, None]).clamp_min(0)
    variances = along[..., None] * of_ray.square() + (across / ball.radius**2)[..., None] * beside
    return Gaussians(contract(means, 2) @ directions.T, variances)
