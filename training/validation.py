"""How well a model in training shows some views."""

import math

import torch

from datasets.scene import Split
from models.repeatable import mean
from system import signals


@torch.no_grad()
def mean_psnr(model, views: Split, background: str) -> float:
    """Mean over the views of the PSNR, dB, of the pictures that `model.render` makes of them; there is at least one view."""
    decibels = 0.0
    for view in range(len(views)):
        signals.check()
        image = model.render(views.cameras, view, background, with_depth=False).image.cpu()
        squared = mean((image - views.picture(view, background)) ** 2)
        decibels += -10 * math.log10(max(float(squared), 1e-12))
    return decibels / len(views)
