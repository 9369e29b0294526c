"""Steps of training the marched field: which rays, how they are marched, and which cells stay occupied."""

from collections.abc import Iterator

import torch
from torch import Tensor

from methods.fields import schedules
from methods.fields.exposure import Exposure
from methods.fields.options import FieldOptions
from methods.fields.ray_batches import Batch, RayBatches
from methods.fields.surface_losses import surface_losses
from models.marched_field import MarchedField
from models.rays import Rays
from models.repeatable import mean
from taichi_kernels.compositing import Composite, composite
from taichi_kernels.distortion import distortion
from taichi_kernels.marching import Samples
from training import distributed

SAMPLES = 1 << 15  # of a step, that are seen
LAST_RATE = 0.03  # fraction of the step size that is left at the end
_FIRST_RAYS, _MOST_RAYS = 256, 1 << 15
_PRUNE_FROM, _EVERY = 96, 16  # steps: the first update of the occupancy, and between updates
_ALL_CELLS_UNTIL = 400  # steps in which an update looks at every open cell, or at _MANY of them; afterwards at _SOME
_MANY, _SOME = 1 << 17, 1 << 14
_DECAY = 0.8


class GridSteps:
    """`--field grid` and `voxels`. Without --N_rand, a step has as many rays as show `SAMPLES` samples, or as call the radiance
    so often."""

    def __init__(self, model: MarchedField, options: FieldOptions, generator: torch.Generator):
        self.model, self.options, self.generator = model, options, generator
        self.rays = options.N_rand or _FIRST_RAYS  # of the next step
        self.schedule = schedules.UNBOUNDED if model.contracted else schedules.NDC if model.ndc else schedules.BOX
        self.distortion = self.schedule.distortion if options.distortion is None else options.distortion
        self.surfaces = surface_losses(model, options)
        self.open_cells = int(model.occupancy.open.sum())
        self.optimizer = torch.optim.Adam(model.field.parameters(), lr=options.lrate, betas=(0.9, 0.99), eps=1e-15, fused=True)

    def losses(self, step: int, batches: RayBatches) -> Iterator[tuple[Tensor, Tensor, float]]:
        """The step's loss and the mean squared error of its rays, both over the rays and the channels, and the cost in samples:
        of this rank's rays all at once, parts of sums over the ranks."""
        options, model = self.options, self.model
        done = step / options.N_iters
        stretch = self.schedule.stretch(done)
        for group, rate in zip(self.optimizer.param_groups, (1.0, Exposure.rate), strict=False):
            group["lr"] = rate * options.lrate * self.schedule.rate(done, LAST_RATE)
        if step >= _PRUNE_FROM and step % _EVERY == 0:
            threshold = self.schedule.threshold / stretch  # of a step that is not stretched
            some = self._evaluated(step)
            model.occupancy.update(model.field.density, self.generator, some=some, decay=_DECAY, threshold=threshold)
        if self.surfaces:
            self.surfaces.begin((step - step % _EVERY) / options.N_iters, new_density=step % _EVERY == 0)
        batch = batches.draw_for(step, self.rays, options, self.generator)
        rays = model.to_model_space(batch.rays)
        generator = distributed.shard_generator(self.generator, options.seed, step)
        samples, features = model.visible_samples(rays, generator, stretch=stretch, jitter=options.perturb)
        if model.radiance_samples:
            loss, squared = self._estimated(batch, rays, samples, features, generator)
        else:
            seen, values = model.composite_samples(rays, samples, features, depth=False)
            loss = squared = batch.squared_error(model.shaded(rays, seen))
            if self.surfaces:
                assert seen.weights is not None
                looking = rays.view_directions[samples.rays.long()]
                loss = loss + self.surfaces(seen.weights, values, samples.positions, looking, features) / len(rays)
            if self.distortion:
                assert seen.weights is not None
                loss = loss + self._spread(seen.weights, samples, rays)
        cost = len(samples.rays)
        if model.radiance_samples:
            cost = model.field.density_cost * cost + self._calls(samples)
        yield batch.fraction * loss, batch.fraction * squared, cost

    def shown(self, rays: Rays, generator: torch.Generator) -> Composite:
        """The rays rendered as a step renders them."""
        samples = self.model.sample(rays, generator)
        if self.model.radiance_samples:
            return self.model.render_monte_carlo(rays, samples)[0]
        return self.model.render_samples(rays, samples)

    def after(self, cost: float) -> None:
        """Choose how many rays the next step has, by the cost of this one."""
        if not self.options.N_rand:
            ratio = SAMPLES / max(cost, 1)
            self.rays = min(max(round(self.rays * (0.5 + 0.5 * min(ratio, 3.0))), _FIRST_RAYS), _MOST_RAYS)

    def _evaluated(self, step: int) -> int:
        """In how many random cells an update evaluates the density; 0: in all that are open."""
        if self.schedule.sweep_every is not None:
            return 0 if step == _PRUNE_FROM or step % self.schedule.sweep_every == 0 else _SOME
        many = _MANY if self.open_cells > 3 * _MANY else 0
        return many if step < _ALL_CELLS_UNTIL else _SOME

    def _calls(self, samples: Samples) -> int:
        """Calls of the radiance for these samples, if it is not called at each of them."""
        each = self.model.radiance_samples * (2 if self.options.two_estimates else 1)
        return each and each * int((samples.offsets.diff() > 0).sum())

    def _estimated(
        self, batch: Batch, rays: Rays, samples: Samples, features: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """The loss and the squared error of colours that are estimated from a few calls of the radiance.

        The squared error of one estimate is too large by its variance, which learning then makes smaller too; the product of
        two independent ones' errors is not.
        """
        two = self.options.two_estimates
        errors = [batch.error(seen) for seen in self.model.render_monte_carlo(rays, samples, features, generator, number=1 + two)]
        loss = mean(errors[0] * errors[-1])
        if self.distortion:
            densities = self.model.field.density(samples.positions, features)
            shown = composite(
                densities,
                densities[:, None].detach(),
                samples.t_starts,
                samples.t_ends,
                offsets=samples.offsets,
                lengths=rays.direction_norms,
                depth=False,
            )
            assert shown.weights is not None
            loss = loss + self._spread(shown.weights, samples, rays)
        return loss, mean((torch.stack(errors).sum(0) / len(errors)).square())

    def _spread(self, weights: Tensor, samples: Samples, rays: Rays) -> Tensor:
        """The loss of the rays' distortion, as a fraction of the box's diagonal, or, if space is contracted, of d / (d + h) at a
        distance d from the camera, h half an edge of the inner box: near fog costs more than far."""
        t_starts, t_ends, box = samples.t_starts, samples.t_ends, self.model.occupancy.box
        if self.model.contracted:
            half, norms = (box[1] - box[0]).max() / 2, rays.direction_norms[samples.rays.long()]
            t_starts, t_ends = (1 - half / (half + t * norms) for t in (t_starts, t_ends))
            return self.distortion * mean(distortion(weights, t_starts, t_ends, samples.offsets))
        scale = rays.direction_norms / (box[1] - box[0]).norm()
        return self.distortion * mean(scale * distortion(weights, t_starts, t_ends, samples.offsets))
