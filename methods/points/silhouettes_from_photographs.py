"""Silhouettes of the object from the photographs: a coarse cloud is fitted to small pictures, and its alpha is the mask.

Half-transparent points fill the space that the object may be in. A few hundred steps of colours, opacities and positions
on small pictures keep points opaque if many views agree on them. A small penalty on alpha removes the others: without it, a point
that no view needs would stay, in the colour of the background.
"""

import math

import torch
from torch import Tensor

from datasets.backgrounds import rendering_over
from datasets.cameras import Cameras
from datasets.scene import Scene, Split, joined
from methods.points.hull import mean_colours, to_kernel_device
from models.points import SH_COEFFICIENTS, PointCloud, frame_of, shorter_sides
from system.progress import progress
from taichi_kernels import runtime
from taichi_kernels.photometric import photometric_loss

WIDTH = 100  # px, at most
STEPS = 400
_POINTS = 15_000
_RADIUS, _OPACITY = 2.0, 0.1  # px of the small pictures; at the start
_ALPHA_PENALTY = 0.01  # weight of the mean alpha in the loss
_PRUNE_AFTER, _LEAST_OPACITY = 150, 0.02
_RATES = {"positions": 5e-4, "base": 2e-2, "opacity_logits": 0.1}  # positions: of the box's width


def estimate_silhouettes(scene: Scene, cells: Tensor, axes: list[Tensor], generator: torch.Generator) -> Split:
    """The training views with masks (alpha 0 or 255) from a coarse cloud, at twice its pictures' width; without pictures.

    cells (M, 3): indices into `axes` of the cells that the cloud starts from.
    """
    cameras = scene.train.cameras
    small = cameras.shrunk(max(cameras.width / WIDTH, 1))
    cloud = _fog(scene, cells, axes, small, generator)
    with runtime.flushed_denormals():
        cloud = _fitted(cloud, small, scene, generator)
    finer = cameras.shrunk(max(cameras.width / (2 * WIDTH), 1))
    with torch.no_grad():
        masks = [(cloud.composite(finer, view)[1] > 0.5).to(torch.uint8).cpu() * 255 for view in range(len(scene.train))]
    return Split(scene.train.images[:0], joined([mask.numpy() for mask in masks]), finer, scene.train.names)


def _fog(scene: Scene, cells: Tensor, axes: list[Tensor], cameras: Cameras, generator: torch.Generator) -> PointCloud:
    """Half-transparent points at random positions in the cells, for the cameras' pictures."""
    chosen = cells[torch.randint(len(cells), (_POINTS,), generator=generator)]
    step = torch.stack([axis[1] - axis[0] for axis in axes])
    positions = torch.stack([axes[a][chosen[:, a]] for a in range(3)], 1)
    positions += (torch.rand(_POINTS, 3, generator=generator) - 0.5) * step
    tensors = {
        "positions": positions,
        "base": mean_colours(scene.train, positions, margin=0.0),
        "sh": torch.zeros(_POINTS, SH_COEFFICIENTS, 3),
        "opacity_logits": torch.full((_POINTS,), math.log(_OPACITY / (1 - _OPACITY))),
    }
    radius = 2 * _RADIUS / float(shorter_sides(cameras).median())
    return PointCloud.ordered(
        {name: to_kernel_device(value) for name, value in tensors.items()}, radius=radius, use_sh=False, frame=frame_of(cameras)
    )


def _fitted(cloud: PointCloud, cameras: Cameras, scene: Scene, generator: torch.Generator) -> PointCloud:
    """The cloud after `STEPS` steps on pictures of the cameras' size, one random view each."""
    pictures = [_picture(scene, view, cameras) for view in range(len(scene.train))]
    width = float((scene.bounds[1] - scene.bounds[0]).max())
    optimizer = _optimizer(cloud, width)
    for step in progress(range(STEPS), desc="outlines", unit="step", leave=False):
        view = int(torch.randint(len(pictures), (), generator=generator))
        image, alpha = cloud.composite(cameras, view)
        image = rendering_over(image, 1 - alpha, scene.background)
        loss = photometric_loss(image, pictures[view])[0] + _ALPHA_PENALTY * alpha.mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if step + 1 == _PRUNE_AFTER:
            cloud = cloud.selected(torch.nonzero(cloud.opacities() > _LEAST_OPACITY)[:, 0])
            optimizer = _optimizer(cloud, width)
    return cloud


def _picture(scene: Scene, view: int, cameras: Cameras) -> Tensor:
    picture = scene.train.picture(view, scene.background).permute(2, 0, 1)[None]
    small = torch.nn.functional.interpolate(picture, cameras.size(view)[::-1], mode="area")
    return to_kernel_device(small[0].permute(1, 2, 0).contiguous())


def _optimizer(cloud: PointCloud, width: float):
    rates = {**_RATES, "positions": _RATES["positions"] * width}
    return torch.optim.Adam([{"params": [getattr(cloud, name)], "lr": rate} for name, rate in rates.items()], fused=True)
