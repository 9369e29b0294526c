"""Rays through pixels: they pass through what the pixel sees, boxes are entered and left where geometry says."""

import math

import pytest
import torch

from taichi_kernels.projection import pack_camera
from taichi_kernels.rays import box_intersection, camera_rays, to_ndc
from tests.taichi_kernels.test_projection import rotation


def cameras(count, dtype=torch.float32):
    packed = []
    for v in range(count):
        pose = torch.cat([rotation(v), torch.tensor([[0.3 * v], [1.0], [-2.0]], dtype=torch.float64)], 1)
        k = torch.tensor([[70.0 + v, 0, 20.5], [0, 90.0, 14.0], [0, 0, 1]], dtype=torch.float64)
        packed.append(pack_camera(k, pose))
    return torch.stack(packed).to(dtype)


def test_points_on_a_ray_are_seen_at_its_pixel(device):
    """By the projection of `datasets.cameras`, written out here: column, row and depth of p(t) are the pixel's centre and t."""
    g = torch.Generator().manual_seed(0)
    count, packed = 500, cameras(4)
    pixels = torch.stack([torch.randint(0, n, (count,), generator=g) for n in (4, 28, 41)], 1).to(torch.int32)
    origins, directions = (t.cpu() for t in camera_rays(packed.to(device), pixels.to(device)))
    t = 0.1 + 5 * torch.rand(count, generator=g)
    camera = packed[pixels[:, 0].long()]
    pose = camera[:, :12].view(-1, 3, 4)
    x, y, w = torch.einsum("rab,ra->rb", pose[:, :, :3], origins + t[:, None] * directions - pose[:, :, 3]).unbind(1)
    assert torch.allclose(-w, t, atol=1e-4)
    assert torch.allclose(camera[:, 12] * x / -w + camera[:, 14], pixels[:, 2] + 0.5, atol=1e-3)
    assert torch.allclose(-camera[:, 13] * y / -w + camera[:, 15], pixels[:, 1] + 0.5, atol=1e-3)


def test_float64(device):
    origins, directions = camera_rays(cameras(1, torch.float64).to(device), torch.zeros(1, 3, dtype=torch.int32, device=device))
    assert origins.dtype == directions.dtype == torch.float64
    x, y = (0.5 - 20.5) / 70, (14 - 0.5) / 90
    assert directions.norm().item() == pytest.approx(math.sqrt(1 + x * x + y * y), abs=1e-12)


def test_box_worked_by_hand(device):
    box = torch.tensor([[-1.0, -1, -1], [1, 2, 3]], device=device)
    rays = torch.tensor(
        [
            [[-3, 0, 0], [2, 0, 0]],  # through, from outside
            [[0, 0, 0], [0, 1, 0]],  # from inside
            [[5, 0, 0], [1, 0, 0]],  # away from it
            [[-3, 5, 0], [1, 0, 0]],  # beside it, along its faces
            [[0, 0, 7], [0.25, 0.25, -2]],
        ],
        device=device,
    )
    near, far = box_intersection(rays[:, 0].contiguous(), rays[:, 1].contiguous(), box)
    assert near[:2].tolist() == pytest.approx([1, 0]) and far[:2].tolist() == pytest.approx([2, 2])
    assert (far[2:4] == near[2:4]).all()
    assert near[4].item() == pytest.approx(2) and far[4].item() == pytest.approx(4)


def test_ends_lie_on_the_box(device):
    g = torch.Generator().manual_seed(1)
    origins, targets = (torch.randn(2000, 3, generator=g).to(device) for _ in range(2))
    directions = targets - 3 * origins
    box = torch.tensor([[-0.5, -0.2, -0.9], [0.4, 0.8, 0.1]], device=device)
    near, far = box_intersection(3 * origins, directions, box)
    hit = far > near
    assert 50 < hit.sum() < 1950
    for t in (near[hit], far[hit]):
        p = 3 * origins[hit] + t[:, None] * directions[hit]
        gap = torch.maximum(box[0] - p, p - box[1]).amax(1)
        assert (gap.abs() < 1e-4)[t > 0].all()


def test_ndc_keeps_pixels_and_turns_depth_over(device):
    """What lies on a ray keeps its position on the screen, x / z; t is 1 - 1 / depth."""
    pose = torch.eye(3, 4)
    pose[2, 3] = 0.2
    packed = pack_camera(torch.tensor([[50.0, 0, 20], [0, 60.0, 15], [0, 0, 1]]), pose)[None].to(device)
    pixels = torch.tensor([[0, 3, 8], [0, 29, 39], [0, 15, 20]], dtype=torch.int32, device=device)
    origins, directions = camera_rays(packed, pixels)
    start, along = to_ndc(origins, directions, 50, 60, 40, 30)
    for depth in (1.2, 3.0, 50.0):  # below the camera's centre, at z = 0.2 - depth
        p = origins + depth * directions
        t = 1 - 1 / (depth - 0.2)
        q = start + t * along
        assert torch.allclose(q[:, 0], -50 / 20 * p[:, 0] / p[:, 2], atol=1e-5)
        assert torch.allclose(q[:, 1], -60 / 15 * p[:, 1] / p[:, 2], atol=1e-5)
        assert torch.allclose(q[:, 2], 1 + 2 / p[:, 2], atol=1e-5)


def test_no_rays_and_wrong_shapes(device):
    none = torch.zeros(0, 3, device=device)
    origins, directions = camera_rays(cameras(1).to(device), torch.zeros(0, 3, dtype=torch.int32, device=device))
    assert origins.shape == directions.shape == (0, 3)
    assert box_intersection(none, none, torch.zeros(2, 3))[0].shape == (0,)
    with pytest.raises(ValueError, match="expected cameras"):
        camera_rays(cameras(1).to(device), torch.zeros(4, 3, device=device))
    with pytest.raises(ValueError, match="expected origins"):
        box_intersection(none, none, torch.zeros(3, 3))
