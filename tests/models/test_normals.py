"""Normals of a field's density, in the world and in normalised device coordinates, and their maps."""

import pytest
import torch

from models.normals import density_normals
from models.rays import Ndc
from tests.models.test_golden_pictures import cameras, grid, networks


class Ball:
    """Density exp(-4 |x|^2) around the origin of the world."""

    def __init__(self, ndc=None):
        self.ndc = ndc

    def log_density_gradient(self, positions, features=None):
        with torch.enable_grad():
            at = positions.detach().requires_grad_()
            return torch.autograd.grad(torch.log(self.density(at)).sum(), at)[0]

    def density(self, positions):
        if self.ndc is not None:
            z = 2 / (positions[:, 2] - 1)
            a, b = -2 * self.ndc.focal_x / self.ndc.width, -2 * self.ndc.focal_y / self.ndc.height
            positions = torch.stack([positions[:, 0] * z / a, positions[:, 1] * z / b, z + 3], 1)
        return torch.exp(-4 * positions.square().sum(1))


def test_normals_of_a_ball_point_outwards():
    ball, at = Ball(), 0.5 * torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(density_normals(ball, at), torch.nn.functional.normalize(at, dim=1))


def test_normals_in_normalised_device_coordinates_are_those_of_the_world():
    ndc = Ndc(50.0, 40.0, 64, 48)
    world = torch.randn(50, 3, generator=torch.Generator().manual_seed(0)).double() * 0.5 + torch.tensor([0.0, 0, -3])
    x, y, z = world.unbind(1)
    at = torch.stack([-2 * 50 / 64 * x / z, -2 * 40 / 48 * y / z, 1 + 2 / z], 1)
    expected = torch.nn.functional.normalize(world - torch.tensor([0.0, 0, -3]), dim=1)
    torch.testing.assert_close(density_normals(Ball(ndc), at, ndc=ndc), expected, atol=1e-9, rtol=0)


def test_normals_are_zero_where_the_density_is_constant():
    assert (density_normals(Ball(), torch.zeros(1, 3)) == 0).all()


def test_normals_of_a_grid_agree_with_differences_of_its_density(device):
    field = grid().to(device).field
    at = (torch.rand(400, 3, generator=torch.Generator().manual_seed(1)) - 0.5).to(device)
    step = 1e-3 * torch.eye(3, device=device)
    differences = torch.stack([field.density(at + row) - field.density(at - row) for row in step], 1)
    agreement = (density_normals(field, at) * torch.nn.functional.normalize(-differences, dim=1)).sum(1)
    assert agreement.median() > 0.999 and (agreement > 0.95).float().mean() > 0.95  # the density has kinks between cells


@pytest.mark.parametrize("calls", [0, 4])
def test_a_rendering_has_unit_normals_if_they_are_wanted(device, calls):
    model = grid().to(device)
    model.radiance_samples = calls
    with torch.no_grad():
        plain, found = model.render(cameras(), 0), model.render(cameras(), 0, with_normal=True)
    assert plain.normal is None and torch.equal(plain.image, found.image)
    lengths = found.normal.norm(dim=-1)
    assert ((lengths - 1).abs() < 1e-4)[found.alpha > 0.01].all()


def test_fields_without_normals_have_none(device):
    assert networks().to(device).render(cameras(), 0, with_normal=True).normal is None
