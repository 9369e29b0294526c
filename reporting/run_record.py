"""What a finished (or interrupted) run hands to the report."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from datasets.cameras import Cameras
from datasets.scene import Split
from models.rendering import Rendering
from reporting.artifacts import Artifact


class RadianceModel(Protocol):
    """What the report asks of a model, whatever its method."""

    def render(self, cameras: Cameras, view: int, background: str, with_depth: bool = True) -> Rendering:
        """One view; called under `torch.no_grad()`. Without depth the rendering's depth may be None."""
        ...

    def describe(self) -> str:
        """How large the model is, in a few words, as in "105,498 points"."""
        ...


@dataclass
class RunRecord:
    """Everything that a report is made of. Seconds are wall-clock."""

    folder: Path  # the run folder; made if missing
    scene_name: str
    options: dict[str, Any]  # flags as run; `method` and `recipe` among them are shown in the headline
    model: RadianceModel
    evaluation: Split  # the protocol's views, at the protocol's size
    protocol: str  # `paper`, `standard`, or a sentence if a data set lacks a protocol's views
    background: str  # black | white
    train_cameras: Cameras  # the orbit of the video is estimated from them
    bounds: Tensor  # (2, 3) world: the scene's box
    model_bytes: int  # size of the saved weights
    device: str
    threads: int
    seed: int
    training_seconds: float  # optimisation alone: without compilation, setup and evaluation
    render_path: Cameras | None = None  # what the video shows; None: an orbit
    setup_seconds: float = 0.0  # from the loaded scene to the model that training starts from
    compile_seconds: float = 0.0
    evaluation_seconds: float = 0.0  # validation during training
    # One dict an epoch: epoch, step, seconds, train_psnr, validation_psnr (or None), stage, and the size that `size_label` names.
    history: list[dict[str, Any]] = field(default_factory=list)
    size_label: tuple[str, str] | None = None  # key of a size in the history's rows, and its name below the plot's PSNR
    figures: dict[str, Any] = field(default_factory=dict)  # the method's own, by their keys in report.json's `figures`
    artifacts: list[Artifact] = field(default_factory=list)  # the method's own files
    stages: str = ""  # the schedule in words, as it was run
    interrupted: bool = False
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # what was done with the data, in sentences
