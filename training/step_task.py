"""A training that is counted in steps, is recorded in equal parts, and draws all random numbers from one generator."""

from dataclasses import dataclass

import torch

from datasets.scene import Scene, Split
from models.checks import check_number
from settings.options import Options
from training.run import Run
from training.run_state import check_optimizer
from training.task import Task
from training.validation import mean_psnr

_EPOCHS = 20  # parts of a run, for history and progress


@dataclass(kw_only=True)
class StepRun(Run):
    """A run that is counted in steps."""

    step: int = 0  # that are done


class StepTask(Task):
    """The common part of trainings that are counted in steps.

    A subclass makes `run` and `optimizer` in `start` and `restore`, calls `restore_steps` in `restore`, and `count` at the end of
    each step.
    """

    run: StepRun

    def __init__(self, scene: Scene, validation: Split, options: Options, steps: int):
        self.scene, self.validation, self.options, self.length = scene, validation, options, steps
        self.generator = torch.Generator().manual_seed(options.seed)
        self.epoch_squares: list[float] = []  # mean squared errors of the epoch's steps

    def count(self, squared: float) -> None:
        """A step is done, with this mean squared error."""
        self.epoch_squares.append(squared)
        self.run.step += 1

    def restore_steps(self, state: dict) -> None:
        """Go on from a checkpoint: history, step, optimizer and generator. Raises ValueError if one does not fit."""
        self.run.history, self.run.seconds, self.run.finished = state["history"], state["seconds"], state["finished"]
        self.run.step = check_number("its step", state["step"], 0, self.length, whole=True)
        if not isinstance(state["squares"], list):
            raise ValueError("its squared errors are not a list")
        self.epoch_squares = [check_number("its squared errors", value, 0) for value in state["squares"]]
        try:
            check_optimizer(state["optimizer"], self.optimizer)
        except ValueError as problem:
            raise ValueError(f"{problem}: start anew by --no_reload, from its model by --ft_path") from problem
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])

    def state(self) -> dict:
        return {"step": self.run.step, "squares": self.epoch_squares, "generator": self.generator.get_state()}

    @property
    def done(self) -> int:
        return self.run.step

    @property
    def total(self) -> int:
        return self.length

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

    @property
    def validation_due(self) -> bool:
        """Every second epoch, and the last one."""
        return len(self.run.history) % 2 == 1 or self.finished

    def validation_psnr(self) -> float | None:
        due = self.validation_due and len(self.validation)
        return mean_psnr(self.model, self.validation, self.scene.background) if due else None

    def train_error(self) -> float:
        return sum(self.epoch_squares) / len(self.epoch_squares)

    def end_epoch(self) -> None:
        self.epoch_squares = []
