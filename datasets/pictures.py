"""Image files -> uint8 arrays at the working size, several at a time, with few in memory at full size."""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets.camera_models import CameraModel, undistort
from datasets.image_files import check_memory, file_profile, opened, read_header
from datasets.pixels import decoded, turned
from datasets.scene import Pictures
from datasets.shrinking import shrink
from settings.errors import InputError
from system.progress import progress
from system.reading import reading

__all__ = [
    "PictureFile",
    "PicturesRead",
    "for_each",
    "read_header",
    "read_labels",
    "read_masks",
    "read_picture",
    "read_pictures",
    "shrink",
]

_AT_ONCE = 64_000_000  # pixels of files that are decoded at the same time
_DAMAGED = "cannot be decoded: the file is damaged"
_BRIGHT = np.uint32(0x00F0F0F0)  # one of these bits is set if a colour channel is 16 or more
_FEW = 0.02  # fraction of the transparent pixels that may be bright: rims whose alpha was rounded to 0


@dataclass(frozen=True)
class PictureFile:
    """A file to read, and the size to which its picture is shrunk."""

    path: Path
    width: int  # px, of the result
    height: int
    camera_model: CameraModel | None = None  # whose distortion is undone
    turn: int = 1  # the EXIF orientation to apply, 1 to 8; 1 = as stored
    cut: tuple[int, int] | None = None  # columns and rows, from the top left, that are kept of the result
    alpha: Path | None = None  # a file of the same size whose grey is the alpha channel, if `path` has none

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) of the kept part."""
        width, height = self.cut or (self.width, self.height)
        return height, width

    def size_before_turn(self, factor: int = 1) -> tuple[int, int]:
        """Width and height of the result, times `factor`, before the turn."""
        width, height = factor * self.width, factor * self.height
        return (height, width) if self.turn > 4 else (width, height)


@dataclass(frozen=True)
class PicturesRead:
    """The pictures of some files."""

    images: Pictures  # (H, W, 3) uint8 each, straight colours
    alpha: Pictures | None  # (H, W) uint8 each
    black_if_transparent: bool  # whether colours are black wherever alpha is 0 in the files


def read_pictures(files: Sequence[PictureFile], alpha: bool, threads: int = 0, title: str = "") -> PicturesRead:
    """Colours and, if `alpha`, alpha channels of some files.

    Every image is shrunk and, if its camera is distorted, undistorted while it is loaded (`read_picture`), so that memory holds
    only a few at their stored size. `threads`: 0 = up to 8; `title` is that of the progress bar. Raises InputError, naming the
    file, for an image that cannot be decoded.
    """
    sizes = [file.shape for file in files]
    images, masks = _empty(sizes, 3), _empty(sizes) if alpha else None
    black = [True] * len(files)

    def read(view: int) -> None:
        picture, black[view] = read_picture(files[view], "RGBA" if alpha else "RGB")
        picture = picture[: sizes[view][0], : sizes[view][1]]
        images[view][...] = picture[..., :3]
        if masks is not None:
            masks[view][...] = picture[..., 3]

    for_each(read, len(files), threads, title)
    return PicturesRead(images, masks, all(black))


def _empty(sizes: Sequence[tuple[int, int]], *channels: int) -> Pictures:
    """Pictures of these (height, width), to be filled."""
    try:
        if len(set(sizes)) == 1:
            return np.empty((len(sizes), *sizes[0], *channels), np.uint8)
        return [np.empty((*size, *channels), np.uint8) for size in sizes]
    except (MemoryError, ValueError):
        raise InputError(
            f"{len(sizes)} pictures of up to {max(sizes)[1]}x{max(sizes)[0]} px do not fit into the memory: give a "
            "smaller --img_s, or a larger --factor"
        ) from None


def read_picture(file: PictureFile, mode: str) -> tuple[np.ndarray, bool]:
    """(image (height, width, C) uint8 in Pillow's `mode` RGB or RGBA, shrunk by area; whether its transparent pixels are black).

    A JPEG is decoded at a half, a quarter or an eighth of its size if that is enough: its decoder averages blocks of pixels.
    Distortion is undone at twice the result's size, if the file has that much, so that bilinear sampling does not blur. Colours
    are averaged as stored, because the original program does so; but if transparent pixels are not black, colours are weighted
    by alpha, so that hidden ones do not count. Raises InputError, naming the file, for an image that cannot be decoded.
    """
    twice = 2 if file.camera_model is not None and file.camera_model.is_distorted else 1
    size = file.size_before_turn(twice)
    with ExitStack() as held:
        if file.alpha is None:
            picture, extent = _decode(held, file.path, mode, size)
        else:
            colours, extent = _decode(held, file.path, "RGB")
            picture = np.concatenate([colours, _decode(held, file.alpha, "RGB", labels=True)[0][..., :1]], -1)
        black = mode != "RGBA" or _black_if_transparent(picture)
        weighted = not black and (twice > 1 or picture.shape[1::-1] != size)
        if weighted:
            picture = _multiplied(picture)
        elif not black:
            picture = np.where(picture[..., 3:] > 0, picture, 0)
        if twice > 1 and (picture.shape[1] < size[0] or picture.shape[0] < size[1]):
            size = picture.shape[1], picture.shape[0]
        picture = turned(shrink(picture, *size, extent), file.turn)
        if twice > 1:
            assert file.camera_model is not None
            picture = shrink(undistort(picture, file.camera_model), file.width, file.height)
        return (_divided(picture) if weighted else picture), black


def _black_if_transparent(rgba: np.ndarray) -> bool:
    """Whether all but a few of the pixels with alpha 0 are black, or nearly.

    Lossy formats leave noise, and shrunk pictures have rims whose alpha was rounded to 0.
    """
    pixels = np.ascontiguousarray(rgba).view("<u4")[..., 0]  # alpha is the highest byte: one comparison a pixel is fast
    hidden = pixels < 1 << 24
    bright = pixels & _BRIGHT != 0
    return bool(np.count_nonzero(hidden & bright) <= _FEW * np.count_nonzero(hidden))


def _multiplied(rgba: np.ndarray) -> np.ndarray:
    """(colour * alpha, 255 * alpha) of a picture (H, W, 4), uint16."""
    wide = rgba.astype(np.uint16)
    wide[..., :3] *= wide[..., 3:]
    wide[..., 3] *= 255
    return wide


def _divided(product: np.ndarray) -> np.ndarray:
    """The inverse of `_multiplied`; black where alpha is 0."""
    product = product.astype(np.float32)
    alpha = product[..., 3:]
    colours = np.where(alpha > 0, 255 * product[..., :3] / np.maximum(alpha, 1), 0)
    return np.rint(np.concatenate([colours.clip(0, 255), alpha / 255], -1)).astype(np.uint8)


def read_masks(files: Sequence[PictureFile], threads: int = 0, title: str = "") -> Pictures:
    """Masks (H, W) uint8: 0 and 255 by `_foreground`, and values between them after shrinking.

    Memory, threads, undistortion and errors as in `read_pictures`.
    """
    masks = _empty([file.shape for file in files])

    def read(view: int) -> None:
        file = files[view]
        with ExitStack() as held:
            picture, _ = _decode(held, file.path, "RGBA", labels=True)
            mask = turned(np.uint8(255) * _foreground(picture)[..., None], file.turn)
            if file.camera_model is not None and file.camera_model.is_distorted:
                mask = undistort(mask, file.camera_model, smooth=False)
            masks[view][...] = shrink(mask, file.width, file.height)[: file.shape[0], : file.shape[1], 0]

    for_each(read, len(files), threads, title)
    return masks


def read_labels(file: PictureFile) -> np.ndarray:
    """The values (H, W, 3) uint8 of a file that holds no colours, at its stored size, turned; a colour profile is not applied."""
    with ExitStack() as held:
        return turned(_decode(held, file.path, "RGB", labels=True)[0], file.turn)


def _foreground(mask: np.ndarray) -> np.ndarray:
    """Whether each pixel (H, W) of a mask file (H, W, 4), RGBA, belongs to the object.

    If the alpha channel is not opaque everywhere, it decides: from 128. Otherwise the brightest channel decides: from 64, because
    label palettes have dark colours. A file without a pixel that bright holds labels, and 0 is background.
    """
    if mask[..., 3].min() < 255:
        return mask[..., 3] >= 128
    brightest = mask[..., :3].max(-1)
    return brightest >= 64 if brightest.max() >= 64 else brightest > 0


def for_each(read: Callable[[int], None], count: int, threads: int, title: str) -> None:
    """Call read(k) for every k below `count` in several threads, with a progress bar; the first error ends it and is raised.

    `threads`: 0 = up to 8. Large pictures wait for each other (`_BUDGET`).
    """
    if not count:  # no bar for a split without views
        return
    pool = ThreadPoolExecutor(threads or min(8, os.cpu_count() or 1))
    try:
        work = pool.map(read, range(count))
        for _ in progress(work, total=count, desc=title, unit="image", leave=False):
            pass
    finally:
        pool.shutdown(cancel_futures=True)


class _Budget:
    """The number of pixels that may be in memory at their stored size at a time; a picture with more of them is read alone."""

    def __init__(self, pixels: int) -> None:
        self.pixels = self.free = pixels
        self.changed = threading.Condition()

    @contextmanager
    def taken(self, pixels: int) -> Iterator[None]:
        pixels = min(pixels, self.pixels)
        with self.changed:
            self.changed.wait_for(lambda: self.free >= pixels)
            self.free -= pixels
        try:
            yield
        finally:
            with self.changed:
                self.free += pixels
                self.changed.notify_all()


_BUDGET = _Budget(_AT_ONCE)


def _decode(
    held: ExitStack, path: Path, mode: str, size: tuple[int, int] | None = None, labels: bool = False
) -> tuple[np.ndarray, tuple[float, float]]:
    """(pixels (H, W, C) uint8 as stored; the columns and rows of them that the picture covers). `held` holds their `_BUDGET`.

    With a size, a JPEG is decoded at the smallest fraction of its own size that is not below it. Its last blocks of pixels then
    reach beyond the picture: 3001 rows at an eighth are 376, of which the picture covers 375.125.
    """
    with opened(path) as file:
        whole = file.size
        with reading(path, _DAMAGED):
            profile = None if labels else file_profile(path, file)
            if size is not None and file.format in ("JPEG", "MPO"):
                file.draft(None, size)
            divisor = next(n for n in (1, 2, 4, 8) if file.size == (-(-whole[0] // n), -(-whole[1] // n)))
        held.enter_context(_BUDGET.taken(file.width * file.height))
        check_memory(path, file)
        with reading(path, _DAMAGED):
            pixels = decoded(path, file, mode, profile, labels)
        return pixels, pixels.shape[1::-1] if divisor == 1 else (whole[0] / divisor, whole[1] / divisor)
