"""Samples of a ray from the distribution that its own density induces, with exact gradients to the density.

Along a ray a density s(t) per world unit, |d| world units per t, gives Phi(t) = |d| int s, the opacity F(t) = 1 - exp(-Phi(t))
and y = F(far). A number u in [0, 1] becomes the t with F(t) = u y, found as

    Phi(t) = E(u) = -log(1 - u y)

so that neither nearly empty nor nearly opaque rays lose their digits. In a bin [a, b] whose density goes linearly from s_a to
s_b, h = |d| (b - a), and x = (t - a) / (b - a) solves h s_a x + h (s_b - s_a) x^2 / 2 = E - Phi(a). With all else fixed,

    dt/ds_j = (r dPhi(far)/ds_j - dPhi(t)/ds_j) / (|d| s(t)),   r = dE/dPhi(far) = u (1 - y) / (1 - u y)

and the same with the t of the knots instead of s_j. An expectation over the ray, int c dF, is thus y times the mean of
c(t(u)), u even in [0, 1], and its gradient goes through the samples. Source: Morozov et al. 2023 (Differentiable Rendering with
Reparameterized Volume Sampling), sections 3 and 4; the inversion and its gradient in this form are worked out here.
"""

from taichi_kernels.inverse_transform.op import Drawn, draw_from_knots, draw_from_samples

__all__ = ["Drawn", "draw_from_knots", "draw_from_samples"]
