"""The training loop's view of a method: a Task takes single steps, and knows its own progress."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import nn

from datasets.scene import Scene
from settings.options import Options
from training.run import HistoryRow, Run


class Task(ABC):
    """One training, step by step. The loop (`training.loop.fit`) owns time, checkpoints, history and signals; a task owns its
    model, its optimizer and what a step is.

    An *epoch* is a part of the training after which a row is added to the history. The progress bar counts a task's
    `unit`; `total` may shrink if a stage ends early.
    """

    scene: Scene  # whose training views are learned from
    options: Options
    run: Run  # the loop fills in its history, seconds, finished and interrupted; `state` and `restore` are about the rest
    optimizer: torch.optim.Optimizer  # made in `start` and `restore`, or by the first `prepare`
    unit = "step"  # of `done` and `total`
    row_unit = "step"  # epoch | step: numbers the lines of log.txt
    remedy = "lower the step size"  # advice for the user if numbers overflow
    checkpoint_interval: tuple[int, float] | None = None  # steps and seconds between checkpoints; None: one after every epoch
    window = 0  # epochs over which `EarlyStop` judges the present stage; 0: it is never ended early

    @property
    def model(self) -> nn.Module:
        """The model in training."""
        return self.run.model

    @abstractmethod
    def start(self) -> None:
        """Make `run` and, unless `prepare` does, `optimizer`. Raises InputError if the scene does not suffice."""

    @abstractmethod
    def restore(self, state: dict) -> None:
        """The same from a checkpoint's entries. Raises ValueError and the like if it is not a checkpoint of this task."""

    @abstractmethod
    def state(self) -> dict:
        """The entries of a checkpoint that are not the loop's (`optimizer`, `history`, `seconds`, `finished`)."""

    def warm_up(self) -> None:
        """Compile every kernel that training and rendering need, on little data, without a lasting effect. Otherwise the first
        steps would compile them, and that time would count as training."""
        return None

    def prepare(self) -> bool:
        """Called before each step. Begin the next stage if it is time: change the model, make a new optimizer. Returns whether
        it did; no checkpoint is written between this change and the step after it."""
        return False

    @abstractmethod
    def step(self) -> float:
        """Take one step; returns its loss, or its squared error, which has to be finite."""

    @property
    @abstractmethod
    def done(self) -> int:
        """Units that are done."""

    @property
    @abstractmethod
    def total(self) -> int:
        """Units of the whole training."""

    @property
    def finished(self) -> bool:
        """Whether no step is left."""
        return self.done >= self.total

    @property
    @abstractmethod
    def steps(self) -> int:
        """Steps that are done."""

    @property
    @abstractmethod
    def stage(self) -> str:
        """The present stage's name, for the history."""

    @property
    @abstractmethod
    def position(self) -> str:
        """The progress of the training, in words: `epoch 3 (base colours)`, `step 120`."""

    @property
    @abstractmethod
    def epoch_done(self) -> bool:
        """Whether the last step ended an epoch that `end_epoch` has not been called for."""

    @abstractmethod
    def train_error(self) -> float:
        """Mean squared error of the epoch's steps, in [0, 1]^2."""

    @abstractmethod
    def validation_psnr(self) -> float | None:
        """PSNR of the validation views, dB; None if it is not due at this epoch. Only the first rank calls it."""

    def row_figures(self) -> dict[str, int]:
        """The method's own figures of an epoch, sizes such as `points` or `rays`."""
        return {}

    def row_name(self, row: HistoryRow) -> str:
        """The name of a row of the history in log.txt."""
        return f"{self.row_unit} {row['step' if self.row_unit == 'step' else 'epoch']}"

    def size_in_words(self) -> str:
        """The present size of the model or of a step: `9,208 points`."""
        return self.model.describe()  # pyright: ignore[reportCallIssue]  # every model that is reported has it

    def end_stage(self) -> None:
        """The present epoch is to be the last one of its stage. Called before `end_epoch`, and only if `window` is above 0.
        A task whose `window` is 0 need not define it."""
        raise NotImplementedError(f"{type(self).__name__} has no stages to end")

    @abstractmethod
    def end_epoch(self) -> None:
        """The epoch is recorded: go on to the next one."""


class Callback:
    """An action during the training. Each hook may raise StopRequested: the checkpoint is then written, and the
    hook is called again when the run goes on. Of several ranks, each one calls its callbacks."""

    def begin(self, task: Task) -> None:
        """Before the first step of this process."""

    def before_step(self, task: Task) -> None:
        """Before each step, after the signals were looked at."""

    def after_step(self, task: Task) -> None:
        """After each step, its record and its checkpoint; and once before the first one."""

    def before_row(self, task: Task, history: Sequence[HistoryRow], train_psnr: float) -> None:
        """An epoch has ended, and its row is not in the history yet."""

    def after_row(self, task: Task, history: Sequence[HistoryRow]) -> None:
        """The epoch's row is the history's last one; the task has gone on to the next epoch."""

    def end(self, task: Task) -> None:
        """After the last step of this process, also after an exception."""

    def state(self) -> dict:
        """The entries of a checkpoint that belong to this callback."""
        return {}

    def restore(self, state: dict, task: Task) -> None:
        """Go on from a whole checkpoint's state. Raises ValueError if it does not fit."""
