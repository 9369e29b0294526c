"""Image files -> uint8 arrays at the size that is worked at, many at a time and little in memory."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError
from scipy import sparse

from datasets.lenses import Lens, undistort
from datasets.scene import Pictures
from settings.errors import InputError
from settings.progress import progress

_AT_ONCE = 64_000_000  # pixels of files that are decoded at the same time
_BLOCK = 4_000_000  # values that are averaged at the same time
_NEARLY_BLACK, _FEW = 16, 1e-3  # of 255; share of the transparent pixels that may be brighter
_MODES = ("RGB", "RGBA", "L", "LA", "P", "PA", "1")  # what Pillow turns into 8-bit RGB(A) without loss


@dataclass(frozen=True)
class PictureFile:
    """A file to read, and the size that its picture is shrunk to."""

    path: Path
    width: int  # px, of the result
    height: int
    lens: Lens | None = None  # whose distortion is undone
    cut: tuple[int, int] | None = None  # columns and rows, from the top left, that are kept of the result

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of what is kept."""
        return (self.cut or (self.width, self.height))[::-1]


@dataclass(frozen=True)
class PicturesRead:
    """The pictures of some files."""

    images: Pictures  # (H, W, 3) uint8 each, straight colours
    alpha: Pictures | None  # (H, W) uint8 each
    black_if_transparent: bool  # whether colours are black wherever alpha is 0 in the files


def read_header(path: Path) -> tuple[int, int, bool]:
    """Width, height (px) and whether there is an alpha channel, undecoded; InputError if unreadable."""
    with _opened(path) as file:
        if file.mode not in _MODES:
            raise InputError(f"{path} has pixels of type {file.mode}: save it as 8-bit RGBA")
        return file.width, file.height, _has_alpha(file)


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
        if alpha:
            masks[view][...] = picture[..., 3]

    for_each(read, [file.path for file in files], threads, title)
    return PicturesRead(images, masks, all(black))


def _empty(sizes: Sequence[tuple[int, int]], *channels: int) -> Pictures:
    """Pictures of these (height, width), to be filled."""
    if len(set(sizes)) == 1:
        return np.empty((len(sizes), *sizes[0], *channels), np.uint8)
    return [np.empty((*size, *channels), np.uint8) for size in sizes]


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
    picture, extent = _decode(file.path, mode, twice * file.width, twice * file.height)
    black = mode != "RGBA" or _black_if_transparent(picture)
    picture = picture if black else _multiplied(picture)
    if twice > 1:
        size = twice * file.width, twice * file.height
        if picture.shape[1] < size[0] or picture.shape[0] < size[1]:
            size = picture.shape[1::-1]
        picture, extent = undistort(shrink(picture, *size, extent), file.lens), None
    picture = shrink(picture, file.width, file.height, extent)
    return (picture if black else _divided(picture)), black


def _black_if_transparent(rgba: np.ndarray) -> bool:
    """Whether all but a few of the pixels with alpha 0 are black, or nearly: lossy formats leave noise."""
    hidden = rgba[..., 3] == 0
    count = int(hidden.sum())
    return count == 0 or int((rgba[..., :3][hidden].max(-1) > _NEARLY_BLACK).sum()) <= _FEW * count


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
        mask = np.uint8(255) * _foreground(_decode(file.path, "RGBA")[0])[..., None]
        if file.lens is not None and file.lens.is_distorted:
            mask = undistort(mask, file.lens)
        masks[view][...] = shrink(mask, file.width, file.height)[: file.shape[0], : file.shape[1], 0]

    for_each(read, [file.path for file in files], threads, title)
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


def for_each(read, paths: Sequence[Path], threads: int, title: str) -> None:
    """Call read(k) for every file, some at a time, behind a progress bar; the first error ends it.

    `threads`: 0 = up to 8, and fewer for images so large that eight of them would fill the memory.
    """
    width, height = read_header(paths[0])[:2] if paths else (1, 1)
    threads = min(threads or min(8, os.cpu_count() or 1), max(1, _AT_ONCE // (width * height)))
    pool = ThreadPoolExecutor(threads)
    try:
        work = pool.map(read, range(len(paths)))
        for _ in progress(work, total=len(paths), desc=title, unit="image", leave=False):
            pass
    finally:
        pool.shutdown(cancel_futures=True)


def shrink(image: np.ndarray, width: int, height: int, extent: tuple[float, float] | None = None) -> np.ndarray:
    """An image (H, W, C) at a smaller size by exact area averaging of each channel, rounded to its type.

    Output pixel (r, c) is the mean of the input over the rectangle that it covers, with partly covered
    pixels in proportion: what OpenCV calls INTER_AREA. `extent` is how many columns and rows of the input, from the top
    left, the picture covers; all of them if it is None. Pillow's resize would weight colours by alpha.
    """
    rows, columns, channels = image.shape
    across, down = extent or (columns, rows)
    if (columns, rows) == (width, height) == (across, down):
        return image
    by_rows, flat = _area_weights(rows, height, down), image.reshape(rows, columns * channels)
    narrow = np.empty((height, columns * channels), np.float32)
    for block in np.array_split(np.arange(height), -(-flat.size // _BLOCK)):  # not all of it in float32 at once
        if len(block):
            weights = by_rows[block[0] : block[-1] + 1]
            first, last = weights.indices.min(), weights.indices.max() + 1
            narrow[block] = weights[:, first:last] @ flat[first:last].astype(np.float32)
    narrow = narrow.reshape(height, columns, channels).swapaxes(0, 1).reshape(columns, height * channels)
    small = _area_weights(columns, width, across) @ narrow
    return np.rint(small.reshape(width, height, channels).swapaxes(0, 1)).astype(image.dtype)


@lru_cache(maxsize=8)
def _area_weights(size: int, smaller: int, extent: float) -> sparse.csr_matrix:
    """(smaller, size) matrix: each input pixel's share in each output pixel along one axis; rows sum to 1.

    The output covers the first `extent` of the input's pixels.
    """
    step = extent / smaller
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


def _decode(path: Path, mode: str, width: int = 0, height: int = 0) -> tuple[np.ndarray, tuple[float, float]]:
    """Pixels (H, W, C) uint8, and the columns and rows of them that the picture covers.

    With a size, a JPEG is decoded at the smallest fraction of its own that is not below it. Its last blocks of pixels
    then reach beyond the picture: 3001 rows at an eighth are 376, of which the picture covers 375.125.
    """
    with _opened(path) as file:
        try:
            whole = file.size
            if width and file.format in ("JPEG", "MPO"):
                file.draft(None, (width, height))
            divisor = next(n for n in (1, 2, 4, 8) if file.size == (-(-whole[0] // n), -(-whole[1] // n)))
            return np.asarray(file.convert(mode)), (whole[0] / divisor, whole[1] / divisor)
        except (OSError, SyntaxError, ValueError) as problem:
            raise InputError(f"{path} cannot be decoded: the file is damaged ({problem})") from None
