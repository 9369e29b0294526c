"""Losses other than the photometric one, which is a kernel."""

import torch
from torch import Tensor

from models.repeatable import mean

_STEEPNESS = 5.0


def silhouette(image: Tensor) -> Tensor:
    """How far a pixel is from black, whatever its colour: f(I) = tanh(5 max_c I_c), (H, W) of (H, W, 3)."""
    return torch.tanh(_STEEPNESS * image.amax(-1))


def silhouette_loss(image: Tensor, target: Tensor, positions: Tensor, *, ridge: float) -> tuple[Tensor, Tensor]:
    """(loss, its first term) of a rendered picture: mean (f(I) - f(I*))^2 + ridge * mean p^2, with f from `silhouette`.

    image (H, W, 3), clamped to [0, 1] first; target (H, W, 3) in [0, 1], or uint8; positions (N, 3) world, pulled to the origin.
    The position loss of the fork for imperfect masks, which tells object from background but not one colour from another.
    """
    if target.dtype == torch.uint8:
        target = target / 255
    squared = mean((silhouette(image.clamp(0, 1)) - silhouette(target)) ** 2)
    loss = squared + ridge * mean(positions**2) if ridge else squared
    return loss, squared.detach()
