"""Recipes: how the cloud starts, and the stages it goes through."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch

from datasets.scene import Scene, Split
from methods.points.options import PointOptions
from models.points import PointCloud


@dataclass(frozen=True)
class MaskFacts:
    """How the masks were used at the start; plain values, for checkpoints and reports."""

    trusted: list[bool] = field(default_factory=list)  # of each training view: its mask may join the loss; empty: all
    note: str = ""  # for the user, if the masks were not used as they are
    hull_iou: float | None = None  # of the start's cells and the undamaged masks' hull; None: the same, or not known


@dataclass(frozen=True)
class Start:
    """The start of a training."""

    cloud: PointCloud
    masks: MaskFacts = field(default_factory=MaskFacts)
    outlines: Split | None = None  # the carved masks: the training views' alpha, of any size
    seconds: float = 0.0  # of fitting, which count as training


# A change of the cloud between stages: (cloud, scene, options, generator) -> cloud.
Change = Callable[[PointCloud, Scene, PointOptions, torch.Generator], PointCloud]


@dataclass(frozen=True)
class Stage:
    """Some epochs with one set of rates; an epoch shows every training view once, in random order.

    Rates are Adam's step sizes at the stage's start and are multiplied by `decay` after every epoch. Every stage starts with
    fresh moments.
    """

    name: str
    epochs: int
    colour_rate: float  # base colours, and spherical harmonics if they have no rate of their own
    position_rate: float  # world units
    decay: float  # per epoch
    harmonics_rate: float | None = None
    opacity_rate: float = 0.0  # logits
    radius_rate: float = 0.0  # log radii
    use_sh: bool = True  # False: base colours only
    loss: str = "photometric"  # photometric | silhouette, see `methods.points.losses`
    ridge: float = 0.0  # weight of the mean squared coordinate in the silhouette loss
    change: Change | None = None  # applied to the cloud before the stage
    window: int = 0  # epochs over which progress is judged, see `training.callbacks.EarlyStop`; 0: the stage runs its full length


@dataclass(frozen=True)
class Recipe:
    """A name, the initial cloud and the stages."""

    name: str
    initial_cloud: Callable[[Scene, PointOptions, torch.Generator], Start]
    stages: tuple[Stage, ...] = field(default_factory=tuple)
    prepare_start: Callable[[PointCloud], PointCloud] = lambda cloud: cloud  # changes a cloud that is given to start from
    alpha_weight: float = 0.0  # of the mean squared error of the rendered alpha in the loss, in views whose mask is trusted
    alpha_penalty: float = 0.0  # weight of the mean alpha in the others

    @property
    def epochs(self) -> int:
        """Epochs of all stages."""
        return sum(stage.epochs for stage in self.stages)

    def scaled(self, epochs: int) -> "Recipe":
        """The same stages in `epochs` epochs in total, each with about its part; a stage's last rate stays what it was."""
        ends, total, stages, last = [], 0, [], 0
        for stage in self.stages:
            total += stage.epochs
            ends.append(round(total * epochs / self.epochs))
        for stage, end in zip(self.stages, ends, strict=True):
            length = end - last
            decay = stage.decay ** (stage.epochs / length) if length else stage.decay
            window = max(2, round(stage.window * epochs / self.epochs)) if stage.window else 0
            stages.append(replace(stage, epochs=length, decay=decay, window=window))
            last = end
        return replace(self, stages=tuple(stages))
