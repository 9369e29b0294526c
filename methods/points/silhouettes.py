"""Which silhouettes the default recipe carves its start from: the masks if they agree with each other, else estimated ones.

Wrong masks are left out (`methods.points.mask_reliability`). The rest are trusted if they are the majority and agree: the
cells that all views see as foreground are not many fewer than those that nine tenths of the views see. Otherwise none is trusted:
`methods.points.silhouettes_from_photographs` looks for the object in the photographs, and the masks only say where to begin.
Pictures without masks count as masks that cover everything.
"""

import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from datasets.scene import Scene, Split
from methods.points.hull import hull_cells, mask_tensors
from methods.points.mask_reliability import agreed_cells, is_informative, without_wrong_masks
from methods.points.options import PointOptions
from methods.points.silhouettes_from_photographs import estimate_silhouettes
from settings.errors import InputError

_GRID = 100  # cells an axis of the scene's box
_AGREEING = 0.55  # cells that all views keep / that 90 % keep, at least; clean masks have .66 and .72, 4 % affine .50 and .47
_MOST = 0.9
_START = 0.5  # fraction of the views that must see a cell for the estimate to look there
_ESTIMATED_RATIO = 0.95  # of the hull of estimated outlines, some of which miss a thin part
_ESTIMATED_FRACTION = 0.9  # of the area that they cover belongs to the object: they lie a little outside it


@dataclass(frozen=True)
class Silhouettes:
    """Masks to carve from, and how far they can be trusted."""

    views: Split  # cameras and alpha of the training views; estimated ones are smaller and have no pictures
    ratio: float  # for `methods.points.hull.hull_cells`
    trusted: list[bool]  # of each training view: its mask is part of the loss
    object_fraction: float  # of a mean picture that the object covers
    note: str = ""  # for the user, if masks were not trusted
    seconds: float = 0.0  # that fitting took


def find_silhouettes(scene: Scene, options: PointOptions, generator: torch.Generator) -> Silhouettes:
    """The silhouettes to carve from: the masks with the user's ratio if there is one, else those that agree, else estimated ones.

    Raises InputError if neither masks nor photographs show an object.
    """
    views = scene.silhouettes
    if (ratio := options.filter_consistency_ratio) is not None:  # 1 says that every mask is right
        saying = is_informative(views)
        return Silhouettes(views, ratio, saying if ratio == 1 else [False] * len(views), _covered(views, saying))
    low, high = scene.bounds
    step = (high - low) / _GRID
    axes = [low[a] + step[a] * (torch.arange(_GRID) + 0.5) for a in range(3)]
    agreeing = without_wrong_masks(scene, axes)
    trusted = is_informative(agreeing)
    most = 2 * sum(trusted) > len(views)
    if most and len(agreed_cells(agreeing, axes, 1.0)) >= _AGREEING * max(len(agreed_cells(agreeing, axes, _MOST)), 1):
        return Silhouettes(agreeing, 1.0, trusted, _covered(agreeing, trusted), _about_views_left_out(views, trusted))
    return _estimated(scene, agreeing, axes, generator)


def _estimated(scene: Scene, agreeing: Split, axes: list[Tensor], generator: torch.Generator) -> Silhouettes:
    """Silhouettes from the photographs, searched for in cells that half of the views' masks see, wrong ones too."""
    began, views = time.perf_counter(), scene.silhouettes
    masked = any(is_informative(views))
    start = agreed_cells(views, axes, _START if masked else _MOST)
    if not len(start):
        start = hull_cells(agreeing, axes, mask_tensors(agreeing.masks), margin=0.0, ratio=_START)
    estimated = estimate_silhouettes(scene, start.cpu(), axes, generator)
    if not any(is_informative(estimated)) or not len(agreed_cells(estimated, axes, _ESTIMATED_RATIO)):
        found = "the masks contradict them or each other" if masked else "there are no masks"
        raise InputError(
            f"scene {scene.name}: the photographs alone show no object against the background, and {found}: fix the masks, or "
            "give the fraction of the views that must agree by --filter_consistency_ratio"
        )
    found = "The masks contradict the photographs or each other, so" if masked else "There are no masks:"
    fraction = _ESTIMATED_FRACTION * _covered(estimated, [True] * len(views))
    ratio = _ESTIMATED_RATIO if len(views) * (1 - _ESTIMATED_RATIO) >= 1 else 1.0  # one view of a few is not a small fraction
    return Silhouettes(
        estimated,
        ratio,
        [False] * len(views),
        fraction,
        f"{found} the object's outlines were estimated from the photographs.",
        time.perf_counter() - began,
    )


def _covered(views: Split, counted: list[bool]) -> float:
    """Fraction of a mean picture that the masks of the counted views cover; of all views if none counts."""
    fractions = [(mask > 127).mean() for mask in views.masks]
    return float(np.mean([fraction for fraction, counts in zip(fractions, counted, strict=True) if counts] or fractions))


def _about_views_left_out(views: Split, trusted: list[bool]) -> str:
    left_out = [name for name, good in zip(views.names, trusted, strict=True) if not good]
    if not left_out:
        return ""
    return f"The masks of {len(left_out)} training views say nothing or are wrong and were left out: the first is {left_out[0]}."
