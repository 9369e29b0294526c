"""Derivatives of fields: second ones by `log_density_gradient`; through the layers of a network they raise."""

import pytest
import torch

from models.grid_field import GridField, GridShape
from models.layers import density_of
from models.voxel_field import VoxelField, VoxelShape
from taichi_kernels import runtime

BOX = torch.tensor([[-1.0, -1, -1], [1, 1, 1]])
FIELDS = [
    lambda: GridField(BOX, GridShape(levels=2, features=2, coarsest=4, finest=8, log2_rows=8, hidden=8), torch.Generator()),
    lambda: VoxelField(BOX, VoxelShape(2, 4, density_log2_rows=8, levels=2, finest=8, log2_rows=8), torch.Generator()),
]


def contracted() -> GridField:
    shape = GridShape(levels=2, features=2, coarsest=4, finest=8, log2_rows=8, hidden=8, contracted=True)
    return GridField(BOX, shape, torch.Generator())


def random_field(make, device, dtype=torch.float32):
    field = make().to(device, dtype)
    with torch.no_grad():
        for values in field.parameters():
            values.copy_(torch.rand(values.shape, generator=torch.Generator().manual_seed(0)) - 0.3)
    positions = 2 * torch.rand(20, 3, generator=torch.Generator().manual_seed(1)) - 1
    return field, positions.to(device, dtype).requires_grad_()


def test_a_second_derivative_through_a_network_raises(device):
    field, positions = random_field(FIELDS[0], device)
    density = field.density(positions)
    (slope,) = torch.autograd.grad(density.sum(), positions, create_graph=True)
    assert slope.abs().max() > 0
    loss = density.mean() + (slope.norm(dim=1) - 1).square().mean()
    with pytest.raises(RuntimeError, match="can be differentiated once only"):
        torch.autograd.grad(loss, list(field.parameters()), allow_unused=True, retain_graph=True)
    with pytest.raises(RuntimeError, match="can be differentiated once only"):
        loss.backward()


@pytest.mark.parametrize("make", [*FIELDS, contracted], ids=["grid", "voxels", "contracted"])
def test_the_gradient_of_the_log_density_is_that_of_autograd(device, make):
    field, positions = random_field(make, device)
    if make is contracted:
        positions = (3 * positions.detach()).requires_grad_()  # most of them outside of the box
    (expected,) = torch.autograd.grad(torch.log(field.density(positions)).sum(), positions)
    for features in (None, field.encode(positions).detach()):
        found = field.log_density_gradient(positions, features)
        torch.testing.assert_close(found, expected, atol=1e-4 * float(expected.abs().max()), rtol=1e-4)


@pytest.mark.parametrize("make", FIELDS, ids=["grid", "voxels"])
def test_a_loss_on_normals_has_gradients_to_the_parameters(device, make):
    """In double precision, by differences."""
    if runtime.device() == "vulkan":
        pytest.skip("Vulkan has no exp of float64")
    field, positions = random_field(make, device, torch.float64)
    names = [name for name, values in field.named_parameters() if name in ("table", "hidden", "out", "voxels")]

    def slopes(*values):
        return torch.func.functional_call(
            _Slopes(field), {f"field.{n}": v for n, v in zip(names, values, strict=True)}, (positions,)
        )

    leaves = [field.get_parameter(name).detach().requires_grad_() for name in names]
    assert torch.autograd.gradcheck(slopes, leaves, atol=1e-5, fast_mode=True)


class _Slopes(torch.nn.Module):
    def __init__(self, field):
        super().__init__()
        self.field = field

    def forward(self, positions):
        return self.field.log_density_gradient(positions)


def test_densities_can_be_differentiated_twice_between_the_bounds_of_their_gradient():
    raw = torch.linspace(-3, 3, 7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(density_of, raw) and torch.autograd.gradgradcheck(density_of, raw)
    beyond = torch.tensor([20.0, 90.0], requires_grad=True)
    (grad,) = torch.autograd.grad(density_of(beyond).sum(), beyond, create_graph=True)
    assert torch.allclose(grad, torch.full((2,), 15.0).exp())
    assert torch.equal(torch.autograd.grad(grad.sum(), beyond)[0], torch.zeros(2))  # the gradient is constant there
