"""Steps of training a field that proposals sample: the field's loss, and that of the proposals."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from methods.fields import schedules
from methods.fields.exposure import Exposure
from methods.fields.grid_steps import LAST_RATE, SAMPLES
from methods.fields.options import FieldOptions
from methods.fields.ray_batches import RayBatches
from methods.fields.surface_losses import surface_losses
from models.proposal_sampler import Proposal, annealing
from models.proposed_field import ProposedField
from models.rays import Rays
from models.repeatable import total
from taichi_kernels.compositing import Composite
from taichi_kernels.distortion import distortion
from taichi_kernels.proposals import interlevel_loss
from training import distributed

_MOST_RAYS = 1 << 14
_ALWAYS, _SELDOM = 1000, 5  # proposals learn in ever fewer steps up to the first, then in every fifth


class ProposalSteps:
    """`--sampler proposals`."""

    def __init__(self, model: ProposedField, options: FieldOptions, generator: torch.Generator):
        self.model, self.options, self.generator = model, options, generator
        self.rays = options.N_rand or SAMPLES // model.sampler.counts[-1]
        unbounded = schedules.UNBOUNDED_PROPOSALS if model.contracted else schedules.BOX
        self.schedule = schedules.NDC_PROPOSALS if model.ndc else unbounded
        self.distortion = self.schedule.distortion if options.distortion is None else options.distortion  # of s
        self.surfaces = surface_losses(model, options)
        self.optimizer = torch.optim.Adam(model.parameters(), lr=options.lrate, betas=(0.9, 0.99), eps=1e-15, fused=True)

    def losses(self, step: int, batches: RayBatches) -> Iterator[tuple[Tensor, Tensor, float]]:
        """The step's loss, the mean squared error of its rays, and the cost in samples: of this rank's rays all at once, parts of
        sums over the ranks."""
        options, model = self.options, self.model
        done = step / options.N_iters
        for group, rate in zip(self.optimizer.param_groups, (1.0, Exposure.rate), strict=False):
            group["lr"] = rate * options.lrate * self.schedule.rate(done, LAST_RATE)
        if self.surfaces:
            self.surfaces.begin(done, new_density=True)
        batch = batches.draw_for(step, self.rays, options, self.generator)
        rays = model.to_model_space(batch.rays)
        generator = distributed.shard_generator(self.generator, options.seed, step)
        learn = learns_proposals(step)
        found = model.trace(rays, generator, anneal=annealing(done), jitter=options.perturb, learn_proposals=learn)
        loss = squared = batch.squared_error(found.composite)
        weights, s = found.composite.weights, found.intervals.s
        assert weights is not None
        rays_met = max(len(s), 1)
        if self.distortion:
            loss = loss + self.distortion / rays_met * total(distortion(weights, s[:, :-1], s[:, 1:]))
        if self.surfaces:
            some = rays[found.hit]
            looking = some.view_directions.repeat_interleave(weights.shape[1], 0)
            of_samples = weights.view(-1), found.values.flatten(0, 1), some.middles(found.intervals.t)
            loss = loss + self.surfaces(*of_samples, looking) / rays_met
        if learn:
            loss = loss + proposal_loss(found.proposals, s, weights) / rays_met
        yield batch.fraction * loss, batch.fraction * squared, weights.numel()

    def shown(self, rays: Rays, generator: torch.Generator) -> Composite:
        """The rays rendered as a step renders them."""
        return self.model.trace(rays, generator, learn_proposals=True).composite

    def after(self, cost: float) -> None:
        """Choose how many rays the next step has, by the cost of this one: rays that miss the box cost nothing."""
        if not self.options.N_rand:
            self.rays = min(round(self.rays * SAMPLES / max(cost, SAMPLES / 4)), _MOST_RAYS)


def proposal_loss(proposals: list[Proposal], s: Tensor, weights: Tensor) -> Tensor:
    """The sum over R rays and all rounds of the part of the field's weights (R, N), between edges s (R, N + 1), that a round's
    weights do not enclose; differentiable in the proposals."""
    return sum((total(interlevel_loss(each.intervals.s, each.weights, s, weights)) for each in proposals), s.new_zeros(()))


def learns_proposals(step: int) -> bool:
    """Whether proposals learn in this step: in every one at first, in every fifth from step 1000 on, as nerfacc has it."""
    return math.ceil(_turns(step + 1)) != math.ceil(_turns(step))


def _turns(step: int) -> float:
    """The integral of 1 / n over the steps, if proposals learn in every n-th and n grows from 1 to `_SELDOM`."""
    slope = (_SELDOM - 1) / _ALWAYS
    return math.log1p(slope * min(step, _ALWAYS)) / slope + max(step - _ALWAYS, 0) / _SELDOM
