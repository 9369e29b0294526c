"""Derivatives of fields: a loss on normals raises, because grids have no second derivative."""

import pytest
import torch

from models.grid_field import GridField, GridShape
from models.layers import density_of
from models.voxel_field import VoxelField, VoxelShape

BOX = torch.tensor([[-1.0, -1, -1], [1, 1, 1]])
FIELDS = [
    lambda: GridField(BOX, GridShape(levels=2, features=2, coarsest=4, finest=8, log2_rows=8, hidden=8), torch.Generator()),
    lambda: VoxelField(BOX, VoxelShape(2, 4, density_log2_rows=8, levels=2, finest=8, log2_rows=8), torch.Generator()),
]


@pytest.mark.parametrize("make", FIELDS, ids=["grid", "voxels"])
def test_a_loss_on_normals_raises(device, make):
    field = make().to(device)
    with torch.no_grad():
        for values in field.parameters():
            values.copy_(torch.rand(values.shape, generator=torch.Generator().manual_seed(0)))
    positions = (2 * torch.rand(20, 3, generator=torch.Generator().manual_seed(1)) - 1).to(device).requires_grad_()
    density = field.density(positions)
    (slope,) = torch.autograd.grad(density.sum(), positions, create_graph=True)
    assert slope.abs().max() > 0
    loss = density.mean() + (slope.norm(dim=1) - 1).square().mean()
    with pytest.raises(RuntimeError, match="can be differentiated once only"):
        torch.autograd.grad(loss, list(field.parameters()), allow_unused=True, retain_graph=True)
    with pytest.raises(RuntimeError, match="can be differentiated once only"):
        loss.backward()


def test_densities_can_be_differentiated_twice_between_the_bounds_of_their_gradient():
    raw = torch.linspace(-3, 3, 7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(density_of, raw) and torch.autograd.gradgradcheck(density_of, raw)
    beyond = torch.tensor([20.0, 90.0], requires_grad=True)
    (grad,) = torch.autograd.grad(density_of(beyond).sum(), beyond, create_graph=True)
    assert torch.allclose(grad, torch.full((2,), 15.0).exp())
    assert torch.equal(torch.autograd.grad(grad.sum(), beyond)[0], torch.zeros(2))  # the gradient is constant there
