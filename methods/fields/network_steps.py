"""Steps of training the original NeRF's networks."""

from collections.abc import Iterator

import torch
from torch import Tensor

from methods.fields.options import FieldOptions
from methods.fields.ray_batches import RayBatches
from models.network_field import samples_at_once
from models.rays import Rays
from models.sampled_field import SampledField
from taichi_kernels.compositing import Composite
from training import distributed


class NetworkSteps:
    """`--field mlp`: the squared errors of the fine network's colours and, if it has some, of the coarse one's, and step sizes
    that fall to a tenth in --lrate_decay thousand steps."""

    def __init__(self, model: SampledField, options: FieldOptions, generator: torch.Generator):
        self.model, self.options, self.generator = model, options, generator
        self.rays = options.N_rand
        self.rates = [options.lrate if options.lrate_coarse is None else options.lrate_coarse, options.lrate]
        groups = [{"params": list(network.parameters())} for network in (model.coarse, model.fine) if network is not None]
        self.optimizer = torch.optim.Adam(groups, lr=options.lrate, betas=(0.9, 0.999))

    def losses(self, step: int, batches: RayBatches) -> Iterator[tuple[Tensor, Tensor, float]]:
        """The step's loss, the mean squared error of its rays by the better network, and its cost, which is not used here
        and always 0: of some of this rank's rays at a time, parts of sums over all rays of all ranks."""
        options = self.options
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=False):
            group["lr"] = rate * 0.1 ** (step / (1000 * options.lrate_decay))
        batch = batches.draw_for(step, self.rays, options, self.generator)
        generator = distributed.shard_generator(self.generator, options.seed, step)
        for part in batch.split(samples_at_once(self.model.device) // self.model.samples_per_ray):
            rays = self.model.to_model_space(part.rays)
            found = self.model.trace(rays, generator, jitter=options.perturb, noise=options.raw_noise_std)
            squared = part.squared_error(found.best)
            loss = squared
            if found.coarse is not None and found.best is not found.coarse:
                loss = squared + part.squared_error(found.coarse)
            yield part.fraction * loss, part.fraction * squared, 0.0

    def shown(self, rays: Rays, generator: torch.Generator) -> Composite:
        """The rays rendered as a step renders them."""
        return self.model.trace(rays, generator, jitter=1.0).best

    def after(self, cost: float) -> None:
        """Steps have as many rays as --N_rand says."""
