"""The training loop of clouds: stages, epochs and steps, with a checkpoint after every epoch."""

import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from datasets.backgrounds import rendering_over
from datasets.scene import Scene, Split
from models.checks import is_finite
from models.points import PointCloud
from settings.errors import InputError
from settings.options import Options
from system import ranks, signals
from system.progress import progress
from system.reading import reading
from taichi_kernels import runtime
from taichi_kernels.photometric import photometric_loss
from training import distributed, log
from training.checkpoint import CHECKPOINT, cloud_from, cloud_state, load_checkpoint, save_checkpoint, save_config
from training.learned_from import learned_from
from training.losses import silhouette_loss
from training.point_run import PointRun, random_numbers, start_run
from training.recipe import MaskFacts, Recipe, Stage, Start
from training.run_state import check_optimizer, squares_are_finite
from training.validate import mean_psnr

_EVALUATIONS = 20  # validation passes over a whole run, besides those at the ends of stages


def fit(scene: Scene, validation: Split, options: Options, recipe: Recipe, folder: Path, *,
        start: PointCloud | None = None, config_text: str = "", begun: Callable[[Start], None] | None = None) -> PointRun:
    """Train a cloud on the scene's training views, or continue the run in `folder`; returns where it stands at the end.

    start: a cloud to begin with instead of the recipe's initial one; config_text: kept in the folder as config.txt; begun: called
    with what a fresh run starts from. Where the program is told to stop, the run saves a checkpoint in the middle of the epoch
    and raises StopRequested; after Ctrl-C it saves one and returns, with `interrupted` set. Everything random comes from the
    seed and the epoch's number, so a resumed run repeats an uninterrupted one. The views of a step are shared out over the
    ranks, of which
    the first alone writes files. Raises InputError for an empty hull, a checkpoint of another run and a loss that is not finite.
    """
    data = learned_from(scene, options)
    state = None
    if ranks.first() and not options.no_reload:
        state = load_checkpoint(folder, options, data, scene.train.names)
    state = distributed.from_first(state)
    if state is None and options.resume:
        raise InputError(f"--resume: {folder} holds no checkpoint: check --basedir, or leave --resume out to start")
    if state is None:
        run = start_run(scene, options, recipe, start, begun)
    else:
        with reading(folder / CHECKPOINT):
            run = PointRun.resumed(state, recipe, len(scene.train))
    signals.check()
    run.seconds["compile"] += _warm_up(run.cloud, scene)
    loop = _Loop(scene, validation, options, recipe, folder, run, data)
    if ranks.first():
        log.begin(folder, run.history, "epoch")
        save_config(folder, config_text)
    signals.check()
    loop.go(state)
    return run


class _Loop:
    """The state that `fit` moves through: one instance a call."""

    def __init__(
        self, scene: Scene, validation: Split, options: Options, recipe: Recipe, folder: Path, run: PointRun, data: dict
    ):
        self.scene, self.validation, self.options, self.data = scene, validation, options, data  # data: see `learned_from`
        self.recipe, self.folder, self.run = recipe, folder, run
        self.cameras = scene.train.cameras
        self.over_black = [scene.train.over_black(view) for view in range(len(scene.train))]  # once, not in every step
        self.views = _views_to_train(scene, run.masks)
        all_views = len(self.views) == len(scene.train)
        self.seen = scene if all_views else replace(scene, train=scene.train.subset(self.views), carving=None)
        self.epochs_done = len(run.history)

    def go(self, state: dict | None) -> None:
        views, run = len(self.views), self.run
        left = sum(stage.epochs for stage in self.recipe.stages[run.stage :]) - run.epoch
        self.bar = progress(total=(self.epochs_done + left) * views, initial=self.epochs_done * views + run.place, unit="view",
                            desc="training", smoothing=0.02)
        try:
            with distributed.stopped_together():
                self._stages(state)
        except signals.StopRequested:
            if not signals.ends_training_only():
                raise
            run.interrupted = True
        finally:
            self.bar.close()

    def _stages(self, state: dict | None) -> None:
        """Run what is left. Where the program is told to stop, it saves, even in the middle of an epoch, and raises
        StopRequested."""
        run = self.run
        for index in range(run.stage, len(self.recipe.stages)):
            stage = self.recipe.stages[index]
            optimizer = self._begin(index, stage, state)
            state, run.stage = None, index
            while run.stage == index and run.epoch < stage.epochs:
                try:
                    last = self._epoch(stage, optimizer)
                    run.stage, run.epoch = (index + 1, 0) if last else (index, run.epoch + 1)
                    run.finished = sum(later.epochs for later in self.recipe.stages[run.stage :]) == run.epoch == 0
                    self._timed_save(optimizer)
                    distributed.answer()
                except signals.StopRequested:
                    self._check_finite(run.squared)
                    self._timed_save(optimizer)
                    distributed.wait()
                    raise

    def _begin(self, index: int, stage: Stage, state: dict | None):
        """The stage's optimizer, after its change of the cloud; both as they were where the stage is resumed midway."""
        run = self.run
        resumed = state is not None and (run.epoch > 0 or run.place > 0)
        if stage.change and not resumed and stage.epochs:
            began = time.perf_counter()
            if ranks.first():
                run.model = stage.change(run.cloud, self.seen, self.options, random_numbers(self.options, 1 + index))
            if ranks.count() > 1:
                run.model = cloud_from(distributed.from_first(cloud_state(run.model)), run.cloud.positions.device)
            run.seconds["training"] += time.perf_counter() - began
        run.cloud.use_sh = stage.use_sh
        optimizer = _optimizer(run.cloud, stage)
        if resumed:
            with reading(self.folder / CHECKPOINT):
                check_optimizer(state["optimizer"], optimizer)
                optimizer.load_state_dict(state["optimizer"])
        return optimizer

    def _timed_save(self, optimizer) -> None:
        began = time.perf_counter()
        if not squares_are_finite(optimizer):
            raise self._diverged()
        if ranks.first():
            save_checkpoint(self.folder, self.run.state(optimizer) | {"learned_from": self.data}, self.options)
        self.run.seconds["training"] += time.perf_counter() - began

    def _epoch(self, stage: Stage, optimizer) -> bool:
        """Train one epoch and record it; returns whether it is the stage's last. Raises StopRequested between two steps, and in
        the validation, which is then made again when the run goes on."""
        run = self.run
        for group in optimizer.param_groups:
            group["lr"] = group["rate"] * stage.decay**run.epoch
        order = torch.randperm(len(self.views), generator=random_numbers(self.options, 1000 + self.epochs_done)).tolist()
        while run.place < len(order):
            if run.place or run.epoch:  # not between a stage's change of the cloud and its first step
                distributed.answer()
            began = time.perf_counter()
            some = [self.views[place] for place in order[run.place : run.place + self.options.batch_views]]
            with runtime.flushed_denormals():
                run.squared += self._step(stage, some, optimizer)
            run.place += len(some)
            run.seconds["training"] += time.perf_counter() - began
            self.bar.update(len(some))
        self._check_finite(run.squared)
        distributed.keep_same(run.cloud, optimizer)
        train_psnr = -10 * math.log10(max(run.squared / len(order), 1e-12))
        settled = stage.settled([h["train_psnr"] for h in run.history if h["stage"] == stage.name] + [train_psnr])
        last = settled or run.epoch + 1 == stage.epochs
        if settled:
            self.bar.total -= (stage.epochs - run.epoch - 1) * len(order)
        self._record(stage, train_psnr, last)
        run.squared, run.place = 0.0, 0
        return last

    def _check_finite(self, squared: float) -> None:
        if not math.isfinite(squared) or not all(is_finite(value) for value in self.run.cloud.parameters()):
            raise self._diverged()

    def _diverged(self) -> InputError:
        """What to say when numbers ran away."""
        stage = self.recipe.stages[min(self.run.stage, len(self.recipe.stages) - 1)]
        kept = f"the last checkpoint is in {self.folder}" if self.epochs_done else "there is no checkpoint yet"
        return InputError(f"the loss or a parameter stopped being finite in epoch {self.epochs_done + 1} ({stage.name}): "
                          f"lower --lr1 or --lr2; {kept}")

    def _step(self, stage: Stage, views: list[int], optimizer) -> float:
        """One step on the mean loss of some views, shared out over the ranks; returns the sum of the views' mean squared errors
        that the stage's loss holds."""
        optimizer.zero_grad(set_to_none=True)
        own, squares = distributed.own_part(views), 0.0
        for view in own or views[:1]:  # a rank that is left without a view looks at one that does not count
            loss, squared = self._loss(stage, view, *self.run.cloud.composite(self.cameras, view))
            (loss * (bool(own) / len(views))).backward()
            squares += float(squared) * bool(own)
        (squares,) = distributed.sum_up(list(self.run.cloud.parameters()), [squares])
        optimizer.step()
        return squares

    def _loss(self, stage: Stage, view: int, image: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor]:
        if stage.loss == "silhouette":  # what is not black is the object, so over black whatever the background
            target = self.over_black[view].to(image.device)
            return silhouette_loss(image, target, self.run.cloud.positions, ridge=stage.ridge)
        background = self.scene.background
        target = self.over_black[view] if background == "black" else self.scene.train.picture(view, background)
        image = rendering_over(image, 1 - alpha, background)
        loss, squared = photometric_loss(image, target.to(image.device), gradient_weight=self.options.lr_s)
        return loss + self._alpha_loss(view, alpha), squared

    def _alpha_loss(self, view: int, alpha: Tensor) -> Tensor | float:
        """What the view's mask says of alpha, where it is believed; else a price that clears what no photograph needs."""
        if self.run.masks.believed and not self.run.masks.believed[view]:
            return self.recipe.alpha_price * alpha.mean()
        if not self.recipe.alpha_weight:
            return 0.0
        mask = torch.from_numpy(self.scene.silhouettes.alpha[view]).to(alpha.device)
        return self.recipe.alpha_weight * ((alpha - mask / 255) ** 2).mean()

    def _record(self, stage: Stage, train_psnr: float, last: bool) -> None:
        run, epochs = self.run, self.recipe.epochs
        every = max(1, round(epochs / _EVALUATIONS))
        due = (self.epochs_done + 1) % every == 0 or last
        validation = self._validate() if due and len(self.validation) and ranks.first() else None
        self.epochs_done += 1
        steps = math.ceil(len(self.views) / self.options.batch_views)
        run.history.append({
            "epoch": self.epochs_done, "step": self.epochs_done * steps, "seconds": run.seconds["training"],
            "train_psnr": train_psnr, "validation_psnr": validation, "points": run.cloud.point_count(), "stage": stage.name,
        })
        known = [h["validation_psnr"] for h in run.history if h["validation_psnr"] is not None]
        shown = f"{known[-1]:.2f}" if known else "-"
        if ranks.first():
            log.add(self.folder, f"epoch {self.epochs_done} ({stage.name}): {run.seconds['training']:.1f} s, train "
                    f"{train_psnr:.2f} dB, validation {'-' if validation is None else f'{validation:.2f}'} dB, "
                    f"{run.cloud.point_count()} points")
        points = f"{run.cloud.point_count():,} points"
        self.bar.set_postfix_str(f"{stage.name}, train {train_psnr:.2f} dB, validation {shown} dB, {points}", refresh=False)

    def _validate(self) -> float:
        began = time.perf_counter()
        psnr = mean_psnr(self.run.cloud, self.validation, self.scene.background)
        self.run.seconds["evaluation"] += time.perf_counter() - began
        return psnr


def _views_to_train(scene: Scene, masks: MaskFacts) -> list[int]:
    """All training views, but those whose pictures were cut out by masks that were left out."""
    if not scene.cut_out or not any(masks.believed):
        return list(range(len(scene.train)))
    return [view for view, good in enumerate(masks.believed) if good]


def _optimizer(cloud: PointCloud, stage: Stage):
    rates = {
        "positions": stage.position_rate, "base": stage.colour_rate,
        "sh": stage.colour_rate if stage.harmonics_rate is None else stage.harmonics_rate,
        "opacity_logits": stage.opacity_rate, "log_radii": stage.radius_rate,
    }
    groups = [{"params": [value], "rate": rates[name], "lr": rates[name]} for name, value in cloud.named_parameters()]
    return torch.optim.Adam(groups, fused=True)


def _warm_up(cloud: PointCloud, scene: Scene) -> float:
    """Compile every kernel that training and rendering need on a few points; returns the seconds it took."""
    began = time.perf_counter()
    few = cloud.selected(torch.arange(min(cloud.point_count(), 64), device=cloud.positions.device))
    for few.use_sh in (False, True):
        image, _ = few.composite(scene.train.cameras, 0)
        photometric_loss(image, scene.train.picture(0, scene.background).to(image.device))[0].backward()
    with torch.no_grad():
        few.render(scene.train.cameras, 0)
    return time.perf_counter() - began
