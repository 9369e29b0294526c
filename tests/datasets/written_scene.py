"""Tiny scenes in NeRF-synthetic format, written to disk for the loader's tests."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import datasets
from methods import all_methods
from methods.points.carving import with_carving_masks
from methods.points.options import PointOptions
from settings.errors import InputError

ANGLE = 2 * math.atan(0.5)  # focal length = the image's width


def pose(turn: float = 0.0, distance: float = 4.0) -> list:
    """Camera-to-world of a camera on a circle about the z axis that looks at the origin, z up."""
    c, s = math.cos(turn), math.sin(turn)
    return [[-s, 0, c, distance * c], [c, 0, s, distance * s], [0, 1, 0, 0], [0, 0, 0, 1]]


def picture(width: int, height: int, shade: int = 0, mode: str = "RGBA") -> Image.Image:
    """Red counts columns, green rows, blue is `shade`; the left half is opaque, the right one transparent."""
    rows, columns = np.mgrid[:height, :width]
    alpha = np.where(columns < width / 2, 255, 0)
    pixels = np.stack([columns, rows, rows * 0 + shade, alpha], -1)
    return Image.fromarray(pixels.astype(np.uint8)).convert(mode)


def write_scene(folder: Path, counts=None, size=(8, 6), mode="RGBA", extension=".png", **top) -> Path:
    """A scene with so many views a split; `top` is added to the head of every transforms file."""
    for split, count in (counts or {"train": 3, "val": 2, "test": 2}).items():
        (folder / split).mkdir(parents=True)
        frames = []
        for k in range(count):
            picture(*size, shade=k, mode=mode).save(folder / split / f"r_{k}{extension}")
            frames.append({"file_path": f"./{split}/r_{k}", "transform_matrix": pose(k)})
        save(folder, split, {"camera_angle_x": ANGLE, **top, "frames": frames})
    return folder


def write_multiscale(folder: Path, **changes) -> Path:
    """A multi-scale scene: four views a split at 16 x 12 and 8 x 6 px, focal lengths 16 and 8 px. changes: to the train lists."""
    splits = {}
    for split in ("train", "val", "test"):
        (folder / f"images_{split}").mkdir(parents=True)
        lists = {key: [] for key in ("file_path", "cam2world", "width", "height", "focal", "label", "near", "far", "lossmult")}
        for view in range(4):
            for label, scale in enumerate((1, 2)):
                file = f"images_{split}/{view:03d}_d{label}.png"
                picture(16 // scale, 12 // scale, shade=view).save(folder / file)
                values = (file, pose(view), 16 // scale, 12 // scale, 16 / scale, label, 2.0, 6.0, 4.0**label)
                for key, value in zip(lists, values, strict=True):
                    lists[key].append(value)
        splits[split] = lists
    splits["train"] |= changes
    (folder / "metadata.json").write_text(json.dumps(splits))
    return folder


def save(folder: Path, split: str, content) -> None:
    (folder / f"transforms_{split}.json").write_text(json.dumps(content))


def read(folder: Path, split: str = "train") -> dict:
    return json.loads((folder / f"transforms_{split}.json").read_text())


def load(folder: Path, **settings):
    """The scene as a run of --method points, or of the `method` in the settings, begins with it."""
    method = all_methods()[settings.get("method", "points")]
    options = method.options(datadir=str(folder), **{"protocol": "paper"} | settings)
    scene = datasets.load(options)
    return with_carving_masks(scene, options) if isinstance(options, PointOptions) else scene


def refusal(folder: Path, **settings) -> str:
    with pytest.raises(InputError) as caught:
        load(folder, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)
