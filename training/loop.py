"""The training loop of every method: steps, history, checkpoints, and an orderly end when the program is told to stop."""

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from models.checks import is_finite
from settings.errors import InputError
from system import ranks, signals
from system.reading import reading
from taichi_kernels import runtime
from training import distributed, log
from training.callbacks import Log, Progress
from training.checkpoint import CHECKPOINT, load_checkpoint, save_checkpoint, save_config
from training.learned_from import learned_from
from training.run import HistoryRow, Run
from training.run_state import squares_are_finite
from training.task import Callback, Task


def fit(task: Task, folder: Path, *, callbacks: Sequence[Callback] = (), config_text: str = "") -> Run:
    """Train, or continue the run in `folder`; returns `task.run`, which tells how far it is at the end.

    config_text: kept in the folder as config.txt. If the program is told to stop, the run saves a checkpoint and raises
    StopRequested; after Ctrl-C it saves one and returns, with `interrupted` set. A resumed run repeats an uninterrupted one to
    the bit. Only the first of several ranks writes files. Raises InputError for a checkpoint of another run, if `task.start`
    refuses the scene, and for a loss or a model that is not finite.
    """
    options, state = task.options, None
    data = learned_from(task.scene, options)
    if ranks.first() and not options.no_reload:
        state = load_checkpoint(folder, options, data, task.scene.train.names)
    state = distributed.broadcast(state)
    if state is None and options.resume:
        raise InputError(f"--resume: {folder} holds no checkpoint: check --basedir, or leave --resume out to start")
    if state is None:
        task.start()
    else:
        with reading(folder / CHECKPOINT):
            task.restore(state)
            task.run.finished = task.run.finished and task.finished  # it may have been lengthened
            for callback in callbacks:
                callback.restore(state, task)
    signals.check()
    began = time.perf_counter()
    task.warm_up()
    task.run.seconds["compile"] += time.perf_counter() - began
    if ranks.first():
        log.begin(folder, task.run.history, task.row_unit)
        save_config(folder, config_text)
    signals.check()
    _Loop(task, folder, data, [Progress(), Log(folder), *callbacks]).go()
    return task.run


class _Loop:
    """The state that `fit` moves through: one instance a call."""

    def __init__(self, task: Task, folder: Path, data: dict, callbacks: Sequence[Callback]):
        self.task, self.folder, self.data, self.callbacks = task, folder, data, callbacks
        self.saved_step, self.saved_at = task.steps, time.monotonic()

    def go(self) -> None:
        task = self.task
        try:
            for callback in self.callbacks:
                callback.begin(task)
            with distributed.coordinated_stop():
                self._after_step()  # callbacks that a stopped run did not finish
                while not task.finished:
                    self._step()
                    self._after_step()
                if not task.run.finished:
                    task.run.finished = True
                    self._save()
        except signals.StopRequested:
            if hasattr(task, "optimizer"):  # otherwise nothing has changed since the checkpoint
                self._save()
            distributed.barrier()
            if not signals.ends_training_only():
                raise
            task.run.interrupted = True
        finally:
            for callback in self.callbacks:
                callback.end(task)

    def _step(self) -> None:
        task, began = self.task, time.perf_counter()
        new_stage = task.prepare()
        self.task.run.seconds["training"] += time.perf_counter() - began
        if not new_stage:
            distributed.stop_if_requested()
        for callback in self.callbacks:
            callback.before_step(task)
        began = time.perf_counter()
        with runtime.flushed_denormals():
            loss = task.step()
        task.run.seconds["training"] += time.perf_counter() - began
        if not math.isfinite(loss):
            raise self._not_finite("loss")

    def _after_step(self) -> None:
        """Record the epoch, save, and call the callbacks, each if it is due and not done yet. If one raises
        StopRequested, it is done again when the run goes on."""
        recorded = self.task.epoch_done
        if recorded:
            self._record()
        if self._checkpoint_due(recorded):
            self._save()
            if recorded:
                distributed.stop_if_requested()  # before the next stage begins
        for callback in self.callbacks:
            callback.after_step(self.task)

    def _record(self) -> None:
        """Add an epoch to the history."""
        task, run = self.task, self.task.run
        self._check_model()
        distributed.synchronize(task.model, task.optimizer)
        train_psnr = -10 * math.log10(max(task.train_error(), 1e-12))
        for callback in self.callbacks:
            callback.before_row(task, run.history, train_psnr)
        began = time.perf_counter()
        validation = task.validation_psnr() if ranks.first() else None
        run.seconds["evaluation"] += time.perf_counter() - began
        row: HistoryRow = {
            "epoch": len(run.history) + 1,
            "step": task.steps,
            "seconds": run.seconds["training"],
            "train_psnr": train_psnr,
            "validation_psnr": validation,
            "stage": task.stage,
        }
        run.history.append(cast(HistoryRow, row | task.row_figures()))
        task.end_epoch()
        for callback in self.callbacks:
            callback.after_row(task, run.history)

    def _checkpoint_due(self, recorded: bool) -> bool:
        if self.task.finished:  # the last checkpoint comes at the end, in `go`
            return False
        if self.task.checkpoint_interval is None:
            return recorded
        steps, seconds = self.task.checkpoint_interval
        due = self.task.steps % steps == 0 or time.monotonic() - self.saved_at >= seconds
        return due and self.saved_step < self.task.steps

    def _save(self) -> None:
        task, began = self.task, time.perf_counter()
        self._check_model()
        if ranks.first():
            own = {name: value for callback in self.callbacks for name, value in callback.state().items()}
            run = task.run
            save_checkpoint(
                self.folder,
                task.state()
                | {
                    "optimizer": task.optimizer.state_dict(),
                    "history": run.history,
                    "seconds": run.seconds,
                    "finished": run.finished,
                    "learned_from": self.data,
                }
                | own,
                task.options,
            )
        self.saved_step, self.saved_at = task.steps, time.monotonic()
        task.run.seconds["training"] += time.perf_counter() - began

    def _check_model(self) -> None:
        good = all(is_finite(values) for values in self.task.model.parameters()) and squares_are_finite(self.task.optimizer)
        if not good:
            raise self._not_finite("model")

    def _not_finite(self, what: str) -> InputError:
        kept = f"the checkpoint of step {self.saved_step} is kept" if self.saved_step else "there is no checkpoint yet"
        return InputError(f"the {what} is not finite in {self.task.position}: {self.task.remedy}; {kept}")
