"""outlines.png: the photographs with a tint on what carving used as background."""

from pathlib import Path

import numpy as np
from PIL import Image

from datasets.scene import Scene, Split
from system.files import atomic

_VIEWS, _COLUMNS = 8, 4
_WIDTH = 240  # px of one picture, at most
_TINT = np.array([70, 30, 140], np.float32)
_STRENGTH = 0.7


def save_outlines(path: Path, scene: Scene, used: Split) -> None:
    """Writes eight training views, evenly spread, atomically. If given and used masks differ, each view is shown with both.

    used: the training views with the alpha that carving used, of any size. Raises CannotWrite.
    """
    views = np.unique(np.linspace(0, len(scene.train) - 1, _VIEWS).round().astype(int))
    given = scene.silhouettes.alpha
    sources = [used.masks] if given is None or given is used.alpha else [given, used.masks]
    cells = [np.concatenate([_tinted(scene.train.images[view], masks[view]) for masks in sources], 1) for view in views]
    tallest, widest = (max(cell.shape[side] for cell in cells) for side in (0, 1))
    cells = [np.pad(cell, ((0, tallest - cell.shape[0]), (0, widest - cell.shape[1]), (0, 0))) for cell in cells]
    cells += [np.zeros_like(cells[0])] * (-len(cells) % _COLUMNS)
    rows = [np.concatenate(cells[start : start + _COLUMNS], 1) for start in range(0, len(cells), _COLUMNS)]
    with atomic(path) as temporary:
        Image.fromarray(np.concatenate(rows)).save(temporary)


def _tinted(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    width = min(image.shape[1], _WIDTH)
    size = (width, max(1, round(image.shape[0] * width / image.shape[1])))
    picture = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX), np.float32)
    outside = 1 - np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.BOX), np.float32)[..., None] / 255
    return np.rint(picture + _STRENGTH * outside * (_TINT - picture)).astype(np.uint8)
