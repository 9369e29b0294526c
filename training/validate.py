"""How well a model in training shows some views."""

import math

import torch

from datasets.scene import Split
from models.ray_model import RayModel
from models.repeatable import mean, total
from system import signals
from training.ray_batches import RayBatches


@torch.no_grad()
def mean_psnr(model, views: Split, background: str) -> float:
    """Mean over the views of the PSNR, dB, of what `model.render` shows of them; there is at least one view."""
    decibels = 0.0
    for view in range(len(views)):
        signals.check()
        image = model.render(views.cameras, view, background, with_depth=False).image.cpu()
        squared = mean((image - views.picture(view, background)) ** 2)
        decibels += -10 * math.log10(max(float(squared), 1e-12))
    return decibels / len(views)


@torch.no_grad()
def rays_psnr(model: RayModel, batches: RayBatches, count: int) -> float:
    """PSNR, dB, over `count` random pixels of all views together, which are always the same."""
    batch, squared = batches.draw(count, torch.Generator().manual_seed(0)), 0.0
    for some in torch.arange(count, device=batch.colours.device).split(model.chunk):
        signals.check()
        colour, clear, _ = model.look(model.enter(batch.rays[some]))
        shown = (colour + clear[:, None] * batch.background[some]).clamp(0, 1)
        squared += float(total((shown - batch.colours[some]) ** 2))
    return -10 * math.log10(max(squared / (3 * count), 1e-12))
