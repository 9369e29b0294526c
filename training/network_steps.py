"""Steps of training the original NeRF's networks."""

import torch
from torch import Tensor

from models.sampled_field import SampledField
from settings.options import Options
from training.ray_batches import RayBatches


class NetworkSteps:
    """`--field mlp`: the squared errors of the coarse and of the fine network's colours, and a step size that falls to a tenth in
    --lrate_decay thousand steps."""

    def __init__(self, model: SampledField, options: Options, generator: torch.Generator):
        self.model, self.options, self.generator = model, options, generator
        self.rays = options.N_rand
        self.optimizer = torch.optim.Adam(model.parameters(), lr=options.lrate, betas=(0.9, 0.999))

    def loss(self, step: int, batches: RayBatches) -> tuple[Tensor, Tensor]:
        """The step's loss and the mean squared error of its rays by the better network."""
        options = self.options
        for group in self.optimizer.param_groups:
            group["lr"] = options.lrate * 0.1 ** (step / (1000 * options.lrate_decay))
        batch = batches.draw_for(step, self.rays, options, self.generator)
        rays = self.model.enter(batch.rays)
        found = self.model.trace(rays, self.generator, jitter=options.perturb, noise=options.raw_noise_std)
        squared = batch.squared_error(found.best)
        return squared if found.best is found.coarse else squared + batch.squared_error(found.coarse), squared
