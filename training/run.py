"""A training run and its progress, for every method."""

from dataclasses import dataclass, field
from typing import Any, TypedDict

from torch import nn


class HistoryRow(TypedDict):
    """One epoch of a run's history. Methods add whole numbers of their own: `points` of the cloud, `rays` of a step."""

    epoch: int  # from 1
    step: int  # that are done
    seconds: float  # of training so far
    train_psnr: float  # dB, over the epoch's steps
    validation_psnr: float | None  # dB; None if it was not measured
    stage: str


SECONDS = ("training", "hull", "compile", "evaluation")  # parts of a run's time


@dataclass(kw_only=True)
class Run:
    """The parts that every method's run has."""

    model: nn.Module
    history: list[HistoryRow] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(SECONDS, 0.0))
    finished: bool = False
    interrupted: bool = False
    options: dict[str, Any] | None = None  # of the run that was loaded

    def weights(self) -> dict:
        """The entries of weights.pt, under the method's key. Every method's run defines it."""
        raise NotImplementedError

    def take(self, state: dict) -> None:
        """Take over a checkpoint's entries about the run."""
        self.history, self.seconds, self.options = state["history"], state["seconds"], state["options"]
        self.interrupted = not state["finished"]

    def stages_in_words(self) -> str:
        """The epochs of each stage as they were run, in one line; empty if nothing was trained."""
        lengths: dict[str, int] = {}
        for epoch in self.history:
            lengths[epoch["stage"]] = lengths.get(epoch["stage"], 0) + 1
        return ", ".join(f"{name} {length}" for name, length in lengths.items()) + (" epochs" if lengths else "")
