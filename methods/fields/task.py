"""Training a radiance field on random rays."""

import time
from pathlib import Path
from typing import Any

import torch

from datasets.scene import Scene, Split
from methods.fields.cone_proposal_start import initial_proposed_cones
from methods.fields.cone_proposal_steps import ConeProposalSteps
from methods.fields.exposure import Exposure
from methods.fields.grid_start import initial_field
from methods.fields.grid_steps import GridSteps
from methods.fields.mip_steps import MipSteps
from methods.fields.network_start import initial_cones, initial_networks
from methods.fields.network_steps import NetworkSteps
from methods.fields.options import FieldOptions
from methods.fields.proposal_start import proposed, with_proposals
from methods.fields.proposal_steps import ProposalSteps
from methods.fields.ray_batches import RayBatches, rays_psnr
from methods.fields.run import FieldRun, field_in, in_bfloat16, load_field
from methods.fields.unbounded_start import contracted, unbounded_field
from models.checks import check_number, check_tensors, check_truth
from models.fields import field_from_state
from models.marched_field import MarchedField
from models.proposed_cones import ProposedCones
from models.proposed_field import ProposedField
from models.ray_model import RayModel
from models.repeatable import clip_norm
from models.sampled_field import SampledField
from settings.errors import InputError
from system import ranks
from taichi_kernels import runtime
from training import distributed
from training.step_task import StepTask

_VALIDATION_RAYS = 8192
_STEPS = {"mlp": NetworkSteps, "mip": MipSteps}
_PROPOSAL_STEPS = {ProposedField: ProposalSteps, ProposedCones: ConeProposalSteps}


class FieldTask(StepTask):
    """The training of a field. The rays of a step are divided over the ranks."""

    run: FieldRun
    options: FieldOptions
    remedy = "lower --lrate"
    stage = "field"  # pyright: ignore[reportAssignmentType]  # a constant in place of the property

    def __init__(self, scene: Scene, validation: Split, options: FieldOptions):
        """options: complete, see `FieldOptions.complete`. A new run starts from the model in --ft_path, if one is named."""
        super().__init__(scene, validation, options, options.N_iters)
        self.checkpoint_interval = options.checkpoint_interval

    @property
    def model(self) -> RayModel:
        return self.run.model

    def start(self) -> None:
        began = time.perf_counter()
        model = self._initial_model()
        self._begin(model, in_bfloat16(self.options, model))
        self.run.seconds["hull"] = time.perf_counter() - began

    def restore(self, state: dict) -> None:
        self._begin(field_from_state(state["field"]), check_truth("its bfloat16", state.get("bfloat16", False)))
        self.ray_steps.rays = check_number("its rays of a step", state["rays"], 1, 1 << 20, whole=True)
        if (exposure := self.batches.exposure) is not None:
            gains = {name: value.detach() for name, value in exposure.state_dict().items()}
            exposure.load_state_dict(check_tensors(state["exposure"], gains))
        self.restore_steps(state)

    def _initial_model(self) -> RayModel:
        """The model before training, which --ft_path may name."""
        scene, options = self.scene, self.options
        if options.ft_path:
            path = Path(options.ft_path).expanduser()
            model = field_in(load_field(path), path, scene, options)
        elif options.field == "mlp":
            model = initial_networks(scene, options, self.generator)
        elif options.proposed_cones:
            model = initial_proposed_cones(scene, options, self.generator)
        elif options.field == "mip":
            model = initial_cones(scene, options, self.generator)
        elif contracted(scene, options):
            model = unbounded_field(scene, options, self.generator)
        else:
            model = initial_field(scene, options, self.generator)
        if isinstance(model, MarchedField) and not options.ft_path and proposed(options, ndc=model.ndc is not None):
            model = with_proposals(model, options.proposal_samples)
        if model.field_word != options.field_word:
            way_out = "give --ref_nerf" if model.field_word == "reflective" else f"give --field {model.field_word}"
            if options.ref_nerf:
                way_out = "drop --ref_nerf" + (f", and {way_out}" if model.field_word != "grid" else "")
            raise InputError(f"--ft_path {options.ft_path} holds the field {model.field_word}: {way_out}")
        made = {ProposedField: "proposals", ProposedCones: "proposals", MarchedField: "occupancy"}.get(type(model))
        asked = "proposals" if options.proposals is not None or options.prop_normal else options.sampler
        if asked not in (None, made):
            holds = (
                f"a field that --sampler {made} made: give that flag" if made else f"networks without --sampler {asked}: drop it"
            )
            raise InputError(f"--ft_path {options.ft_path} holds {holds}")
        if isinstance(model, ProposedCones) and not options.proposed_cones:
            raise InputError(f"--ft_path {options.ft_path} holds networks whose samples are proposed: give --sampler proposals")
        if made == "proposals" and options.radiance_calls:
            raise InputError(f"--ft_path {options.ft_path} holds a field sampled by proposals: drop --radiance_calls")
        if isinstance(model, SampledField) and model.sampling.reparameterized != options.rvs:
            raise InputError(
                f"--ft_path {options.ft_path} holds networks trained {'with' if not options.rvs else 'without'} "
                f"--rvs: {'give' if not options.rvs else 'drop'} that flag"
            )
        return model

    def _begin(self, model: RayModel, mixed: bool) -> None:
        scene, options, device = self.scene, self.options, runtime.torch_device()
        self.run = FieldRun(model=model.to(device))
        distributed.synchronize(model)
        if isinstance(model, MarchedField):
            model.radiance_samples = options.radiance_calls or 0
        model.set_bfloat16(distributed.broadcast(mixed))
        solid = isinstance(model, SampledField) and model.sampling.endless  # nothing behind it is ever visible
        # photographs hide what is behind them: a network over cones learns this from random colours, or stays transparent
        opaque = model.contracted or (model.ndc is not None and options.field == "mip")
        sparse = scene.train.alpha is not None or opaque
        random = options.random_bkgd and sparse and not solid
        self.batches = RayBatches(scene.train, "random" if random else scene.background, device)
        self.validation_batches = RayBatches(self.validation, scene.background, device) if len(self.validation) else None
        steps: Any = _PROPOSAL_STEPS.get(type(model)) or _STEPS.get(options.field, GridSteps)
        self.ray_steps = steps(model, options, self.generator)
        if options.ref_nerf:
            self.ray_steps.surfaces.carve_hull(scene.train)
        self.optimizer = self.ray_steps.optimizer
        if options.exposure:
            self.batches.exposure = Exposure(len(scene.train)).to(device)
            self.optimizer.add_param_group({"params": [*self.batches.exposure.parameters()]})

    def state(self) -> dict:
        own = {"field": self.model.state(), "rays": self.ray_steps.rays, "bfloat16": self.model.in_bfloat16}
        if self.batches.exposure is not None:
            own["exposure"] = self.batches.exposure.state_dict()
        return super().state() | own

    def warm_up(self) -> None:
        batch = self.batches.draw(64, torch.Generator().manual_seed(0))
        rays = self.model.to_model_space(batch.rays)
        self.ray_steps.shown(rays, torch.Generator().manual_seed(0)).colour.sum().backward()
        self.model.zero_grad(set_to_none=True)
        self.model.render_rays(rays)

    def step(self) -> float:
        exposure, values = self.batches.exposure, [0.0, 0.0, 0.0]
        self.optimizer.zero_grad(set_to_none=True)
        for loss, squared, cost in self.ray_steps.losses(self.run.step, self.batches):
            loss.backward()
            values = [values[0] + float(loss.detach()), values[1] + float(squared.detach()), values[2] + cost]
        if exposure is not None:
            penalty = exposure.penalty() / ranks.count()
            penalty.backward()
            values[0] += float(penalty.detach())
        learned = [value for group in self.optimizer.param_groups for value in group["params"]]
        loss, squared, cost = distributed.all_reduce(learned, values)
        if self.options.grad_clip > 0:
            clip_norm(learned, self.options.grad_clip)
        self.optimizer.step()
        self.ray_steps.after(cost)
        self.count(squared)
        return loss

    def validation_psnr(self) -> float | None:
        if self.validation_batches is None or not self.validation_due:
            return None
        return rays_psnr(self.model, self.validation_batches, _VALIDATION_RAYS)

    def row_figures(self) -> dict[str, int]:
        return {"rays": self.ray_steps.rays}

    def size_in_words(self) -> str:
        return f"{self.ray_steps.rays:,} rays a step"
