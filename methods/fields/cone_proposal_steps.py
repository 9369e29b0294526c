"""Steps of training mip-NeRF 360."""

from collections.abc import Iterator

import torch
from torch import Tensor

from methods.fields.mip_steps import rate_at
from methods.fields.options import FieldOptions
from methods.fields.proposal_steps import proposal_loss
from methods.fields.ray_batches import RayBatches
from models.network_field import samples_at_once
from models.proposal_sampler import annealing
from models.proposed_cones import ProposedCones
from models.rays import Rays
from models.repeatable import total
from taichi_kernels.compositing import Composite
from taichi_kernels.distortion import distortion
from training import distributed

_DISTORTION = 0.01  # of scenes that are not cut out, without --distortion


class ConeProposalSteps:
    """`--field mip --sampler proposals`: the squared error of the field's picture, each ray by the area of its pixel, the loss of
    the proposals against the field's weights, and the distortion of these; step sizes are mip-NeRF's. Source: Barron et al. 2022
    (mip-NeRF 360)."""

    def __init__(self, model: ProposedCones, options: FieldOptions, generator: torch.Generator):
        self.model, self.options, self.generator = model, options, generator
        self.rays = options.N_rand
        usual = _DISTORTION if model.contracted or model.ndc else 0.0
        self.distortion = usual if options.distortion is None else options.distortion  # of s
        self.optimizer = torch.optim.Adam(model.parameters(), lr=options.lrate, betas=(0.9, 0.999))

    def losses(self, step: int, batches: RayBatches) -> Iterator[tuple[Tensor, Tensor, float]]:
        """The step's loss, the mean squared error of its rays, and its cost, which is not used here and always 0: of some of this
        rank's rays at a time, parts of sums over all rays of all ranks."""
        options, done = self.options, step / self.options.N_iters
        for group in self.optimizer.param_groups:
            group["lr"] = options.lrate * rate_at(step, options.N_iters)
        batch = batches.draw_for(step, self.rays, options, self.generator)
        generator = distributed.shard_generator(self.generator, options.seed, step)
        choice = {"anneal": annealing(done), "jitter": options.perturb, "noise": options.raw_noise_std, "learn_proposals": True}
        for part in batch.split(max(samples_at_once(self.model.device) // self.model.samples_per_ray, 1)):
            found = self.model.trace(self.model.to_model_space(part.rays), generator, **choice)
            weights, s = found.composite.weights, found.intervals.s
            assert weights is not None
            loss = part.weighted_error(found.composite)
            if self.distortion:
                loss = loss + self.distortion / len(s) * total(distortion(weights, s[:, :-1], s[:, 1:]))
            loss = loss + proposal_loss(found.proposals, s, weights) / len(s)
            yield part.fraction * loss, part.fraction * part.squared_error(found.composite), 0.0

    def shown(self, rays: Rays, generator: torch.Generator) -> Composite:
        """The rays rendered as a step renders them."""
        return self.model.trace(rays, generator, learn_proposals=True).composite

    def after(self, cost: float) -> None:
        """Steps have as many rays as --N_rand says."""
