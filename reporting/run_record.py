"""The data that a finished (or interrupted) run passes to the report."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from datasets.cameras import Cameras
from datasets.scene import Split
from models.rendering import Rendering
from reporting.artifacts import Artifact


class RadianceModel(Protocol):
    """The functions that the report needs of a model of any method."""

    def render(
        self,
        cameras: Cameras,
        view: int,
        background: str,
        with_depth: bool = True,
        *,
        antialias: bool = True,
        with_normal: bool = False,
    ) -> Rendering:
        """One view; called under `torch.no_grad()`. Without depth the rendering's depth may be None; with_normal: it has normals
        if the model has any. antialias: several rays a
        pixel, if its pixels are larger than those that the model learned from."""
        ...

    def describe(self) -> str:
        """The size of the model in a few words, for example "105,498 points"."""
        ...


@dataclass
class RunRecord:
    """The content of a report. Seconds are wall-clock."""

    folder: Path  # the run folder; made if missing
    scene_name: str
    options: dict[str, Any]  # the run's flags; `method` and `recipe` are shown in the headline
    model: RadianceModel
    evaluation: Split  # the protocol's views, at the protocol's size
    protocol: str  # `paper`, `standard`, or a sentence if a data set lacks a protocol's views
    background: str  # black | white
    train_cameras: Cameras  # from which the video's orbit is estimated
    bounds: Tensor  # (2, 3) world: the scene's box
    model_bytes: int  # size of the saved weights
    device: str
    threads: int
    seed: int
    training_seconds: float  # optimisation alone: without compilation, setup and evaluation
    depth_maps: bool = False  # whether maps of the test views' depths are wanted
    normal_maps: bool = False  # the same of their normals
    proposals: RadianceModel | None = None  # whose normals are shown beside the model's
    antialias: bool = True  # see `RadianceModel.render`
    render_path: Cameras | None = None  # the path of the video; None: an orbit
    setup_seconds: float = 0.0  # from the loaded scene to the model that training starts from
    compile_seconds: float = 0.0
    evaluation_seconds: float = 0.0  # validation during training
    # One dict for each epoch: epoch, step, seconds, train_psnr, validation_psnr (or None), stage, and the size of `size_label`.
    history: list[dict[str, Any]] = field(default_factory=list)
    size_label: tuple[str, str] | None = None  # key of a size in the history's rows, and its name below the plot's PSNR
    figures: dict[str, Any] = field(default_factory=dict)  # the method's own, by their keys in report.json's `figures`
    artifacts: list[Artifact] = field(default_factory=list)  # the method's own files
    stages: str = ""  # the schedule that was run, in words
    interrupted: bool = False
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # sentences on how the data were used
