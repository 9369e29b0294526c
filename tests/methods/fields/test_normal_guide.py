"""Normals of a blurred density: of a ball that is known by its hull, by its density, and by proposals."""

import pytest
import torch

from methods.fields.normal_guide import NormalGuide
from models.grid_field import GridField, GridShape
from models.marched_field import MarchedField
from models.occupancy import OccupancyGrid
from models.proposal_field import ProposalField, ProposalShape
from models.proposal_sampler import ProposalSampler
from models.proposed_field import ProposedField
from models.rays import Ndc
from taichi_kernels import runtime

BOX = torch.tensor([[-1.0, -2.0, -1.5], [1.0, 1.0, 1.5]])
RADIUS = 0.7
SHAPE = GridShape(levels=2, coarsest=4, finest=8, log2_rows=8)


def cells(count: int = 64) -> torch.Tensor:
    """Whether the centres of cells (n, n, n), in z, y, x, lie in a ball."""
    unit = (torch.arange(count) + 0.5) / count
    z, y, x = torch.meshgrid(*(BOX[0, a] + unit * (BOX[1, a] - BOX[0, a]) for a in (2, 1, 0)), indexing="ij")
    return (x**2 + y**2 + z**2).sqrt() < RADIUS


def marched(**more) -> MarchedField:
    field = GridField(BOX, SHAPE, torch.Generator().manual_seed(0))
    return MarchedField(field, OccupancyGrid(BOX, cells=64, step=0.05), **more)


def on_the_ball(count=500) -> torch.Tensor:
    directions = torch.randn(count, 3, generator=torch.Generator().manual_seed(1))
    return torch.nn.functional.normalize(directions, dim=1).to(runtime.torch_device())


def angle(a, b) -> float:
    return float(torch.rad2deg(torch.arccos((a * b).sum(1).clamp(-1, 1))).mean())


def of_hull():
    return marched(), cells()


def of_density():
    model = marched()
    model.occupancy.density.copy_(cells()[None] * 200.0)
    return model, None


def of_proposals():
    proposal = ProposalField(BOX, ProposalShape(levels=1, coarsest=32, finest=32, log2_rows=16))
    model = ProposedField(marched().field, ProposalSampler([proposal], (16, 8)))
    z, y, x = torch.meshgrid(*(torch.linspace(float(BOX[0, a]), float(BOX[1, a]), 33) for a in (2, 1, 0)), indexing="ij")
    inside = (x**2 + y**2 + z**2).sqrt() < RADIUS
    proposal.table.data[: inside.numel(), 0] = inside.flatten() * 12.0 - 6.0
    return model, None


@pytest.mark.parametrize("model_of", [of_hull, of_density, of_proposals])
@pytest.mark.parametrize("done", [0.0, 0.5])
def test_normals_of_a_ball(model_of, done):
    model, hull = model_of()
    model.to(runtime.torch_device())
    guide = NormalGuide(model)
    guide.hull = hull
    assert not guide.ready
    guide.update(done)
    normals = on_the_ball()
    found = guide(RADIUS * normals)
    assert guide.ready and angle(found, normals) < 5
    assert (found.norm(dim=1) - 1).abs().max() < 1e-5


def test_outside_the_box_it_says_nothing():
    model, hull = of_hull()
    guide = NormalGuide(model.to(runtime.torch_device()))
    guide.hull = hull
    guide.update(0.0)
    assert not guide(torch.tensor([[5.0, 0, 0], [0, 0, 4.0]], device=model.device)).any()


def test_the_hull_counts_at_first_and_the_density_alone_later():
    """A slab below the ball is hull: beside the ball its normal points up, and the ball's points down."""
    model, _ = of_density()
    hull = cells()
    hull[:, :26] = True  # y up to -.78
    guide = NormalGuide(model.to(runtime.torch_device()))
    guide.hull = hull
    beside, upwards = torch.tensor([[0.5, -0.75, 0]], device=model.device), []
    for done in (0.0, 0.05, 0.09, 0.13):
        guide.update(done)
        upwards.append(float(guide(beside)[0, 1]))
    assert 0.3 < upwards[0] == upwards[1] > upwards[2] > upwards[3] and upwards[3] < -0.5


def test_blurs_edges_and_not_faces():
    model = marched()
    cube = torch.zeros(64, 64, 64, dtype=torch.bool)
    cube[16:48, 16:48, 16:48] = True
    guide = NormalGuide(model.to(runtime.torch_device()))
    guide.hull = cube
    guide.update(0.0)
    unit = torch.tensor([[0.5, 0.75, 0.5], [0.5, 0.75, 0.73], [0.5, 0.75, 0.75]])
    found = guide((BOX[0] + (BOX[1] - BOX[0]) * unit).to(model.device))[:, 1:]
    assert found[0, 0] > 0.999 and 0.8 < found[1, 0] < 0.98
    torch.testing.assert_close(found[2].cpu(), torch.tensor([0.5**0.5] * 2), atol=0.02, rtol=0)


def test_in_normalised_device_coordinates_normals_are_the_worlds():
    """A plane at z = -4, whose normal faces the cameras."""
    ndc = Ndc(100.0, 100.0, 160, 120)
    box = torch.tensor([[-1.0, -1, -1], [1, 1, 1]])
    model = MarchedField(GridField(box, SHAPE, torch.Generator().manual_seed(0)), OccupancyGrid(box, cells=64, step=0.05), ndc)
    behind = torch.arange(64) >= 48  # z' from 0.5 on: 1 + 2 / z with z = -4
    model.occupancy.density.copy_(200.0 * behind[None, :, None, None])
    model.to(runtime.torch_device())
    guide = NormalGuide(model)
    guide.update(0.8)
    found = guide(torch.tensor([[0.0, 0, 0.5], [0.4, -0.3, 0.5]], device=model.device))
    torch.testing.assert_close(found.cpu(), torch.tensor([[0.0, 0, 1], [0, 0, 1]]), atol=0.02, rtol=0)
