"""Contracted frustums along 21 directions: whole covariance matrices, samples, and extreme values."""

import pytest
import torch

from models.cones import frustum_moments
from models.contracted_gaussians import Ball, contracted_frustums, icosahedron_directions
from models.contraction import contract
from models.rays import Rays
from tests.reference.contracted_gaussians import contracted_along, frustum_covariance

BALL = Ball((0.5, -0.3, 0.2), 1.7)


def rays(count=20, width=0.02) -> Rays:
    g = torch.Generator().manual_seed(0)
    origins = 0.8 * torch.randn(count, 3, generator=g, dtype=torch.float64)
    directions = torch.randn(count, 3, generator=g, dtype=torch.float64)
    norms = directions.norm(dim=1)
    return Rays(origins, directions, norms, directions / norms[:, None], torch.full_like(norms, width))


def edges(count=20) -> torch.Tensor:
    return torch.tensor([0.1, 0.5, 0.9, 2.0, 7.0, 40.0], dtype=torch.float64).expand(count, -1)


def test_the_directions_are_those_of_an_icosahedron():
    found = icosahedron_directions().double()
    torch.testing.assert_close(found.T @ found, 7 * torch.eye(3).double(), atol=1e-6, rtol=0)  # none is preferred
    nearest = (found @ found.T).abs().fill_diagonal_(0).amax(1)
    golden = (1 + 5**0.5) / 2
    beside = golden / (1 + golden**2) ** 0.5  # from a corner to the middle of its edge: 31.7 degrees
    torch.testing.assert_close(nearest, torch.full_like(nearest, beside), atol=1e-6, rtol=0)
    assert found.shape == (21, 3)


def test_whole_covariances_go_through_the_derivative():
    some, t, directions = rays(), edges(), icosahedron_directions().double()
    found = contracted_frustums(some, t, directions, BALL)
    middle, along, across = frustum_moments(some.radii, t)
    inside = 0
    for i in range(len(some)):
        for j in range(t.shape[1] - 1):
            mean = (some.origins[i] + middle[i, j] * some.directions[i] - torch.tensor(BALL.center).double()) / BALL.radius
            spread = frustum_covariance(some.directions[i], along[i, j], across[i, j]) / BALL.radius**2
            means, variances = contracted_along(mean, spread, directions)
            torch.testing.assert_close(found.means[i, j], means)
            torch.testing.assert_close(found.variances[i, j], variances)
            inside += int(mean.norm() < 1)
    assert 5 < inside < 60


def test_a_thin_frustum_is_as_wide_as_its_samples():
    some, directions = rays(1, width=0.05), icosahedron_directions().double()
    t, g = torch.tensor([[3.0, 3.1]], dtype=torch.float64), torch.Generator().manual_seed(1)
    found = contracted_frustums(some, t, directions, BALL)
    middle, along, across = (value[0, 0] for value in frustum_moments(some.radii, t))
    root = torch.linalg.cholesky(frustum_covariance(some.directions[0], along, across))
    points = some.origins[0] + middle * some.directions[0] + torch.randn(200_000, 3, generator=g, dtype=torch.float64) @ root.T
    seen = contract((points - torch.tensor(BALL.center).double()) / BALL.radius, 2) @ directions.T
    torch.testing.assert_close(found.means[0, 0], seen.mean(0), rtol=0, atol=1e-3)
    torch.testing.assert_close(found.variances[0, 0], seen.var(0), rtol=0.03, atol=0)


def test_a_large_world_has_the_same_gaussians():
    some, directions = rays(), icosahedron_directions().double()
    expected = contracted_frustums(some, edges(), directions, BALL)
    larger = Rays(some.origins * 1e6, some.directions * 1e6, some.direction_norms * 1e6, some.view_directions, some.radii * 1e6)
    x, y, z = BALL.center
    found = contracted_frustums(larger, edges(), directions, Ball((x * 1e6, y * 1e6, z * 1e6), BALL.radius * 1e6))
    torch.testing.assert_close(found.means, expected.means)
    torch.testing.assert_close(found.variances, expected.variances)


def test_gradcheck():
    some, directions, t = rays(3), icosahedron_directions().double()[:4], edges(3).clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda t: contracted_frustums(some, t, directions, BALL), [t])


@pytest.mark.parametrize("far", [1e-3, 1.0, 1e6, 1e12])
def test_extremes_are_finite_and_variances_stay_positive(far):
    some = Rays(*(value.float() for value in rays()))
    t = torch.tensor([0.0, 0.5, 1.0]).expand(20, -1) * far
    found = contracted_frustums(some, t, icosahedron_directions(), BALL)
    assert found.means.isfinite().all() and found.variances.isfinite().all() and (found.variances >= 0).all()
    assert found.means.abs().max() <= 2
    assert contracted_frustums(some[:0], t[:0], icosahedron_directions(), BALL).means.shape == (0, 2, 21)
