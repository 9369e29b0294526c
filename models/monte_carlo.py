"""The colour of a ray from a few calls of the radiance: reparameterized volume sampling's Monte-Carlo estimate.

With places t_k = F^-1(u_k y) drawn from the ray's own density (taichi_kernels.inverse_transform), of which y is the opacity,

    C = (y / K) sum_k c(t_k)

has the mean int c dF, the composite of the piecewise density with all of its radiance, and so does its gradient, which goes
through the places. Source: Morozov et al. 2023, section 4.
"""

from torch import Tensor

from taichi_kernels.inverse_transform import Drawn


def estimate(drawn: Drawn, values: Tensor) -> Tensor:
    """Estimates (R, C), over nothing, from values (R, K, C) of the radiance at the places drawn (R, K)."""
    return drawn.opacity[:, None] * values.mean(1)
