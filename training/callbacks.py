"""Actions during the training: the progress bar, log.txt, pictures now and then, an early end of stages."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from models.checks import check_number
from system import ranks
from system.progress import progress
from training import log
from training.run import HistoryRow
from training.task import Callback, Task

LEAST_GAIN = 0.02  # dB of training PSNR from one window of epochs to the next, below which a stage has settled


class Progress(Callback):
    """A progress bar with the last row's figures."""

    def begin(self, task: Task) -> None:
        self.bar = progress(total=task.total, initial=task.done, unit=task.unit, desc="training", smoothing=0.02)

    def after_step(self, task: Task) -> None:
        self.bar.update(task.done - self.bar.n)

    def after_row(self, task: Task, history: Sequence[HistoryRow]) -> None:
        self.bar.total = task.total
        stage = f"{history[-1]['stage']}, " if len({row["stage"] for row in history}) > 1 else ""
        known = [row["validation_psnr"] for row in history if row["validation_psnr"] is not None]
        self.bar.set_postfix_str(stage + figures(history[-1]["train_psnr"], known[-1] if known else None, task), refresh=False)

    def end(self, task: Task) -> None:
        self.bar.close()


class Log(Callback):
    """A line in log.txt for each row of the history."""

    def __init__(self, folder: Path):
        self.folder = folder

    def after_row(self, task: Task, history: Sequence[HistoryRow]) -> None:
        if ranks.first():
            row = history[-1]
            log.add(
                self.folder,
                f"{task.row_name(row)}: {row['seconds']:.1f} s, {figures(row['train_psnr'], row['validation_psnr'], task)}",
            )


class EarlyStop(Callback):
    """Ends a stage whose mean training PSNR over the task's last `window` epochs exceeds that over the window before by less
    than `LEAST_GAIN`."""

    def before_row(self, task: Task, history: Sequence[HistoryRow], train_psnr: float) -> None:
        if settled([row["train_psnr"] for row in history if row["stage"] == task.stage] + [train_psnr], task.window):
            task.end_stage()


class Snapshots(Callback):
    """Calls save(model, step) after each step, on the first rank, outside the training time; once for each step, even if a
    run is stopped in it and goes on."""

    def __init__(self, save: Callable[[Any, int], None]):
        self.save, self.last = save, 0

    def after_step(self, task: Task) -> None:
        if ranks.first() and self.last < task.steps:
            self.save(task.model, task.steps)
            self.last = task.steps

    def state(self) -> dict:
        return {"watched": self.last}

    def restore(self, state: dict, task: Task) -> None:
        self.last = check_number("the last step shown", state.get("watched", task.steps), 0, task.steps, whole=True)


def settled(train_psnr: Sequence[float], window: int) -> bool:
    """Whether a stage may end early, by the training PSNR (dB) of its epochs so far; see `EarlyStop`. Never for window 0."""
    if not window or len(train_psnr) < 2 * window:
        return False
    before, last = train_psnr[-2 * window : -window], train_psnr[-window:]
    return (sum(last) - sum(before)) / window < LEAST_GAIN


def figures(train_psnr: float, validation_psnr: float | None, task: Task) -> str:
    """A row's figures in words."""
    validation = "-" if validation_psnr is None else f"{validation_psnr:.2f}"
    return f"train {train_psnr:.2f} dB, validation {validation} dB, {task.size_in_words()}"
