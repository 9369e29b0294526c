"""Damage to masks, on purpose: carving then sees it instead of the photographs' true outlines.

`corrupt` returns a split with damaged alpha channels and colours that match them. Every view and every type of damage has random
numbers of its own, drawn from the seed: a view's damage does not depend on the number of views. Lengths are in pixels of a
picture 400 px wide and grow with the picture.
"""

import io
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage

from datasets.scene import Pictures, Split, joined
from settings.masks import KINDS, REFERENCE_WIDTH

_GREY = 128  # colour of black pixels that a damaged mask makes part of the object
_SMOOTH = 6.0  # px: width of the bumps of a ragged outline
_HOLE, _BLOB = 12.0, 15.0  # px: mean radius


def corrupt(split: Split, steps: Sequence[tuple[str, float]], seed: int) -> Split:
    """The split with damaged masks; `steps` as `settings.masks.parse_corruption` returns them.

    An amount of 0 changes nothing. The split must have alpha channels.
    """
    steps = [(damage, amount) for damage, amount in steps if amount > 0]
    if not steps:
        return split
    images, alpha = [*split.images], [*split.masks]
    for index, (damage, amount) in enumerate(steps):
        draw = (seed, index, list(KINDS).index(damage))
        if damage in _OF_SOME_VIEWS:
            count = math.floor(amount * len(split) + 0.5)
            for view in np.random.default_rng(draw).permutation(len(split))[:count]:
                alpha[view] = np.full_like(alpha[view], _OF_SOME_VIEWS[damage])
                images[view] = _coloured(images[view], alpha[view])
            continue
        for view in range(len(split)):
            rng = np.random.default_rng([*draw, view])
            if damage == "affine":
                matrix, offset = random_affine(rng, amount, *alpha[view].shape[::-1])
                images[view], alpha[view] = (_warped(layer, matrix, offset) for layer in (images[view], alpha[view]))
            else:
                kept = _OUTLINES[damage](alpha[view], amount, rng)
                alpha[view] = np.where(kept, np.where(alpha[view] > 0, alpha[view], 255), 0)
                images[view] = _coloured(images[view], alpha[view])
    return replace(split, images=joined(images), alpha=joined(alpha))


def as_carved(images: Pictures, alpha: Pictures, split: Split) -> Split:
    """A split for carving alone; its colours show the same outline as its masks, because the original program carves by colour.

    Background pixels of the mask become black, and black pixels of its foreground become grey.
    """
    coloured = joined([_coloured(image, mask) for image, mask in zip(images, alpha, strict=True)])
    return replace(split, images=coloured, alpha=alpha)


def _coloured(images: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    images = np.where(alpha[..., None] > 0, images, 0)
    images[(alpha > 0) & ~images.any(-1)] = _GREY
    return images


def random_affine(rng: np.random.Generator, amount: float, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """One draw of the fork's random affine map: (matrix (2, 2), offset (2,)) from a pixel (row, column) of the result,
    counted from 0, to the position in the source that it shows.

    With x the amount, about the image's centre: rotation uniform in +-90 x degrees, shift in +-0.5 x of width and height,
    scale in [1 - 0.5 x, 1 + x], shears along both axes in +-90 x degrees. Pixels from outside the source become background.
    """
    turn, shear_x, shear_y = np.radians(rng.uniform(-90 * amount, 90 * amount, 3))
    shift = rng.uniform(-0.5 * amount, 0.5 * amount, 2) * (width, height)
    scale = rng.uniform(1 - 0.5 * amount, 1 + amount)
    # rotation after shear: columns and rows of a source point -> of the result, about the centre
    sheared = np.array(
        [
            [
                math.cos(turn - shear_y) / math.cos(shear_y),
                -math.cos(turn - shear_y) * math.tan(shear_x) / math.cos(shear_y) - math.sin(turn),
            ],
            [
                math.sin(turn - shear_y) / math.cos(shear_y),
                -math.sin(turn - shear_y) * math.tan(shear_x) / math.cos(shear_y) + math.cos(turn),
            ],
        ]
    )
    back = np.linalg.pinv(scale * sheared)  # a shear of 90 degrees has no inverse
    centre = np.array([width - 1, height - 1]) / 2
    offset = centre - back @ (centre + shift)
    return back[::-1, ::-1], offset[::-1]


def _warped(layer: np.ndarray, matrix: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """The layer (H, W) or (H, W, C) moved by a map from the result's pixels to its own, nearest neighbour, 0 outside."""
    if layer.ndim == 3:
        return np.stack([_warped(channel, matrix, offset) for channel in np.moveaxis(layer, 2, 0)], 2)
    shift: Any = offset  # one number for each axis; SciPy's type stubs allow only one number
    return ndimage.affine_transform(layer, matrix, shift, order=0, mode="constant", cval=0, prefilter=False)


def _signed_distance(alpha: np.ndarray) -> np.ndarray:
    """Distance to the outline in px: positive inside the object, negative outside; infinite without an outline."""
    inside = alpha > 0
    if inside.all() or not inside.any():
        return np.where(inside, np.inf, -np.inf)
    inner, outer = (np.asarray(ndimage.distance_transform_edt(part)) for part in (inside, ~inside))
    return inner - outer


def _pixels(alpha: np.ndarray, amount: float) -> float:
    return amount * alpha.shape[1] / REFERENCE_WIDTH


def _eroded(alpha, amount, rng):
    return _signed_distance(alpha) > _pixels(alpha, amount)


def _dilated(alpha, amount, rng):
    return _signed_distance(alpha) >= -_pixels(alpha, amount)


def _ragged(alpha, amount, rng):
    bumps = ndimage.gaussian_filter(rng.standard_normal(alpha.shape), _pixels(alpha, _SMOOTH), mode="wrap")
    return _signed_distance(alpha) + _pixels(alpha, amount) * bumps / max(bumps.std(), 1e-12) > 0


def _without_holes(alpha, amount, rng):
    return (alpha > 0) & ~_discs(alpha > 0, amount * (alpha > 0).sum(), _pixels(alpha, _HOLE), rng)


def _with_blobs(alpha, amount, rng):
    return (alpha > 0) | _discs(alpha == 0, amount * (alpha > 0).sum(), _pixels(alpha, _BLOB), rng)


def _discs(allowed: np.ndarray, area: float, radius: float, rng) -> np.ndarray:
    """`area` pixels of `allowed`, or all of them if they are fewer, in discs at random positions."""
    taken, rows, columns = np.zeros_like(allowed), *np.indices(allowed.shape)
    area = min(round(float(area)), int(allowed.sum()))
    while (missing := area - int(taken.sum())) > 0:
        row, column = rng.choice(np.argwhere(allowed & ~taken))
        distance = np.where(allowed & ~taken, (rows - row) ** 2 + (columns - column) ** 2, np.inf)
        size = (radius * rng.uniform(0.5, 1.5)) ** 2
        within = int((distance <= size).sum())
        nearest = np.argsort(distance, axis=None, kind="stable")[: min(within, missing)]
        taken.flat[nearest] = True
    return taken


def _without_a_side(alpha, amount, rng):
    """The object without the pixels that lie farthest in a random direction."""
    pixels = np.argwhere(alpha > 0)
    angle = rng.uniform(0, 2 * math.pi)
    order = np.argsort(pixels @ (math.sin(angle), math.cos(angle)), kind="stable")
    kept = np.zeros(alpha.shape, bool)
    kept[tuple(pixels[order[: len(pixels) - round(amount * len(pixels))]].T)] = True
    return kept


def _of_squares(alpha, amount, rng):
    """Whole squares of foreground, if at least half of their pixels are; the grid of squares has a random offset."""
    side = max(1, round(_pixels(alpha, amount)))
    first = rng.integers(0, side, 2)
    rows, columns = ((np.arange(size) + start) // side for size, start in zip(alpha.shape, first, strict=True))
    inside = (alpha > 127).astype(float)
    labels = rows[:, None] * (columns[-1] + 1) + columns[None, :]
    mean = np.bincount(labels.ravel(), inside.ravel()) / np.bincount(labels.ravel())
    return mean[labels] >= 0.5


def _jpeg(alpha, amount, rng):
    """The pixels of a JPEG of the mask that are not black: rings and blocks around the outline, and holes."""
    file = io.BytesIO()
    Image.fromarray(alpha).save(file, "JPEG", quality=max(1, round(100 - amount)))
    return np.asarray(Image.open(file)) > 0


_OF_SOME_VIEWS = {"missing": 255, "empty": 0}
_OUTLINES = {
    "erode": _eroded,
    "dilate": _dilated,
    "ragged": _ragged,
    "holes": _without_holes,
    "parts": _without_a_side,
    "blobs": _with_blobs,
    "coarse": _of_squares,
    "jpeg": _jpeg,
}
