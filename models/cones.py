"""The cones that pixels look through, cut into conical frustums, and Gaussians of the same mean and covariance.

A pixel's cone has its apex at the camera and the radius r t, world units, at depth t. A frustum from t_0 to t_1, with middle
m = (t_0 + t_1) / 2, half width h = (t_1 - t_0) / 2 and q = 3 m^2 + h^2, has along the ray and across it

    mean  m + 2 m h^2 / q,   variance  h^2 / 3 - (4 / 15) h^4 (12 m^2 - h^2) / q^2
    variance across  r^2 (m^2 / 4 + 5 h^2 / 12 - (4 / 15) h^4 / q)

a form that keeps its digits for thin frustums. In normalised device coordinates a pixel's cone is a cylinder: there its radius is
r, the mean m and the variances h^2 / 3 and r^2 / 4. Source: Barron et al. 2021 (mip-NeRF), eq. 7 and appendix A.
"""

from typing import NamedTuple

from torch import Tensor

PIXEL_RADIUS = 3**-0.5  # of a pixel's cone, in pixels: a disc of this radius has the variance of the pixel's square


class Gaussians(NamedTuple):
    """Means and covariances of frustums, the latter by their diagonals."""

    means: Tensor  # (R, N, 3) world
    variances: Tensor  # (R, N, 3) world^2


def frustum_gaussians(origins: Tensor, directions: Tensor, radii: Tensor, edges: Tensor, *, cylinders: bool = False) -> Gaussians:
    """Gaussians of the N frustums between the edges (R, N + 1), ascending in t, of rays.

    origins, directions (R, 3); radii (R,): the cone's radius, world units per t, or the cylinder's. Differentiable in edges.
    """
    mean, along, across = frustum_moments(radii, edges, cylinders=cylinders)
    along_axes = directions * directions
    across_axes = 1 - along_axes / along_axes.sum(1, keepdim=True).clamp_min(1e-10)
    variances = along[..., None] * along_axes[:, None] + across[..., None] * across_axes[:, None]
    return Gaussians(origins[:, None] + mean[..., None] * directions[:, None], variances)


def frustum_moments(radii: Tensor, edges: Tensor, *, cylinders: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """The mean t, the variance of t along the ray, and the variance, world^2, across it (R, N each) of frustums between edges
    (R, N + 1); see `frustum_gaussians`."""
    middle, half = (edges[:, 1:] + edges[:, :-1]) / 2, (edges[:, 1:] - edges[:, :-1]) / 2
    squared = half * half
    if cylinders:
        mean, along = middle, squared / 3
        across = (radii[:, None] ** 2 / 4).expand_as(mean)
    else:
        q = (3 * middle * middle + squared).clamp_min(1e-20)
        mean = middle + 2 * middle * squared / q
        along = squared / 3 - (4 / 15) * (squared / q) * (squared / q) * (12 * middle * middle - squared)
        across = radii[:, None] ** 2 * (middle * middle / 4 + 5 * squared / 12 - (4 / 15) * squared * (squared / q))
    return mean, along.clamp_min(0), across.clamp_min(0)
