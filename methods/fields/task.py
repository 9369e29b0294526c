"""Training a radiance field on random rays."""

import time
from pathlib import Path

import torch

from datasets.scene import Scene, Split
from methods.fields.grid_start import initial_field
from methods.fields.grid_steps import GridSteps
from methods.fields.network_start import initial_networks
from methods.fields.network_steps import NetworkSteps
from methods.fields.options import FieldOptions
from methods.fields.ray_batches import RayBatches, rays_psnr
from methods.fields.run import FieldRun, field_in, in_bfloat16, load_field
from models.checks import check_number, check_truth
from models.fields import field_from_state
from models.marched_field import MarchedField
from models.ray_model import RayModel
from models.sampled_field import SampledField
from settings.errors import InputError
from taichi_kernels import runtime
from training import distributed
from training.learned_from import learned_from
from training.run_state import check_optimizer
from training.task import Task

_VALIDATION_RAYS = 8192
_EPOCHS = 20  # parts of a run, for history and progress


class FieldTask(Task):
    """The training of a field. Everything random comes from one generator, whose state is in the checkpoint. The rays of a step
    are divided over the ranks."""

    run: FieldRun
    remedy, stage = "lower --lrate", "field"

    def __init__(self, scene: Scene, validation: Split, options: FieldOptions):
        """options: complete, see `FieldOptions.complete`. A new run starts from the model in --ft_path where one is named."""
        self.scene, self.validation, self.options = scene, validation, options
        self.generator = torch.Generator().manual_seed(options.seed)
        self.checkpoint_interval = options.checkpoint_interval

    def learned_from(self) -> dict:
        return learned_from(self.scene, self.options)

    def start(self) -> None:
        began = time.perf_counter()
        model = self._initial_model()
        self._begin(model, in_bfloat16(self.options, model))
        self.run.seconds["hull"] = time.perf_counter() - began

    def restore(self, state: dict) -> None:
        self._begin(field_from_state(state["field"]), check_truth("its bfloat16", state.get("bfloat16", False)))
        run = self.run
        run.history, run.seconds, run.finished = state["history"], state["seconds"], state["finished"]
        run.step = check_number("its step", state["step"], 0, self.options.N_iters, whole=True)
        self.ray_steps.rays = check_number("its rays of a step", state["rays"], 1, 1 << 20, whole=True)
        if not isinstance(state["squares"], list):
            raise ValueError("its squared errors are no list")
        self.epoch_squares = [check_number("its squared errors", value, 0) for value in state["squares"]]
        try:
            check_optimizer(state["optimizer"], self.optimizer)
        except ValueError as problem:
            raise ValueError(f"{problem}: start anew by --no_reload, from its model by --ft_path") from problem
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])

    def _initial_model(self) -> RayModel:
        """The model before training, which --ft_path may name."""
        scene, options = self.scene, self.options
        if options.ft_path:
            path = Path(options.ft_path).expanduser()
            model = field_in(load_field(path), path, scene, options)
        elif options.field == "mlp":
            model = initial_networks(scene, options, self.generator)
        else:
            model = initial_field(scene, options.field, self.generator)
        if model.kind != options.field:
            raise InputError(f"--ft_path {options.ft_path} holds a field of kind {model.kind}: give --field {model.kind}")
        if isinstance(model, SampledField) and model.sampling.reparameterized != options.rvs:
            raise InputError(f"--ft_path {options.ft_path} holds networks trained {'with' if not options.rvs else 'without'} "
                             f"--rvs: {'give' if not options.rvs else 'drop'} that flag")
        return model

    def _begin(self, model: RayModel, mixed: bool) -> None:
        scene, options, device = self.scene, self.options, runtime.torch_device()
        self.run = FieldRun(model=model.to(device))
        distributed.keep_same(model)
        if isinstance(model, MarchedField):
            model.calls = options.radiance_calls
        model.mix(distributed.from_first(mixed))
        solid = isinstance(model, SampledField) and model.sampling.endless  # nothing is ever seen behind it
        random = options.random_bkgd and scene.train.alpha is not None and not solid
        self.batches = RayBatches(scene.train, "random" if random else scene.background, device)
        self.validation_batches = RayBatches(self.validation, scene.background, device) if len(self.validation) else None
        self.ray_steps = (NetworkSteps if options.field == "mlp" else GridSteps)(model, options, self.generator)
        self.optimizer = self.ray_steps.optimizer
        self.epoch_squares: list[float] = []

    def state(self) -> dict:
        return {
            "field": self.model.state(), "step": self.run.step, "rays": self.ray_steps.rays, "squares": self.epoch_squares,
            "generator": self.generator.get_state(), "bfloat16": self.model.in_bfloat16,
        }

    def warm_up(self) -> None:
        batch = self.batches.draw(64, torch.Generator().manual_seed(0))
        rays = self.model.enter(batch.rays)
        self.ray_steps.shown(rays, torch.Generator().manual_seed(0)).colour.sum().backward()
        self.model.zero_grad(set_to_none=True)
        self.model.look(rays)

    def step(self) -> float:
        loss, squared, cost = self.ray_steps.loss(self.run.step, self.batches)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        values = [float(loss.detach()), float(squared.detach()), cost]
        loss, squared, cost = distributed.sum_up(list(self.model.parameters()), values)
        self.epoch_squares.append(squared)
        self.optimizer.step()
        self.ray_steps.after(cost)
        self.run.step += 1
        return loss

    @property
    def done(self) -> int:
        return self.run.step

    @property
    def total(self) -> int:
        return self.options.N_iters

    @property
    def steps(self) -> int:
        return self.run.step

    @property
    def position(self) -> str:
        return f"step {self.run.step}"

    @property
    def epoch_done(self) -> bool:
        recorded = self.run.history[-1]["step"] if self.run.history else 0
        return self.run.step * _EPOCHS // self.total != recorded * _EPOCHS // self.total

    def train_error(self) -> float:
        return sum(self.epoch_squares) / len(self.epoch_squares)

    def validation_psnr(self) -> float | None:
        if self.validation_batches is None or not (len(self.run.history) % 2 or self.finished):
            return None
        return rays_psnr(self.model, self.validation_batches, _VALIDATION_RAYS)

    def row_figures(self) -> dict[str, int]:
        return {"rays": self.ray_steps.rays}

    def size_in_words(self) -> str:
        return f"{self.ray_steps.rays:,} rays a step"

    def end_epoch(self) -> None:
        self.epoch_squares = []
