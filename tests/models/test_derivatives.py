"""Derivatives of fields: second ones by `log_density_gradient`; through the layers of a network they raise."""

import pytest
import torch

from models.grid_field import GridField, GridShape
from models.layers import density_of
from models.voxel_field import VoxelField, VoxelShape
from tests.reference import grid_encoding as twin

BOX = torch.tensor([[-1.0, -2, 0], [1, 2, 5]])
FIELDS = [
    lambda: GridField(BOX, GridShape(levels=2, features=2, coarsest=4, finest=8, log2_rows=8, hidden=8), torch.Generator()),
    lambda: VoxelField(BOX, VoxelShape(2, 4, density_log2_rows=8, levels=2, finest=8, log2_rows=8), torch.Generator()),
]


def contracted() -> GridField:
    shape = GridShape(levels=2, features=2, coarsest=4, finest=8, log2_rows=8, hidden=8, contracted=True)
    return GridField(BOX, shape, torch.Generator())


every_field = pytest.mark.parametrize("make", [*FIELDS, contracted], ids=["grid", "voxels", "contracted"])


def random_field(make, device, dtype=torch.float32):
    field = make().to(device, dtype)
    with torch.no_grad():
        for values in field.parameters():
            values.copy_(torch.rand(values.shape, generator=torch.Generator().manual_seed(0)) - 0.3)
    reach = 3 if make is contracted else 1  # three times the box: most positions lie outside
    units = reach * (torch.rand(20, 3, generator=torch.Generator().manual_seed(1)) - 0.5) + 0.5
    positions = BOX[0] + units * (BOX[1] - BOX[0])
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


@every_field
def test_the_gradient_of_the_log_density_is_that_of_autograd(device, make):
    field, positions = random_field(make, device)
    (expected,) = torch.autograd.grad(torch.log(field.density(positions)).sum(), positions)
    for features in (None, field.encode(positions).detach()):
        found = field.log_density_gradient(positions, features)
        torch.testing.assert_close(found, expected, atol=1e-4 * float(expected.abs().max()), rtol=1e-4)


@every_field
def test_the_gradient_of_the_log_density_is_that_of_differences(device, make):
    """In double precision, per world unit along each axis."""
    field, positions = random_field(make, device, torch.float64)
    with torch.no_grad():
        found = field.log_density_gradient(positions)
        for axis, step in enumerate(1e-6 * torch.eye(3, dtype=torch.float64, device=device)):
            change = torch.log(field.density(positions + step)) - torch.log(field.density(positions - step))
            torch.testing.assert_close(found[:, axis], change / 2e-6, atol=1e-6, rtol=1e-5)


def test_derivatives_of_the_gradient_are_those_of_the_twin(device):
    """A loss on slopes, through autograd of plain Torch."""
    field, positions = random_field(FIELDS[0], device, torch.float64)
    leaves = [positions, field.table, field.hidden, field.out]
    found = torch.autograd.grad(field.log_density_gradient(positions).square().sum(), leaves)
    units = (positions - field.box[0]) / (field.box[1] - field.box[0])
    raw = torch.relu(twin.encode_grid(units, field.table, field.layout) @ field.hidden.T) @ field.out[0]
    (slopes,) = torch.autograd.grad(raw.sum(), positions, create_graph=True)
    for ours, theirs in zip(found, torch.autograd.grad(slopes.square().sum(), leaves), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-8 * float(theirs.abs().max()), rtol=0)


def test_the_gradient_stays_in_single_precision(device):
    field, positions = random_field(FIELDS[0], device)
    expected = field.log_density_gradient(positions)
    field.in_bfloat16 = True
    found = field.log_density_gradient(positions)
    assert found.dtype == torch.float32 and torch.equal(found, expected)


@every_field
def test_a_loss_on_normals_has_gradients_to_parameters_and_positions(device, make):
    """In double precision, by differences."""
    field, positions = random_field(make, device, torch.float64)
    names = [name for name, values in field.named_parameters() if name in ("table", "hidden", "out", "voxels")]

    def slopes(positions, *values):
        return torch.func.functional_call(
            _Slopes(field), {f"field.{n}": v for n, v in zip(names, values, strict=True)}, (positions,)
        )

    leaves = [field.get_parameter(name).detach().requires_grad_() for name in names]
    assert torch.autograd.gradcheck(slopes, [positions, *leaves], atol=1e-5, fast_mode=True)


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
