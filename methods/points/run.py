"""A cloud in training: its start, its progress, and its files."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from datasets.scene import Scene
from methods.points.mask_reliability import is_informative
from methods.points.options import PointOptions
from methods.points.recipe import MaskFacts, Recipe, Start
from models.checks import check_mapping, check_number
from models.points import PointCloud
from settings.errors import InputError
from system import ranks
from system.progress import tell
from system.reading import reading
from taichi_kernels import runtime
from training import distributed
from training.archive import read
from training.checkpoint import CHECKPOINT, model_file, read_run
from training.run import Run


@dataclass(kw_only=True)
class PointRun(Run):
    """A cloud in training."""

    model: PointCloud
    stage: int = 0  # of the next epoch
    epoch: int = 0  # of the next epoch, within the stage
    views_done: int = 0  # of the present epoch
    squared: float = 0.0  # sum of the epoch's mean squared errors so far
    masks: MaskFacts = field(default_factory=MaskFacts)

    @property
    def cloud(self) -> PointCloud:
        """The model."""
        return self.model

    def state(self) -> dict:
        """The entries of a checkpoint that are not the loop's."""
        return {
            "cloud": cloud_state(self.model),
            "stage": self.stage,
            "epoch": self.epoch,
            "masks": asdict(self.masks),
            "place": self.views_done,
            "squared": self.squared,
        }

    def weights(self) -> dict:
        return {"cloud": cloud_state(self.model)}

    @staticmethod
    def resumed(state: dict, recipe: Recipe, views: int) -> "PointRun":
        """The run that a checkpoint holds, of a recipe and as many training views. Raises ValueError if it is not one."""
        stage = check_number("its stage", state["stage"], 0, len(recipe.stages), whole=True)
        epochs = recipe.stages[stage].epochs if stage < len(recipe.stages) else 0
        return PointRun(
            history=state["history"],
            seconds=state["seconds"],
            finished=state["finished"],
            model=cloud_from(state["cloud"], runtime.torch_device()),
            masks=_mask_facts(state["masks"], views),
            stage=stage,
            epoch=check_number("its epoch", state["epoch"], 0, epochs, whole=True),
            views_done=check_number("its views of the epoch", state.get("place", 0), 0, views, whole=True),
            squared=check_number("its sum of squared errors", state.get("squared", 0.0), 0),
        )


def _mask_facts(saved: dict, views: int | None = None) -> MaskFacts:
    """The facts of the masks in a checkpoint. Raises ValueError if they do not fit so many views."""
    names = {"believed": "trusted", "remark": "note"}  # of earlier versions
    found = MaskFacts(**{names.get(str(name), str(name)): value for name, value in check_mapping("its masks", saved).items()})
    trusted = found.trusted
    if not isinstance(trusted, list) or not all(type(value) is bool for value in trusted):
        raise ValueError("it does not say which masks were trusted")
    if views is not None and len(trusted) not in (0, views):
        raise ValueError(f"it tells of {len(trusted)} masks, and there are {views} training views")
    if not isinstance(found.note, str):
        raise ValueError("its note on the masks is not text")
    if found.hull_iou is not None:
        check_number("its hull_iou", found.hull_iou, 0, 1)
    return found


def cloud_state(cloud: PointCloud) -> dict:
    """A cloud as plain tensors and numbers."""
    return {"tensors": {k: v.cpu() for k, v in cloud.tensors().items()}, "settings": cloud.settings()}


def cloud_from(state: dict, device) -> PointCloud:
    """The cloud of `cloud_state`, in the same order of points. Raises ValueError if it is not one."""
    check_mapping("its cloud", state, ("tensors", "settings"))
    return PointCloud.checked(state["tensors"], state["settings"]).to(device)


def load_weights(path: Path, device) -> PointCloud:
    """The cloud in a weights file or in a checkpoint. Raises InputError if there is none."""
    state = read(path)
    if not isinstance(state, dict) or "cloud" not in state:
        raise InputError(f"{path} holds no point cloud of this program: --method nerf shows radiance fields")
    with reading(path):
        return cloud_from(state["cloud"], device)


def start_run(
    scene: Scene, options: PointOptions, recipe: Recipe, start: PointCloud | None, on_start: Callable[[Start], None] | None
) -> PointRun:
    """A run at its beginning, from the recipe's cloud or from `start`. The first rank makes it, and calls `on_start`."""
    parts = None
    if ranks.first():
        began = time.perf_counter()
        first = (
            Start(recipe.prepare_start(start), _facts_without_hull(scene))
            if start
            else recipe.initial_cloud(scene, options, random_numbers(options.seed, 0))
        )
        run = PointRun(model=first.cloud, masks=first.masks)
        tell(first.masks.note)
        run.seconds["training"] = first.seconds
        run.seconds["hull"] = time.perf_counter() - began - first.seconds
        if on_start:
            on_start(first)
        if ranks.count() == 1:
            return run
        parts = {"cloud": cloud_state(run.model), "masks": asdict(run.masks), "seconds": run.seconds}
    parts = distributed.broadcast(parts)
    return PointRun(
        seconds=parts["seconds"], model=cloud_from(parts["cloud"], runtime.torch_device()), masks=MaskFacts(**parts["masks"])
    )


def load_run(folder: Path, start: PointCloud | None) -> PointRun:
    """The run in `folder` as its checkpoint left it, or just its weights; `start` replaces its cloud.

    Raises InputError if there is neither.
    """
    if start is not None:
        return PointRun(model=start)
    path = model_file(folder)
    if path.name != CHECKPOINT:
        return PointRun(model=load_weights(path, runtime.torch_device()))
    state = read_run(path, PointOptions)
    if "cloud" not in state:
        raise InputError(f"{folder} holds no point cloud, but a run of --method {state['options'].get('method')}: give that")
    with reading(path):
        run = PointRun(model=cloud_from(state["cloud"], runtime.torch_device()), masks=_mask_facts(state["masks"]))
    run.take(state)
    return run


def random_numbers(seed: int, purpose: int) -> torch.Generator:
    """A generator for one purpose, by the run's seed."""
    return torch.Generator().manual_seed(seed * 1_000_003 + purpose)


def _facts_without_hull(scene: Scene) -> MaskFacts:
    """For a run that starts from a cloud: the pictures' own masks are trusted if they are informative, others are not."""
    if scene.carving is not None:
        return MaskFacts([False] * len(scene.train))
    return MaskFacts(is_informative(scene.train))
