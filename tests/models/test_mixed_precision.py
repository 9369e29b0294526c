"""Networks in bfloat16: nearly the same, with finite gradients, and the same number of results for any number of samples."""

import pytest
import torch

from models.grid_field import GridField, GridShape
from models.network_field import NetworkField, NetworkShape
from taichi_kernels.directions import encode_directions

BOX = torch.tensor([[-1.0, -1, -1], [1, 1, 1]])


def grid():
    g = torch.Generator().manual_seed(0)
    field = GridField(BOX, GridShape(levels=3, coarsest=4, finest=32, log2_rows=12), g)
    with torch.no_grad():
        field.table.copy_(torch.randn(field.table.shape, generator=g))
    return field


def outputs(field, mixed, count):
    field.in_bfloat16 = mixed
    positions = torch.rand(count, 3, generator=torch.Generator().manual_seed(1)) * 2 - 1
    where = next(field.parameters()).device
    densities, code = field.density_and_code(positions.to(where))
    assert torch.allclose(field.density(positions.to(where)), densities, rtol=0.1 if mixed else 1e-4)
    return densities, code


@pytest.mark.parametrize("count", [0, 1, 2047, 2048, 5000])
def test_grid_field(device, count):
    field = grid().to(device)
    exact, mixed = (outputs(field, on, count) for on in (False, True))
    assert mixed[0].shape == (count,) and mixed[1].shape == exact[1].shape and mixed[0].dtype == torch.float32
    for some, all_ in ((mixed[0].log(), exact[0].log()), (mixed[1], exact[1])):  # 8 bits: 1/256 of the sum's terms
        assert count == 0 or (some - all_).abs().max() < 0.03 * all_.abs().max()
    assert count == 0 or not torch.equal(mixed[1], exact[1])


def test_gradients_are_nearly_the_same_and_finite(device):
    field, grads = grid().to(device), []
    for on in (False, True):
        field.zero_grad()
        densities, code = outputs(field, on, 3000)
        looking = torch.nn.functional.normalize(torch.ones(3000, 3, device=device), dim=1)
        colours = field.radiance(code, encode_directions(looking))
        (densities.mean() + colours.square().mean()).backward()
        grads.append(torch.cat([p.grad.flatten() for p in field.parameters()]))
    assert grads[1].isfinite().all()
    assert torch.nn.functional.cosine_similarity(*grads, dim=0) > 0.999


def test_the_originals_network(device):
    field = NetworkField(NetworkShape(depth=3, width=32), torch.Generator().manual_seed(0)).to(device)
    positions = torch.rand(50, 8, 3, device=device)
    looking = torch.nn.functional.normalize(positions[:, 0], dim=1)
    exact = field.raw(positions, looking)
    field.in_bfloat16 = True
    for a, b in zip(exact, field.raw(positions, looking), strict=True):
        assert b.dtype == torch.float32 and torch.allclose(a, b, atol=0.02) and not torch.equal(a, b)
