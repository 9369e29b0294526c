"""Image files -> uint8 arrays at the size that is worked at, many at a time and little in memory."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError
from scipy import sparse
from tqdm import tqdm

from settings.errors import InputError

_MODES = ("RGB", "RGBA", "L", "LA", "P", "PA", "1")  # what Pillow turns into 8-bit RGB(A) without loss


def read_header(path: Path) -> tuple[int, int, bool]:
    """Width, height (px) and whether there is an alpha channel, undecoded; InputError if unreadable."""
    with _opened(path) as file:
        if file.mode not in _MODES:
            raise InputError(f"{path} has pixels of type {file.mode}: save it as 8-bit RGBA")
        return file.width, file.height, _has_alpha(file)


def read_pictures(paths: Sequence[Path], width: int, height: int, alpha: bool, threads: int = 0,
                  title: str = "") -> tuple[np.ndarray, np.ndarray | None]:
    """Colours (V, height, width, 3) and, if `alpha`, alpha (V, height, width), uint8, of images of one size.

    Every image is shrunk to width x height px by `shrink` while it is loaded, so that memory holds only a
    few at their stored size. `threads`: 0 = up to 8; `title` heads the progress bar. Raises InputError,
    naming the file, for an image that cannot be decoded.
    """
    images = np.empty((len(paths), height, width, 3), np.uint8)
    masks = np.empty((len(paths), height, width), np.uint8) if alpha else None

    def read(view: int) -> None:
        picture = shrink(_decode(paths[view], "RGBA" if alpha else "RGB"), width, height)
        images[view] = picture[..., :3]
        if alpha:
            masks[view] = picture[..., 3]

    _for_each_view(read, len(paths), threads, title)
    return images, masks


def read_masks(paths: Sequence[Path], width: int, height: int, threads: int = 0, title: str = "") -> np.ndarray:
    """Masks (V, height, width) uint8 from pictures of one size: 0 and 255 by `_foreground`, and between where they are shrunk.

    As `read_pictures` does, in memory, threads and what it raises.
    """
    masks = np.empty((len(paths), height, width), np.uint8)

    def read(view: int) -> None:
        mask = np.uint8(255) * _foreground(_decode(paths[view], "RGBA"))
        masks[view] = shrink(mask[..., None], width, height)[..., 0]

    _for_each_view(read, len(paths), threads, title)
    return masks


def _foreground(mask: np.ndarray) -> np.ndarray:
    """Which pixels (H, W) of a mask file, as RGBA, are the object's.

    Where a cut-out has an alpha channel it decides, at a half. Otherwise the brightest channel does, at a quarter, which
    holds for the dark colours of label palettes; a file with no brighter pixel holds labels, of which 0 is background.
    """
    if mask[..., 3].min() < 255:
        return mask[..., 3] >= 128
    brightest = mask[..., :3].max(-1)
    return brightest >= 64 if brightest.max() >= 64 else brightest > 0


def _for_each_view(read, views: int, threads: int, title: str) -> None:
    """Call read(view) for every view, some at a time, behind a progress bar; the first error ends it."""
    pool = ThreadPoolExecutor(threads or min(8, os.cpu_count() or 1))
    try:
        for _ in tqdm(pool.map(read, range(views)), total=views, desc=title, unit="image", disable=None, leave=False):
            pass
    finally:
        pool.shutdown(cancel_futures=True)


def shrink(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """An image (H, W, C) uint8 at a smaller size by exact area averaging of each channel, rounded to uint8.

    Output pixel (r, c) is the mean of the input over the rectangle that it covers, with partly covered
    pixels in proportion: what OpenCV calls INTER_AREA. Colours are averaged as stored, not weighted by
    alpha, because the original program does so. Pillow's resize would weight them.
    """
    rows, columns, channels = image.shape
    if (columns, rows) == (width, height):
        return image
    down = _area_weights(rows, height) @ image.reshape(rows, columns * channels).astype(np.float32)
    down = down.reshape(height, columns, channels).swapaxes(0, 1).reshape(columns, height * channels)
    down = _area_weights(columns, width) @ down
    return np.rint(down.reshape(width, height, channels).swapaxes(0, 1)).astype(np.uint8)


@lru_cache(maxsize=8)
def _area_weights(size: int, smaller: int) -> sparse.csr_matrix:
    """(smaller, size) matrix: each input pixel's share in each output pixel along one axis; rows sum to 1."""
    step = size / smaller
    starts = np.arange(smaller) * step
    first = np.floor(starts + 1e-9).astype(int)
    cells = first[:, None] + np.arange(int(np.ceil(step)) + 1)  # (smaller, touched)
    covered = np.minimum(cells + 1, starts[:, None] + step) - np.maximum(cells, starts[:, None])
    weights = np.where((covered > 1e-9) & (cells < size), covered / step, 0)
    rows = np.broadcast_to(np.arange(smaller)[:, None], cells.shape)
    used = weights > 0
    return sparse.csr_matrix((weights[used].astype(np.float32), (rows[used], cells[used])), (smaller, size))


def _opened(path: Path) -> Image.Image:
    try:
        return Image.open(path)
    except FileNotFoundError:
        raise InputError(f"the image {path} is missing") from None
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError) as problem:
        raise InputError(f"{path} cannot be decoded as an image ({type(problem).__name__})") from None


def _has_alpha(file: Image.Image) -> bool:
    return file.mode in ("RGBA", "LA", "PA") or "transparency" in file.info


def _decode(path: Path, mode: str) -> np.ndarray:
    with _opened(path) as file:
        try:
            return np.asarray(file.convert(mode))
        except (OSError, SyntaxError, ValueError) as problem:
            raise InputError(f"{path} cannot be decoded: the file is damaged ({problem})") from None
