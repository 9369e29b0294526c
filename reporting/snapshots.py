"""Pictures and videos of a model that is still in training."""

import time
from collections.abc import Callable
from pathlib import Path

import torch

from datasets.scene import Scene, Split
from reporting.metrics import psnr
from reporting.pictures import save_comparison
from reporting.run_record import RadianceModel
from reporting.video import try_orbit
from system.progress import tell


def snapshots(
    scene: Scene, evaluation: Split, folder: Path, *, pictures: int, video: int
) -> Callable[[RadianceModel, int], None]:
    """A function of the model and the number of finished steps. Every `pictures` steps it saves comparisons of the evaluation's
    views in folder/testset_<step>, every `video` steps folder/path_<step>.mp4; 0 is never. If a video fails, a warning is
    printed. The function raises CannotWrite, and StopRequested if a signal came."""

    def save(model: RadianceModel, step: int) -> None:
        if pictures and step % pictures == 0:
            for view in range(len(evaluation)):
                _save_picture(model, evaluation, view, scene.background, folder / f"testset_{step:06d}")
        if video and step % video == 0:
            _save_video(model, scene, folder / f"path_{step:06d}.mp4")

    return save


@torch.no_grad()
def _save_picture(model: RadianceModel, split: Split, view: int, background: str, folder: Path) -> None:
    image, true = model.render(split.cameras, view, background).image.cpu(), split.picture(view, background)
    save_comparison(folder, view, split.names[view], psnr(image, true), image, true)


def _save_video(model: RadianceModel, scene: Scene, path: Path) -> None:
    began = time.perf_counter()
    with torch.no_grad():
        model.render(scene.train.cameras, 0, scene.background)
    seconds = time.perf_counter() - began
    orbit = model, scene.train.cameras, scene.bounds, scene.background, seconds, scene.render_path
    _, problem = try_orbit(path, *orbit)
    tell(problem and f"warning: {path.name}: {problem}")
