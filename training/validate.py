"""How well a model in training shows some views."""

import math

import torch

from datasets.scene import Split


@torch.no_grad()
def mean_psnr(model, views: Split, background: str) -> float:
    """Mean over the views of the PSNR, dB, of what `model.render` shows of them; there is at least one view."""
    total = 0.0
    for view in range(len(views)):
        image = model.render(views.cameras, view, background, with_depth=False).image.cpu()
        squared = ((image - views.picture(view, background)) ** 2).mean()
        total += -10 * math.log10(max(float(squared), 1e-12))
    return total / len(views)
