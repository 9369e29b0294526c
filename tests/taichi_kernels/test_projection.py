"""Projection and shading of points against the plain-torch twin."""

import pytest
import torch

from taichi_kernels.projection import pack_camera, project_points
from tests.reference import projection as twin


def rotation(seed):
    g = torch.Generator().manual_seed(seed)
    q, r = torch.linalg.qr(torch.randn(3, 3, generator=g, dtype=torch.float64))
    q = q * r.diagonal().sign()
    return q if torch.det(q) > 0 else -q


def camera_at(distance, dtype):
    r = rotation(5)
    pose = torch.cat([r, distance * r[:, 2:]], 1)
    k = torch.tensor([[90.0, 0, 31.0], [0, 80.0, 22.0], [0, 0, 1]], dtype=torch.float64)
    return pack_camera(k, pose).to(dtype)


def inputs(count, basis, dtype, device):
    g = torch.Generator().manual_seed(1)
    rand = lambda *s: torch.randn(*s, generator=g, dtype=torch.float64).to(dtype).to(device)  # noqa: E731
    return [rand(count, 3) * 0.6, rand(count, 3), rand(count, basis, 3), rand(count).abs() + 0.1, torch.sigmoid(rand(count))]


@pytest.mark.parametrize("basis", [0, 1, 4, 9])
@pytest.mark.parametrize("flags", [{}, {"world_radii": True}, {"with_depth": True}])
def test_agrees_with_twin(device, basis, flags):
    camera = camera_at(3.0, torch.float32).to(device)
    results = []
    for function in (project_points, twin.project_points):
        leaves = [t.requires_grad_() for t in inputs(1000, basis, torch.float32, device)]
        splats, depths = function(*leaves, camera, **flags)
        weight = torch.linspace(-1, 1, splats.numel(), device=device).view_as(splats)
        ((splats * weight).sum() + (depths * weight[:, 0]).sum()).backward()
        results.append([splats.detach(), depths.detach()] + [t.grad for t in leaves if t.numel()])
    for got, want in zip(*results, strict=True):
        columns = [t.reshape(len(t), -1) for t in (got - want, want)]  # each has its own scale
        error = columns[0].abs().amax(0) / columns[1].abs().amax(0).clamp_min(1e-30)
        assert (error < 2e-6).all(), error


@pytest.mark.parametrize("flags", [{"with_depth": True}, {"world_radii": True}])
def test_gradcheck_float64(device, flags):
    camera = camera_at(3.0, torch.float64).to(device)
    leaves = [t.requires_grad_() for t in inputs(5, 9, torch.float64, device)]
    assert torch.autograd.gradcheck(lambda *t: project_points(*t, camera, **flags), leaves, atol=1e-5)


def test_points_behind_the_camera_vanish(device):
    camera = pack_camera(torch.eye(3) * 50, torch.eye(3, 4)).to(device)
    positions = torch.tensor([[0.0, 0, -2], [0, 0, 2], [0, 0, 0]], device=device).requires_grad_()
    ones = torch.ones(3, device=device)
    splats, depths = project_points(positions, torch.ones(3, 3, device=device), None, ones, ones, camera)
    assert splats[:, 3].tolist() == [1, 0, 0]
    assert depths[0] == 2
    splats.sum().backward()
    assert torch.isfinite(positions.grad).all() and (positions.grad[1:] == 0).all()


def test_no_points(device):
    empty = [torch.zeros(0, 3), torch.zeros(0, 3), torch.zeros(0, 9, 3), torch.zeros(0), torch.zeros(0)]
    splats, depths = project_points(*[t.to(device) for t in empty], camera_at(3.0, torch.float32).to(device))
    assert splats.shape == (0, 7) and depths.shape == (0,)
