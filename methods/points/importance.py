"""How much each point shows in the training pictures, and its part of their error."""

from typing import NamedTuple

import torch
from torch import Tensor

from datasets.backgrounds import rendering_over
from datasets.scene import Scene
from models.points import PointCloud
from system import signals


class Importance(NamedTuple):
    """Per point, over the training views; in pixels."""

    most: Tensor  # (N,) largest sum of blending weights in one view: the pixels that the point fills there
    error: Tensor  # (N,) sum over views of blending weight times squared error of the pixel


def importance(cloud: PointCloud, scene: Scene) -> Importance:
    """Blending weights T alpha and weighted squared errors of every point, over the training views.

    Both are the gradients of the composited picture's first two channels, so they come out of the splatting op's backward pass.
    """
    count, device = cloud.point_count(), cloud.positions.device
    most, error = torch.zeros(count, device=device), torch.zeros(count, device=device)
    for view in range(len(scene.train)):
        signals.check()
        with torch.no_grad():
            rows, depths = cloud.splats(scene.train.cameras, view)
        rows = rows.detach().requires_grad_()
        image, alpha = cloud.composite_splats(rows, depths, scene.train.cameras.size(view))
        shown = rendering_over(image, 1 - alpha, scene.background).detach().clamp(0, 1)
        squared = ((shown - scene.train.picture(view, scene.background).to(device)) ** 2).sum(-1)
        weights = torch.stack([torch.ones_like(squared), squared, torch.zeros_like(squared)], -1)
        (gradient,) = torch.autograd.grad(image, rows, weights)
        most = torch.maximum(most, gradient[:, 4])
        error += gradient[:, 5]
    return Importance(most, error)
