"""Small scenes for tests, drawn without any kernel of the project."""

import math
from dataclasses import replace

import numpy as np
import torch

from datasets.cameras import Cameras
from datasets.scene import Scene, Split, joined


def look_at_origin(position: torch.Tensor) -> torch.Tensor:
    """Camera-to-world (3, 4) of a camera that looks at the origin."""
    z = torch.nn.functional.normalize(position, dim=0)
    x = torch.nn.functional.normalize(torch.linalg.cross(torch.tensor([0.1, 0.2, 1.0]), z), dim=0)
    return torch.cat([torch.stack([x, torch.linalg.cross(z, x), z], 1), position[:, None]], 1)


def sphere_split(
    views: int, width: int = 64, height: int = 60, radius: float = 0.8, seed: int = 0, *, mirror: bool = False
) -> Split:
    """A sphere whose colour is its normal, or that of what it mirrors, seen from random directions at distance 4, 2 x 2 samples a
    pixel."""
    g = torch.Generator().manual_seed(seed)
    focal, samples = 1.4 * width, 2
    k = torch.tensor([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    images, alphas, poses = [], [], []
    x = ((torch.arange(width * samples) + 0.5) / samples - width / 2) / focal
    y = -((torch.arange(height * samples) + 0.5) / samples - height / 2) / focal
    local = torch.stack([x.expand(len(y), -1), y[:, None].expand(-1, len(x)), -torch.ones(len(y), len(x))], -1)
    for _ in range(views):
        pose = look_at_origin(4 * torch.nn.functional.normalize(torch.randn(3, generator=g), dim=0))
        d = torch.nn.functional.normalize(local @ pose[:, :3].T, dim=-1)
        o = pose[:, 3]
        b = (d * o).sum(-1)
        inside = b**2 - (o @ o - radius**2)
        hit = (inside > 0).float()
        normal = (o + (-b - inside.clamp_min(0).sqrt())[..., None] * d) / radius
        if mirror:
            normal = torch.sin(3 * (d - 2 * (d * normal).sum(-1, keepdim=True) * normal))
        colour = (0.5 + 0.45 * normal) * hit[..., None]
        pool = lambda t: t.unfold(0, samples, samples).unfold(1, samples, samples).mean((-2, -1))  # noqa: E731
        alpha = pool(hit)
        straight = torch.stack([pool(colour[..., c]) for c in range(3)], -1) / alpha.clamp_min(1e-6)[..., None]
        images.append((straight * 255).round().to(torch.uint8).numpy())
        alphas.append((alpha * 255).round().to(torch.uint8).numpy())
        poses.append(pose)
    cameras = Cameras(k.expand(views, 3, 3).clone(), torch.stack(poses), width, height)
    return Split(np.stack(images), np.stack(alphas), cameras, [f"r_{v}" for v in range(views)])


def sphere_scene(background: str = "black", views: int = 20, **choice) -> Scene:
    """The sphere with `views` training, no validation and three test views; choice: of `sphere_split`."""
    train, test = sphere_split(views, **choice), sphere_split(3, seed=1, **choice)
    bounds = torch.tensor([[-2.0] * 3, [2.0] * 3])
    return Scene("sphere", train, train.subset([]), test, bounds, 2.0, 4 + 2 * math.sqrt(3), background)


def with_sizes(split: Split) -> Split:
    """The same views with pictures of three sizes in turn: whole, cut at the right, and cut at the left and at the bottom."""
    images, alpha, k = [*split.images], [*split.alpha], split.cameras.intrinsics.clone()
    for view in range(len(split)):
        height, width = alpha[view].shape
        left, right = (width // 8 * (view % 3 == 2), width - width // 8 * (view % 3 == 1))
        bottom = height - height // 6 * (view % 3 == 2)
        images[view], alpha[view] = (np.ascontiguousarray(part[view][:bottom, left:right]) for part in (images, alpha))
        k[view, 0, 2] -= left
    sizes = [mask.shape for mask in alpha]
    cameras = Cameras(k, split.cameras.camera_to_world, [size[1] for size in sizes], [size[0] for size in sizes])
    return replace(split, images=joined(images), alpha=joined(alpha), cameras=cameras)


def wall_scene(views: int = 12, width: int = 48, height: int = 40) -> Scene:
    """A coloured wall at z = -3 without alpha, seen from positions around the origin by cameras that look along -z."""
    g, focal, distance = torch.Generator().manual_seed(0), 0.9 * width, 3.0
    k = torch.tensor([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    x, y = (torch.arange(width) + 0.5 - width / 2) / focal, -(torch.arange(height) + 0.5 - height / 2) / focal

    def split(count: int) -> Split:
        eyes = (torch.rand(count, 3, generator=g) - 0.5) * torch.tensor([0.8, 0.8, 0.2])
        images = []
        for eye in eyes:
            depth = distance + eye[2]
            right, up = (eye[0] + depth * x).expand(height, -1), (eye[1] + depth * y)[:, None].expand(-1, width)
            waves = [torch.sin(3 * right), torch.cos(4 * up), torch.sin(2 * right + 3 * up)]
            images.append((255 * (0.5 + 0.4 * torch.stack(waves, -1))).round().to(torch.uint8).numpy())
        poses = torch.cat([torch.eye(3).expand(count, 3, 3), eyes[:, :, None]], 2)
        cameras = Cameras(k.expand(count, 3, 3).clone(), poses, width, height)
        return Split(np.stack(images), None, cameras, [f"w_{v}" for v in range(count)])

    train, test = split(views), split(2)
    bounds = torch.tensor([[-3.0, -3, -4], [3, 3, -2]])
    return Scene("wall", train, train.subset([]), test, bounds, 2.0, 4.0, forward_facing=True)
