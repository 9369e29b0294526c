"""A video of the model seen from all sides: colour beside depth."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import imageio.v2 as imageio
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from datasets.cameras import Cameras
from models.rendering import Rendering
from reporting.maps import depth_picture, normal_picture
from reporting.orbit import of_one_size, orbit
from reporting.pictures import to_bytes
from reporting.run_record import RadianceModel
from system import signals
from system.files import FULL, atomic
from system.progress import progress

SECONDS = 6.0  # of video, for any number of frames
MOST_FRAMES = 150  # 25 frames per second
LEAST_FRAMES = 24
RENDER_BUDGET = 60.0  # seconds of rendering that a slow model may spend on it
LONGEST_SIDE = 480  # pixels of one of the two panels
LEAST_SIDE = 120
_PROBES = 8  # views that the depth scale is taken from


class EncoderError(Exception):
    """The encoder failed, or its video does not play; the message is the first line of its error."""


def try_orbit(path: Path, *orbit, normals: bool = False) -> tuple[dict | None, str]:
    """(the result of `save_orbit`, ""). If the encoder fails: (None, the reason), and no file, because the report goes on without
    a video. Raises CannotWrite, and StopRequested if a signal came."""
    try:
        return save_orbit(path, *orbit, normals=normals), ""
    except EncoderError as problem:
        path.unlink(missing_ok=True)  # a video of an earlier report would show another model
        signals.check()  # the signal may have ended the encoder too
        return None, f"The orbit video could not be made ({problem})."


def save_orbit(
    path: Path,
    model: RadianceModel,
    cameras: Cameras,
    bounds: Tensor,
    background: str,
    seconds_per_view: float,
    render_path: Cameras | None = None,
    *,
    normals: bool = False,
) -> dict:
    """Renders an orbit around the scene, or a given path, and writes it as an H.264 mp4 that browsers play; atomically.

    cameras: the photographs', from which the orbit is estimated (`orbit.orbit`); bounds (2, 3) world; seconds_per_view: the
    model's time for a picture of their size; normals: a third panel shows them. The longer side of a panel is at most
    `LONGEST_SIDE` pixels, less for very slow models, and sides are even. Returns frames, width, height (of the whole picture) and
    the depths, in world units, at the ends of the fixed colour scale. Raises EncoderError, and CannotWrite.
    """
    width, height, frames = film_size(*of_one_size(cameras).size(0), seconds_per_view)
    if render_path is None:
        path_cameras = orbit(cameras, bounds, frames, width, height)
    else:
        frames = min(frames, len(render_path))
        path_cameras = render_path[[k * len(render_path) // frames for k in range(frames)]].scaled(width, height)
    antialias = frames * seconds_per_view <= RENDER_BUDGET  # small pictures then cost as much as large ones
    with torch.no_grad():
        near, far = depth_scale(model, path_cameras, background)
        with atomic(path) as temporary:
            with _writer(temporary, frames / SECONDS) as writer:
                for view in progress(range(frames), desc="video", unit="frame"):
                    picture = frame(
                        model.render(path_cameras, view, background, antialias=antialias, with_normal=normals),
                        background,
                        near,
                        far,
                    )
                    with _encoding():
                        writer.append_data(picture)
            with _encoding():
                first_frame(temporary)
    return {"frames": frames, "width": (3 if normals else 2) * width, "height": height, "depth_near": near, "depth_far": far}


@contextmanager
def _writer(path: Path, frames_per_second: float) -> Iterator[Any]:
    """imageio's writer of an H.264 file. It is closed after an exception too; its own `with` would leave the encoder running."""
    with _encoding():
        writer = imageio.get_writer(
            path,
            format="FFMPEG",
            mode="I",
            fps=frames_per_second,
            codec="libx264",
            pixelformat="yuv420p",
            macro_block_size=2,
            quality=None,
            ffmpeg_log_level="error",
            output_params=["-crf", "23", "-movflags", "+faststart"],
        )
    try:
        yield writer
    except BaseException:
        with suppress(OSError, RuntimeError):
            writer.close()
        raise
    with _encoding():
        writer.close()


@contextmanager
def _encoding() -> Iterator[None]:
    """An error of the encoder, also a missing one, becomes an EncoderError; a full disk does not."""
    try:
        yield
    except (OSError, RuntimeError, ImportError) as problem:
        if isinstance(problem, OSError) and problem.errno in FULL:
            raise
        raise EncoderError((str(problem).strip().splitlines() or [type(problem).__name__])[0][:200]) from problem


def first_frame(video: Path) -> Image.Image:
    """The first picture of a video. Raises OSError or RuntimeError if it does not play."""
    try:
        with imageio.get_reader(video, format="FFMPEG") as reader:
            return Image.fromarray(reader.get_data(0))  # pyright: ignore[reportAttributeAccessIssue]
    except (IndexError, ValueError) as problem:
        raise OSError(f"the video that was written does not play: {problem}") from problem


def frame(rendering: Rendering, background: str, near: float, far: float) -> np.ndarray:
    """Colour beside depth, and beside normals if the rendering has them, uint8 (H, 2 W or 3 W, 3)."""
    panels = [to_bytes(rendering.image), depth_picture(rendering, background, near, far)]
    if rendering.normal is not None:
        panels.append(normal_picture(rendering, background))
    return np.concatenate(panels, axis=1)


@torch.no_grad()
def depth_scale(model: RadianceModel, cameras: Cameras, background: str) -> tuple[float, float]:
    """Depths (near, far) that hold 98 % of the depths in some evenly spaced views; the scale of the whole video."""
    seen = []
    for probe in range(min(_PROBES, len(cameras))):
        view = probe * len(cameras) // min(_PROBES, len(cameras))
        rendering = model.render(cameras, view, background, antialias=False)
        assert rendering.depth is not None
        solid = (rendering.alpha > 0.5) & rendering.depth.isfinite()
        seen.append(rendering.depth[solid].detach().float().cpu().numpy())
    depths = np.concatenate(seen)
    if depths.size == 0:  # an empty model: any scale will do
        return 0.0, 1.0
    near, far = np.percentile(depths, [1, 99])
    return float(near), float(max(far, near + 1e-3 * max(abs(near), 1.0)))


def film_size(width: int, height: int, seconds_per_view: float) -> tuple[int, int, int]:
    """(width, height, frames): the size of a panel, same shape and both even, and as many frames as `RENDER_BUDGET` allows,
    between `LEAST_FRAMES` and `MOST_FRAMES`. If it does not allow the least number, the panels shrink, down to `LEAST_SIDE`.
    seconds_per_view is for a picture of the given size."""
    scale = min(1.0, LONGEST_SIDE / max(width, height))
    most = RENDER_BUDGET / LEAST_FRAMES / max(seconds_per_view, 1e-6)  # of a picture's area
    scale = max(min(scale, most**0.5), min(scale, LEAST_SIDE / max(width, height)))
    width, height = (max(2, round(side * scale / 2) * 2) for side in (width, height))
    frames = RENDER_BUDGET / max(seconds_per_view * scale**2, 1e-6)
    return (width, height, int(min(max(frames, LEAST_FRAMES), MOST_FRAMES)))
