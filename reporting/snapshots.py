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
    """A function of the model and the number of steps done that saves, each so many steps (0: never), comparisons of the views,
    folder/testset_<step>, and a video, folder/path_<step>.mp4."""

    def look(model: RadianceModel, step: int) -> None:
        if pictures and step % pictures == 0:
            for view in range(len(evaluation)):
                _picture(model, evaluation, view, scene.background, folder / f"testset_{step:06d}")
        if video and step % video == 0:
            began = time.perf_counter()
            with torch.no_grad():
                model.render(scene.train.cameras, 0, scene.background)
            seconds = time.perf_counter() - began
            path = folder / f"path_{step:06d}.mp4"
            orbit = model, scene.train.cameras, scene.bounds, scene.background, seconds, scene.render_path
            _, remark = try_orbit(path, *orbit)
            tell(remark and f"warning: {path.name}: {remark}")

    return look


@torch.no_grad()
def _picture(model: RadianceModel, split: Split, view: int, background: str, folder: Path) -> None:
    image, true = model.render(split.cameras, view, background).image.cpu(), split.picture(view, background)
    save_comparison(folder, view, split.names[view], psnr(image, true), image, true)
