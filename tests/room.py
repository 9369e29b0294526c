"""A small capture for tests: a ball on a floor in a wide landscape under a sky, with cameras inside, and no alpha."""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from datasets.cameras import Cameras
from datasets.scene import Scene, Split
from tests.scenes import look_at_origin

BALL = 0.6  # radius; its middle is the origin, and the floor touches it
_FAR = 60.0  # where the sky is


def _colours(origin: Tensor, directions: Tensor) -> Tensor:
    """Colours (..., 3) of rays from one point in unit directions (..., 3)."""
    b = (directions * origin).sum(-1)
    inside = b**2 - (origin @ origin - BALL**2)
    to_ball = torch.where((inside > 0) & (b < 0), -b - inside.clamp_min(0).sqrt(), torch.inf)
    to_floor = torch.where(directions[..., 2] < -1e-3, (-BALL - origin[2]) / directions[..., 2].clamp_max(-1e-3), torch.inf)
    normal = (origin + torch.where(to_ball < torch.inf, to_ball, 0)[..., None] * directions) / BALL
    ground = origin + to_floor.clamp_max(_FAR)[..., None] * directions
    waves = torch.sin(torch.stack([2 * ground[..., 0], 2 * ground[..., 1], ground[..., 0] + ground[..., 1]], -1))
    floor = 0.5 + 0.3 * waves * torch.exp(-0.1 * to_floor.clamp_max(_FAR))[..., None]
    sky = 0.6 + 0.35 * torch.sin(5 * directions + torch.tensor([0.0, 2, 4]))
    seen = torch.where((to_floor < _FAR)[..., None], floor, sky)
    return torch.where(((to_ball < to_floor) & (to_ball < torch.inf))[..., None], 0.5 + 0.45 * normal, seen)


def _split(count: int, seed: int, width: int, height: int, gains: float) -> Split:
    """Views from positions around the ball, above the floor; gains: how much their exposures differ, as a logarithm."""
    g, focal, samples = torch.Generator().manual_seed(seed), 0.8 * width, 2
    k = torch.tensor([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    x = ((torch.arange(width * samples) + 0.5) / samples - width / 2) / focal
    y = -((torch.arange(height * samples) + 0.5) / samples - height / 2) / focal
    local = torch.stack([x.expand(len(y), -1), y[:, None].expand(-1, len(x)), -torch.ones(len(y), len(x))], -1)
    angles = 2 * torch.pi * torch.rand(count, generator=g)
    heights, distances = 0.1 + 0.8 * torch.rand(count, generator=g), 2 + 0.5 * torch.rand(count, generator=g)
    images, poses = [], []
    for angle, up, distance in zip(angles, heights, distances, strict=True):
        pose = look_at_origin(torch.stack([distance * angle.cos(), distance * angle.sin(), up]))
        fine = _colours(pose[:, 3], normalize(local @ pose[:, :3].T, dim=-1))
        image = fine.view(height, samples, width, samples, 3).mean((1, 3)) * torch.exp(gains * torch.randn((), generator=g))
        images.append((image.clamp(0, 1) * 255).round().to(torch.uint8).numpy())
        poses.append(pose)
    cameras = Cameras(k.expand(count, 3, 3).clone(), torch.stack(poses), width, height)
    return Split(np.stack(images), None, cameras, [f"r_{v}" for v in range(count)])


def room_scene(views: int = 60, width: int = 48, height: int = 40, gains: float = 0.0) -> Scene:
    """`views` training views whose exposures differ by `gains`, no validation, and three test views of gain 1."""
    train, test = _split(views, 0, width, height, gains), _split(3, 1, width, height, 0.0)
    bounds = torch.tensor([[-1.5] * 3, [1.5] * 3])
    return Scene("room", train, train.subset([]), test, bounds, 0.5, 5.0)
