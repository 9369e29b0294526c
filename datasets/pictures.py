"""Image files -> uint8 arrays at the size that is worked at, many at a time and little in memory."""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets.image_files import check_memory, file_profile, opened, read_header
from datasets.lenses import Lens, undistort
from datasets.pixels import decoded, turned
from datasets.scene import Pictures
from datasets.shrinking import shrink
from settings.errors import InputError
from system.progress import progress
from system.reading import reading

__all__ = ["PictureFile", "PicturesRead", "for_each", "read_header", "read_masks", "read_picture", "read_pictures", "shrink"]

_AT_ONCE = 64_000_000  # pixels of files that are decoded at the same time
_DAMAGED = "cannot be decoded: the file is damaged"
_BRIGHT = np.uint32(0x00F0F0F0)  # the bits of a pixel of which a channel is 16 or more
_FEW = 0.02  # fraction of the transparent pixels that may be bright: rims whose alpha was rounded to 0


@dataclass(frozen=True)
class PictureFile:
    """A file to read, and the size that its picture is shrunk to."""

    path: Path
    width: int  # px, of the result
    height: int
    lens: Lens | None = None  # whose distortion is undone
    turn: int = 1  # EXIF's orientation that is applied, 1 to 8; 1 = as stored
    cut: tuple[int, int] | None = None  # columns and rows, from the top left, that are kept of the result

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of what is kept."""
        width, height = self.cut or (self.width, self.height)
        return height, width

    def stored(self, times: int = 1) -> tuple[int, int]:
        """Width and height of the result, so many times as large, before the turn."""
        width, height = times * self.width, times * self.height
        return (height, width) if self.turn > 4 else (width, height)


@dataclass(frozen=True)
class PicturesRead:
    """The pictures of some files."""

    images: Pictures  # (H, W, 3) uint8 each, straight colours
    alpha: Pictures | None  # (H, W) uint8 each
    black_if_transparent: bool  # whether colours are black wherever alpha is 0 in the files


def read_pictures(files: Sequence[PictureFile], alpha: bool, threads: int = 0, title: str = "") -> PicturesRead:
    """Colours and, if `alpha`, alpha channels of some files.

    Every image is shrunk, and undistorted if its lens is distorted, while it is loaded (`read_picture`), so that memory
    holds only a few at their stored size. `threads`: 0 = up to 8; `title` heads the progress bar. Raises InputError, naming
    the file, for an image that cannot be decoded.
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
    """One image (height, width, C) uint8, in Pillow's `mode` RGB or RGBA, shrunk by area; and whether it is black wherever it
    is transparent in the file.

    A JPEG is decoded at a half, a quarter or an eighth of its size where that is enough: its decoder averages blocks of
    pixels for that. A distorted lens is undone at twice the size that is asked for, if the file has that much, so that
    bilinear sampling does not blur. Colours are averaged as stored, because the original program does so; but if colours are
    stored where alpha is 0, they are averaged by alpha, so that what is hidden does not count. Raises InputError, naming the
    file, for an image that cannot be decoded.
    """
    twice = 2 if file.lens is not None and file.lens.is_distorted else 1
    size = file.stored(twice)
    with ExitStack() as held:
        picture, extent = _decode(held, file.path, mode, size)
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
            assert file.lens is not None
            picture = shrink(undistort(picture, file.lens), file.width, file.height)
        return (_divided(picture) if weighted else picture), black


def _black_if_transparent(rgba: np.ndarray) -> bool:
    """Whether all but a few of the pixels with alpha 0 are black, or nearly.

    Lossy formats leave noise, and pictures that were made smaller have rims whose alpha was rounded to 0.
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
    """Masks (H, W) uint8: 0 and 255 by `_foreground`, and between where they are shrunk.

    As `read_pictures` does, in memory, threads, lenses and what it raises.
    """
    masks = _empty([file.shape for file in files])

    def read(view: int) -> None:
        file = files[view]
        with ExitStack() as held:
            picture, _ = _decode(held, file.path, "RGBA", labels=True)
            mask = turned(np.uint8(255) * _foreground(picture)[..., None], file.turn)
            if file.lens is not None and file.lens.is_distorted:
                mask = undistort(mask, file.lens, smooth=False)
            masks[view][...] = shrink(mask, file.width, file.height)[: file.shape[0], : file.shape[1], 0]

    for_each(read, len(files), threads, title)
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


def for_each(read: Callable[[int], None], count: int, threads: int, title: str) -> None:
    """Call read(k) for every k below `count`, some at a time, behind a progress bar; the first error ends it.

    `threads`: 0 = up to 8. Pictures that are large together wait for each other (`_BUDGET`).
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
    """So many pixels may be in memory at their stored size at the same time; a picture that has more is read alone."""

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
    """Pixels (H, W, C) uint8 as stored, and the columns and rows of them that the picture covers; `held` holds their `_BUDGET`.

    With a size, a JPEG is decoded at the smallest fraction of its own that is not below it. Its last blocks of pixels
    then reach beyond the picture: 3001 rows at an eighth are 376, of which the picture covers 375.125.
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
