"""Gaussians of frustums: against points drawn in them, and where they are thin, far or nothing."""

import pytest
import torch

from models.cones import frustum_gaussians


def drawn_in_a_cone(origin, direction, radius, t_0, t_1, count=2_000_000, cylinder=False):
    """Points spread evenly in a frustum."""
    g = torch.Generator().manual_seed(0)
    u = torch.rand(count, 3, generator=g, dtype=torch.float64)
    t = t_0 + (t_1 - t_0) * u[:, 0] if cylinder else (t_0**3 + (t_1**3 - t_0**3) * u[:, 0]) ** (1 / 3)
    across = radius * (1 if cylinder else t) * u[:, 1].sqrt()
    axis = torch.nn.functional.normalize(direction, dim=0)
    side = torch.linalg.cross(axis, torch.tensor([0.3, 0.5, 0.8], dtype=torch.float64))
    side = side / side.norm()
    other, angle = torch.linalg.cross(axis, side), 2 * torch.pi * u[:, 2]
    ring = across[:, None] * (angle.cos()[:, None] * side + angle.sin()[:, None] * other)
    return origin + t[:, None] * direction + ring


@pytest.mark.parametrize("cylinder", [False, True])
@pytest.mark.parametrize("t_0, t_1, radius", [(1.0, 4.0, 0.3), (0.0, 2.0, 0.5), (2.0, 2.1, 0.2)])
def test_mean_and_covariance_of_points_in_the_frustum(t_0, t_1, radius, cylinder):
    origin, direction = (torch.tensor(v, dtype=torch.float64) for v in ([0.5, -1, 2], [0.4, 0.9, -1.0]))
    points = drawn_in_a_cone(origin, direction, radius, t_0, t_1, cylinder=cylinder)
    edges = torch.tensor([[t_0, t_1]], dtype=torch.float64)
    found = frustum_gaussians(origin[None], direction[None], torch.tensor([radius]).double(), edges, cylinders=cylinder)
    assert (found.means[0, 0] - points.mean(0)).abs().max() < 3e-3
    assert torch.allclose(found.variances[0, 0], points.var(0), rtol=5e-3, atol=1e-6)


def test_thin_frustums_keep_their_digits():
    """In single precision beside double, far away and thin: the published sums of fifth powers lose all digits there."""
    g = torch.Generator().manual_seed(1)
    edges = 100 + torch.linspace(0, 1, 129, dtype=torch.float64)[None] + 1e-4 * torch.rand(1, 129, generator=g).double()
    origin, direction, radius = torch.zeros(1, 3), torch.tensor([[0.6, 0.0, -1.0]]), torch.tensor([1e-3])
    single = frustum_gaussians(origin, direction, radius, edges.float())
    exact = frustum_gaussians(origin.double(), direction.double(), radius.double(), edges.float().double())
    assert torch.allclose(single.means.double(), exact.means, rtol=1e-6)
    assert torch.allclose(single.variances.double(), exact.variances, rtol=1e-3)


def test_frustums_of_nothing():
    """No width, at the camera, and a ray without length: numbers, and none below 0."""
    origin, direction = torch.zeros(2, 3), torch.tensor([[0.0, 0, -1], [0, 0, 0]])
    found = frustum_gaussians(origin, direction, torch.tensor([0.1, 0.1]), torch.tensor([[0.0, 0, 1, 1], [0, 0, 1, 1]]))
    assert all(t.isfinite().all() for t in found) and (found.variances >= 0).all()
    assert (found.variances[0, 0] == 0).all()


def test_a_frustum_in_parts_has_the_same_mean():
    """The parts' means, weighted by their volumes, are the whole's; so are second moments."""
    origin, direction, radius = (
        torch.zeros(1, 3).double(),
        torch.tensor([[0.3, -0.2, -1.0]]).double(),
        torch.tensor([0.2]).double(),
    )
    edges = torch.tensor([[1.0, 1.7, 2.0, 3.5]]).double()
    parts, whole = (frustum_gaussians(origin, direction, radius, e) for e in (edges, edges[:, [0, 3]]))
    volumes = edges[:, 1:] ** 3 - edges[:, :-1] ** 3
    weights = (volumes / volumes.sum())[..., None]
    mean = (weights * parts.means).sum(1)
    second = (weights * (parts.variances + parts.means**2)).sum(1) - mean**2
    assert torch.allclose(mean, whole.means[:, 0]) and torch.allclose(second, whole.variances[:, 0])
