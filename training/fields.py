"""Training a radiance field on random rays: `--method nerf`."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from datasets.scene import Scene, Split
from models.checks import check_number, check_truth, is_finite
from models.fields import field_from_state
from models.marched_field import MarchedField
from models.nerf_pytorch import from_nerf_pytorch
from models.ray_model import RayModel
from models.sampled_field import SampledField
from settings.errors import InputError
from settings.options import FIELD_DEFAULTS, Options
from system import ranks, signals
from system.progress import progress
from system.reading import reading
from taichi_kernels import runtime
from training import distributed, log
from training.checkpoint import CHECKPOINT, WEIGHTS, load_checkpoint, load_field, read_run, save_checkpoint, save_config
from training.field_start import initial_field
from training.grid_steps import GridSteps
from training.learned_from import learned_from
from training.network_start import initial_networks, sampling, scene_ndc
from training.network_steps import NetworkSteps
from training.ray_batches import RayBatches
from training.run import Run
from training.run_state import check_optimizer, squares_are_finite
from training.validate import rays_psnr

_VALIDATION_RAYS = 8192
_EPOCHS = 20  # parts of a run, for history and progress


@dataclass
class FieldRun(Run):
    """A field in training."""

    model: RayModel | None = None
    step: int = 0


def complete(options: Options) -> Options:
    """The options with what the user left to --field."""
    return options.filled(FIELD_DEFAULTS[options.field])


def in_bfloat16(options: Options, model: RayModel) -> bool:
    """Whether the model's networks multiply in bfloat16: as the user says, else where that is fast and the field a grid."""
    if options.mixed_precision is not None:
        return options.mixed_precision
    return isinstance(model, MarchedField) and runtime.has_bfloat16()


def fit_field(
    scene: Scene, validation: Split, options: Options, folder: Path, *, config_text: str = "",
    every: Callable[[RayModel, int], None] | None = None,
) -> FieldRun:
    """Train a field on the scene's training views, or continue the run in `folder`; returns where it stands at the end.

    options are those of `complete`; a new run starts from the model in --ft_path where one is named. every(model, step) is called
    between steps, outside the training time. Where the program is told to stop, the run saves a checkpoint and raises
    StopRequested; after Ctrl-C it saves one and returns, with `interrupted` set.
    Everything random comes from one generator whose state is in the checkpoint, so a resumed run repeats an uninterrupted one.
    The rays of a step are shared out over the ranks, of which the first alone writes files and calls `every`.
    Raises InputError for a checkpoint of another run and for a loss or a model that is not finite.
    """
    data = learned_from(scene, options)
    state = None
    if ranks.first() and not options.no_reload:
        state = load_checkpoint(folder, options, data, scene.train.names)
    state = distributed.from_first(state)
    if state is None and options.resume:
        raise InputError(f"--resume: {folder} holds no checkpoint: check --basedir, or leave --resume out to start")
    return _Loop(scene, validation, options, folder, state, data, config_text, every).go()


def load_field_run(scene: Scene, options: Options, folder: Path) -> FieldRun:
    """The run in `folder` as its checkpoint left it, or just its weights; or the field in the file that --ft_path names.

    Raises InputError where there is none.
    """
    path = Path(options.ft_path).expanduser() if options.ft_path else next(
        (folder / name for name in (CHECKPOINT, WEIGHTS) if (folder / name).is_file()), None)
    if path is None:
        raise InputError(f"--render_only: {folder} holds neither {CHECKPOINT} nor {WEIGHTS}: train first, or name --ft_path FILE")
    state = read_run(path) if path == folder / CHECKPOINT else load_field(path)
    if path == folder / CHECKPOINT and "field" not in state:
        raise InputError(f"{folder} holds no radiance field, but a run of --method {state['options'].get('method')}: give that")
    run = FieldRun(model=_field_in(state, path, scene, options).to(runtime.torch_device()))
    run.model.mix(in_bfloat16(options, run.model))
    if path == folder / CHECKPOINT:
        run.history, run.seconds, run.options = state["history"], state["seconds"], state["options"]
        run.interrupted = not state["finished"]
    return run


def _field_in(state: dict, path: Path, scene: Scene, options: Options) -> RayModel:
    """The model that a file holds: of this program, or of nerf-pytorch."""
    with reading(path):
        if "field" in state:
            return field_from_state(state["field"])
        if options.rvs:
            raise InputError(f"{path} holds networks of nerf-pytorch, which were trained without --rvs: drop that flag")
        places = sampling(scene, options, endless=True, as_nerf_pytorch=True)
        return from_nerf_pytorch(state, places, scene_ndc(scene))


def _start(scene: Scene, options: Options, generator: torch.Generator) -> RayModel:
    """The model before training, which --ft_path may name."""
    if options.ft_path:
        path = Path(options.ft_path).expanduser()
        model = _field_in(load_field(path), path, scene, options)
    else:
        networks = options.field == "mlp"
        model = initial_networks(scene, options, generator) if networks else initial_field(scene, options.field, generator)
    if model.kind != options.field:
        raise InputError(f"--ft_path {options.ft_path} holds a field of kind {model.kind}: give --field {model.kind}")
    if isinstance(model, SampledField) and model.sampling.reparameterized != options.rvs:
        raise InputError(f"--ft_path {options.ft_path} holds networks trained {'with' if not options.rvs else 'without'} --rvs: "
                         f"{'give' if not options.rvs else 'drop'} that flag")
    return model


class _Loop:
    """The state that `fit_field` moves through: one instance a call."""

    def __init__(
        self, scene: Scene, validation: Split, options: Options, folder: Path, state: dict | None, data: dict, config_text: str,
        every
    ):
        self.scene, self.options, self.folder, self.every = scene, options, folder, every
        self.data = data  # see `learned_from`
        self.generator = torch.Generator().manual_seed(options.seed)
        began = time.perf_counter()
        model = _start(scene, options, self.generator) if state is None else _field_in(state, folder / CHECKPOINT, scene, options)
        self.run = FieldRun(model=model.to(runtime.torch_device()))
        distributed.keep_same(model)
        if isinstance(model, MarchedField):
            model.calls = options.radiance_calls
        with reading(folder / CHECKPOINT):
            mixed = in_bfloat16(options, model) if state is None else check_truth("its bfloat16", state.get("bfloat16", False))
        model.mix(distributed.from_first(mixed))
        self.run.seconds["hull"] = time.perf_counter() - began
        solid = isinstance(model, SampledField) and model.sampling.endless  # nothing is ever seen behind it
        random = options.random_bkgd and scene.train.alpha is not None and not solid
        self.batches = RayBatches(scene.train, "random" if random else scene.background, runtime.torch_device())
        self.steps = (NetworkSteps if options.field == "mlp" else GridSteps)(model, options, self.generator)
        self.validation = RayBatches(validation, scene.background, runtime.torch_device()) if len(validation) else None
        self.epoch_squares: list[float] = []
        self.watched = 0  # the last step that `every` was called after
        if state is not None:
            with reading(folder / CHECKPOINT):
                self._restore(state)
        self.saved_step, self.saved_at = self.run.step, time.monotonic()
        signals.check()
        self.run.seconds["compile"] += self._warm_up()
        signals.check()
        if ranks.first():
            log.begin(folder, self.run.history, "step")
            save_config(folder, config_text)

    def go(self) -> FieldRun:
        run, options = self.run, self.options
        bar = progress(total=options.N_iters, initial=run.step, desc="training", unit="step")
        try:
            with bar, distributed.stopped_together():
                self._after_step(bar)  # what a run that was cut off left undone
                while run.step < options.N_iters:
                    distributed.answer()
                    began = time.perf_counter()
                    with runtime.flushed_denormals():
                        self._step()
                    run.seconds["training"] += time.perf_counter() - began
                    run.step += 1
                    bar.update()
                    self._after_step(bar)
                run.finished = True
                self._save()
        except signals.StopRequested:
            self._save()
            distributed.wait()
            if not signals.ends_training_only():
                raise
            run.interrupted = True
        return run

    def _after_step(self, bar) -> None:
        """Record the epoch, save and call `every`, each where it is due and not done yet. What raises StopRequested is made
        again when the run goes on."""
        run, steps = self.run, self.options.N_iters
        recorded = run.history[-1]["step"] if run.history else 0
        if run.step * _EPOCHS // steps != recorded * _EPOCHS // steps:
            bar.set_postfix_str(self._record())
        every, seconds = self.options.checkpoint_interval
        due = run.step % every == 0 or time.monotonic() - self.saved_at >= seconds
        if due and self.saved_step < run.step < steps:
            self._save()
        if self.every is not None and ranks.first() and self.watched < run.step:
            self.every(run.model, run.step)
            self.watched = run.step

    def _step(self) -> None:
        run, steps = self.run, self.steps
        loss, squared, cost = steps.loss(run.step, self.batches)
        steps.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        values = [float(loss.detach()), float(squared.detach()), cost]
        loss, squared, cost = distributed.sum_up(list(run.model.parameters()), values)
        if not math.isfinite(loss):
            raise self._diverged("loss")
        self.epoch_squares.append(squared)
        steps.optimizer.step()
        steps.after(cost)

    def _diverged(self, what: str) -> InputError:
        """What to say when numbers ran away."""
        saved = f"the checkpoint of step {self.saved_step} is kept" if self.saved_step else "there is no checkpoint yet"
        return InputError(f"the {what} is not finite at step {self.run.step}: lower --lrate; {saved}")

    def _record(self) -> str:
        """Add an epoch to the history; its figures in words."""
        run = self.run
        train = -10 * math.log10(max(sum(self.epoch_squares) / len(self.epoch_squares), 1e-12))
        due = (len(run.history) % 2 or run.step == self.options.N_iters) and self.validation is not None
        validation = self._validate() if due and ranks.first() else None
        distributed.keep_same(run.model, self.steps.optimizer)
        self.epoch_squares = []
        run.history.append({
            "epoch": len(run.history) + 1, "step": run.step, "seconds": run.seconds["training"], "train_psnr": train,
            "validation_psnr": validation, "rays": self.steps.rays, "stage": "field",
        })
        known = [h["validation_psnr"] for h in run.history if h["validation_psnr"] is not None]
        shown = f"{known[-1]:.2f}" if known else "-"
        words = f"train {train:.2f} dB, validation {shown} dB, {self.steps.rays:,} rays a step"
        if ranks.first():
            log.add(self.folder, f"step {run.step}: {run.seconds['training']:.1f} s, {words}")
        return words

    def _validate(self) -> float:
        began = time.perf_counter()
        psnr = rays_psnr(self.run.model, self.validation, _VALIDATION_RAYS)
        self.run.seconds["evaluation"] += time.perf_counter() - began
        return psnr

    def _save(self) -> None:
        run = self.run
        if not (all(is_finite(values) for values in run.model.parameters()) and squares_are_finite(self.steps.optimizer)):
            raise self._diverged("model")
        self.saved_step, self.saved_at = run.step, time.monotonic()
        if not ranks.first():
            return
        save_checkpoint(self.folder, {
            "field": run.model.state(), "optimizer": self.steps.optimizer.state_dict(), "history": run.history,
            "seconds": run.seconds, "step": run.step, "rays": self.steps.rays, "squares": self.epoch_squares,
            "generator": self.generator.get_state(), "finished": run.finished, "bfloat16": run.model.in_bfloat16,
            "learned_from": self.data, "watched": self.watched,
        }, self.options)

    def _restore(self, state: dict) -> None:
        """Go on from a checkpoint's state. Raises ValueError where it is not one of this run."""
        run, optimizer = self.run, self.steps.optimizer
        run.history, run.seconds, run.finished = state["history"], state["seconds"], state["finished"]
        run.step = check_number("its step", state["step"], 0, self.options.N_iters, whole=True)
        self.steps.rays = check_number("its rays of a step", state["rays"], 1, 1 << 20, whole=True)
        if not isinstance(state["squares"], list):
            raise ValueError("its squared errors are no list")
        self.epoch_squares = [check_number("its squared errors", value, 0) for value in state["squares"]]
        self.watched = check_number("the last step shown", state.get("watched", run.step), 0, self.options.N_iters, whole=True)
        try:
            check_optimizer(state["optimizer"], optimizer)
        except ValueError as problem:
            raise ValueError(f"{problem}: start anew by --no_reload, from its model by --ft_path") from problem
        optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])

    def _warm_up(self) -> float:
        """Compile every kernel on a few rays; returns the seconds it took."""
        began, model = time.perf_counter(), self.run.model
        batch = self.batches.draw(64, torch.Generator().manual_seed(0))
        rays, generator = model.enter(batch.rays), torch.Generator().manual_seed(0)
        if isinstance(model, SampledField):
            seen = model.trace(rays, generator, jitter=1.0).best
        else:
            samples = model.sample(rays, generator)
            seen = model.estimates(rays, samples)[0] if model.calls else model.shade(rays, samples)
        seen.colour.sum().backward()
        model.zero_grad(set_to_none=True)
        model.look(rays)
        return time.perf_counter() - began
