"""Steps of training mip-NeRF."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from methods.fields.options import FieldOptions
from methods.fields.ray_batches import RayBatches
from models.mip_field import MipField
from models.network_field import samples_at_once
from models.rays import Rays
from taichi_kernels.compositing import Composite
from training import distributed

_FIRST_PASS = 0.1  # weight of the first pass's error
_LAST_RATE = 0.01  # fraction of the step size that is left at the end
_WARM_STEPS, _WARM = 2500, 0.025  # steps in which the step size rises, at most this fraction of all
_COLD_RATE = 0.01  # fraction of the step size at the start


class MipSteps:
    """`--field mip`: the squared errors of both passes, the first one's a tenth, and step sizes that fall by equal factors to a
    hundredth at the end, after a slow start. A ray counts by the area of its pixel: a picture at half the size counts as much as
    the large one. The error that is reported counts all rays alike. Source: Barron et al. 2021 (mip-NeRF), section 4."""

    def __init__(self, model: MipField, options: FieldOptions, generator: torch.Generator):
        self.model, self.options, self.generator = model, options, generator
        self.rays = options.N_rand
        self.optimizer = torch.optim.Adam(model.parameters(), lr=options.lrate, betas=(0.9, 0.999))

    def losses(self, step: int, batches: RayBatches) -> Iterator[tuple[Tensor, Tensor, float]]:
        """The step's loss, the mean squared error of its rays by the second pass, and its cost, which is not used here
        and always 0: of some of this rank's rays at a time, parts of sums over all rays of all ranks."""
        options = self.options
        for group in self.optimizer.param_groups:
            group["lr"] = options.lrate * rate_at(step, options.N_iters)
        batch = batches.draw_for(step, self.rays, options, self.generator)
        generator = distributed.shard_generator(self.generator, options.seed, step)
        for part in batch.split(samples_at_once(self.model.device) // self.model.samples_per_ray):
            rays = self.model.to_model_space(part.rays)
            first, second = self.model.trace(rays, generator, jitter=options.perturb, noise=options.raw_noise_std)
            loss = part.weighted_error(second) + _FIRST_PASS * part.weighted_error(first)
            yield part.fraction * loss, part.fraction * part.squared_error(second), 0.0

    def shown(self, rays: Rays, generator: torch.Generator) -> Composite:
        """The rays rendered as a step renders them."""
        return self.model.trace(rays, generator, jitter=1.0)[-1]

    def after(self, cost: float) -> None:
        """Steps have as many rays as --N_rand says."""


def rate_at(step: int, steps: int) -> float:
    """The step size as a fraction of --lrate: it rises along a sine and falls by the same factor in each step."""
    warm = max(1.0, min(_WARM_STEPS, _WARM * steps))
    rise = _COLD_RATE + (1 - _COLD_RATE) * math.sin(0.5 * math.pi * min(step / warm, 1.0))
    return rise * _LAST_RATE ** (step / steps)
