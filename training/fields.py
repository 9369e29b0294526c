"""Training a radiance field on random rays: `--method nerf`."""

import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from tqdm import tqdm

from datasets.scene import Scene, Split
from models.marched_field import MarchedField
from settings.errors import InputError
from settings.files import write_text
from settings.options import Options
from taichi_kernels import runtime
from training.checkpoint import CHECKPOINT, WEIGHTS, load_checkpoint, load_field, save_checkpoint
from training.field_start import initial_field
from training.ray_batches import RayBatches
from training.run import Run
from training.validate import mean_psnr

SAMPLES = 1 << 16  # of a step
LAST_RATE = 0.03  # share of the step size that is left at the end
_FIRST_RAYS, _MOST_RAYS = 256, 1 << 15
_WARM = 0.1  # share of the steps in which the marching step shrinks from _COARSE times its length
_COARSE = 4
_PRUNE_FROM, _EVERY = 96, 16  # steps: the first update of the occupancy, and between updates
_ALL_CELLS_UNTIL = 400  # steps in which an update looks at every open cell; afterwards at _SOME of them
_SOME = 1 << 14
_DECAY, _THRESHOLD = 0.8, 0.01
_EPOCHS = 20  # parts of a run, for history and progress
_VALIDATION_VIEWS = 4


@dataclass
class FieldRun(Run):
    """A field in training."""

    model: MarchedField | None = None
    step: int = 0
    rays: int = _FIRST_RAYS  # of the next step


def fit_field(scene: Scene, validation: Split, options: Options, folder: Path, *, config_text: str = "") -> FieldRun:
    """Train a field on the scene's training views, or continue the run in `folder`; returns where it stands at the end.

    On Ctrl-C the run stops with `interrupted` set and keeps its last checkpoint. Everything random comes from one generator whose
    state is in the checkpoint, so a resumed run repeats an uninterrupted one. Raises InputError for a checkpoint of another run
    and for a loss that is not finite.
    """
    state = None if options.no_reload else load_checkpoint(folder, options)
    if state is None and options.resume:
        raise InputError(f"--resume: {folder} holds no checkpoint: check --basedir, or leave --resume out to start")
    return _Loop(scene, validation, options, folder, state, config_text).go()


def load_field_run(folder: Path, path: Path | None) -> FieldRun:
    """The run in `folder` as its checkpoint left it, or just its weights; where given, the field in the file `path` instead.

    Raises InputError where there is none.
    """
    path = path or next((folder / name for name in (CHECKPOINT, WEIGHTS) if (folder / name).is_file()), None)
    if path is None:
        raise InputError(f"--render_only: {folder} holds neither {CHECKPOINT} nor {WEIGHTS}: train first, or name --ft_path FILE")
    state = load_field(path)
    run = FieldRun(model=MarchedField.from_state(state["field"]).to(runtime.torch_device()))
    if path == folder / CHECKPOINT:
        run.history, run.seconds, run.options = state["history"], state["seconds"], state["options"]
        run.interrupted = not state["finished"]
    return run


class _Loop:
    """The state that `fit_field` moves through: one instance a call."""

    def __init__(self, scene: Scene, validation: Split, options: Options, folder: Path, state: dict | None, config_text: str):
        self.scene, self.options, self.folder = scene, options, folder
        self.validation = validation.subset(_spread(len(validation), _VALIDATION_VIEWS))
        self.generator = torch.Generator().manual_seed(options.seed)
        began = time.perf_counter()
        model = initial_field(scene, self.generator) if state is None else MarchedField.from_state(state["field"])
        self.run = FieldRun(model=model.to(runtime.torch_device()))
        self.run.seconds["hull"] = time.perf_counter() - began
        random = options.random_bkgd and scene.train.alpha is not None
        self.batches = RayBatches(scene.train, "random" if random else scene.background, runtime.torch_device())
        self.optimizer = torch.optim.Adam(model.field.parameters(), lr=options.lrate, betas=(0.9, 0.99), eps=1e-15, fused=True)
        self.epoch_squares: list[float] = []
        if state is None:
            (folder / "log.txt").unlink(missing_ok=True)
        else:
            self._restore(state)
        self.run.seconds["compile"] += self._warm_up()
        write_text(folder / "config.txt", config_text)

    def go(self) -> FieldRun:
        run, options = self.run, self.options
        bar = tqdm(total=options.N_iters, initial=run.step, desc="training", unit="step", dynamic_ncols=True, file=sys.stderr)
        try:
            with bar:
                while run.step < options.N_iters:
                    began = time.perf_counter()
                    self._step()
                    run.seconds["training"] += time.perf_counter() - began
                    run.step += 1
                    bar.update()
                    if run.step * _EPOCHS // options.N_iters != (run.step - 1) * _EPOCHS // options.N_iters:
                        bar.set_postfix_str(self._record())
                    if run.step % options.i_weights == 0 and run.step < options.N_iters:
                        self._save()
            run.finished = True
            self._save()
        except KeyboardInterrupt:
            run.interrupted = True
        return run

    def _step(self) -> None:
        run, options, model = self.run, self.options, self.run.model
        done = run.step / options.N_iters
        stretch = _COARSE ** max(0.0, 1 - done / _WARM)
        for group in self.optimizer.param_groups:
            group["lr"] = options.lrate * LAST_RATE ** max(0.0, (done - _WARM) / (1 - _WARM))
        if run.step >= _PRUNE_FROM and run.step % _EVERY == 0:
            some = 0 if run.step < _ALL_CELLS_UNTIL else _SOME
            threshold = _THRESHOLD / stretch  # of a step that is not stretched
            model.occupancy.update(model.field.density, self.generator, some=some, decay=_DECAY, threshold=threshold)
        middle = options.precrop_frac if run.step < options.precrop_iters else 1.0
        batch = self.batches.draw(options.N_rand or run.rays, self.generator, one_view=options.no_batching, middle=middle)
        samples = model.sample(batch.rays, self.generator, stretch=stretch)
        seen = model.shade(batch.rays, samples)
        error = seen.colour + seen.transmittance[:, None] * batch.background - batch.colours
        loss = (error**2).mean()
        self.epoch_squares.append(float(loss.detach()))
        if not math.isfinite(self.epoch_squares[-1]):
            raise InputError(
                f"the loss is not finite at step {run.step}: lower --lrate; the checkpoint of step "
                f"{run.step // options.i_weights * options.i_weights} is kept"
            )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        share = SAMPLES / max(len(samples.rays), 1)
        run.rays = min(max(round(run.rays * (0.5 + 0.5 * min(share, 3.0))), _FIRST_RAYS), _MOST_RAYS)

    def _record(self) -> str:
        """Add an epoch to the history; its figures in words."""
        run = self.run
        train = -10 * math.log10(max(sum(self.epoch_squares) / len(self.epoch_squares), 1e-12))
        due = (len(run.history) % 2 or run.step == self.options.N_iters) and len(self.validation)
        validation = self._validate() if due else None
        self.epoch_squares = []
        run.history.append({
            "epoch": len(run.history) + 1, "step": run.step, "seconds": run.seconds["training"], "train_psnr": train,
            "validation_psnr": validation, "rays": run.rays, "stage": "field",
        })
        known = [h["validation_psnr"] for h in run.history if h["validation_psnr"] is not None]
        shown = f"{known[-1]:.2f}" if known else "-"
        words = f"train {train:.2f} dB, validation {shown} dB, {run.rays:,} rays a step"
        with (self.folder / "log.txt").open("a", encoding="utf-8") as log:
            log.write(f"step {run.step}: {run.seconds['training']:.1f} s, {words}\n")
        return words

    def _validate(self) -> float:
        began = time.perf_counter()
        psnr = mean_psnr(self.run.model, self.validation, self.scene.background)
        self.run.seconds["evaluation"] += time.perf_counter() - began
        return psnr

    def _save(self) -> None:
        run = self.run
        save_checkpoint(self.folder, {
            "field": run.model.state(), "optimizer": self.optimizer.state_dict(), "history": run.history,
            "seconds": run.seconds, "step": run.step, "rays": run.rays, "squares": self.epoch_squares,
            "generator": self.generator.get_state(), "finished": run.finished,
        }, self.options)

    def _restore(self, state: dict) -> None:
        run = self.run
        run.history, run.seconds, run.step, run.rays = state["history"], state["seconds"], state["step"], state["rays"]
        run.finished, self.epoch_squares = state["finished"], state["squares"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])

    def _warm_up(self) -> float:
        """Compile every kernel on a few rays; returns the seconds it took."""
        began, model = time.perf_counter(), self.run.model
        batch = self.batches.draw(64, torch.Generator().manual_seed(0))
        seen = model.shade(batch.rays, model.sample(batch.rays, torch.Generator().manual_seed(0)))
        seen.colour.sum().backward()
        model.field.zero_grad(set_to_none=True)
        model.look(batch.rays)
        return time.perf_counter() - began


def _spread(count: int, wanted: int) -> list[int]:
    """Up to `wanted` of `count` views, evenly spread."""
    wanted = min(count, wanted)
    return [k * count // wanted for k in range(wanted)]
