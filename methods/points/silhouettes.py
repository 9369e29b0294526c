"""Which outlines the default recipe carves its start from: the masks, where they agree with each other, else estimated ones.

Wrong masks are left out (`methods.points.mask_reliability`). The rest are believed where they are most and agree: where the cells
that all views see as foreground are not many fewer than those that nine tenths of the views do. Otherwise no mask is believed:
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
from methods.points.mask_reliability import say_something, seen_by, without_wrong
from methods.points.options import PointOptions
from methods.points.silhouettes_from_photographs import estimate_outlines
from settings.errors import InputError

_GRID = 100  # cells an axis of the scene's box
_AGREEING = 0.55  # cells that all views keep, as a share of those that 90 % keep: clean masks .66 and .72, 4 % affine .50 and .47
_MOST = 0.9
_START = 0.5  # share of the views that must see a cell for the estimate to look there
_ESTIMATED_RATIO = 0.95  # of the hull of estimated outlines, some of which miss a thin part
_ESTIMATED_SHARE = 0.9  # of what they cover is the object's: they lie a little outside it


@dataclass(frozen=True)
class Outlines:
    """Masks to carve from, and what they are worth."""

    views: Split  # cameras and alpha of the training views; estimated ones are smaller and have no pictures
    ratio: float  # for `methods.points.hull.hull_cells`
    believed: list[bool]  # of each training view: its mask may join the loss
    object_share: float  # of a mean picture: what the object covers
    remark: str = ""  # for the user, where masks were not believed
    seconds: float = 0.0  # that fitting took


def find_outlines(scene: Scene, options: PointOptions, generator: torch.Generator) -> Outlines:
    """The outlines to carve from: the masks with the user's ratio where there is one, else those that agree, else estimated ones.

    Raises InputError where neither masks nor photographs show an object.
    """
    views = scene.silhouettes
    if (ratio := options.filter_consistency_ratio) is not None:  # 1 says that every mask is right
        saying = say_something(views)
        return Outlines(views, ratio, saying if ratio == 1 else [False] * len(views), _covered(views, saying))
    low, high = scene.bounds
    step = (high - low) / _GRID
    axes = [low[a] + step[a] * (torch.arange(_GRID) + 0.5) for a in range(3)]
    agreeing = without_wrong(scene, axes)
    believed = say_something(agreeing)
    most = 2 * sum(believed) > len(views)
    if most and len(seen_by(agreeing, axes, 1.0)) >= _AGREEING * max(len(seen_by(agreeing, axes, _MOST)), 1):
        return Outlines(agreeing, 1.0, believed, _covered(agreeing, believed), _about_views_left_out(views, believed))
    return _estimated(scene, agreeing, axes, generator)


def _estimated(scene: Scene, agreeing: Split, axes: list[Tensor], generator: torch.Generator) -> Outlines:
    """Outlines from the photographs, searched for where half of the views' masks see something, wrong ones too."""
    began, views = time.perf_counter(), scene.silhouettes
    masked = any(say_something(views))
    start = seen_by(views, axes, _START if masked else _MOST)
    if not len(start):
        start = hull_cells(agreeing, axes, mask_tensors(agreeing.alpha), margin=0.0, ratio=_START)
    estimated = estimate_outlines(scene, start.cpu(), axes, generator)
    if not any(say_something(estimated)) or not len(seen_by(estimated, axes, _ESTIMATED_RATIO)):
        found = "the masks contradict them or each other" if masked else "there are no masks"
        raise InputError(
            f"scene {scene.name}: the photographs alone show no object against the background, and {found}: mend the masks, or "
            "give the share of the views that must agree by --filter_consistency_ratio"
        )
    found = "The masks contradict the photographs or each other, so" if masked else "There are no masks:"
    share = _ESTIMATED_SHARE * _covered(estimated, [True] * len(views))
    ratio = _ESTIMATED_RATIO if len(views) * (1 - _ESTIMATED_RATIO) >= 1 else 1.0  # one view of a few is no small share
    return Outlines(
        estimated, ratio, [False] * len(views), share,
        f"{found} the object's outlines were estimated from the photographs.", time.perf_counter() - began,
    )


def _covered(views: Split, counted: list[bool]) -> float:
    """Share of a mean picture that the masks of the counted views cover; of all where none counts."""
    shares = [(mask > 127).mean() for mask in views.alpha]
    return float(np.mean([share for share, counts in zip(shares, counted, strict=True) if counts] or shares))


def _about_views_left_out(views: Split, believed: list[bool]) -> str:
    left_out = [name for name, good in zip(views.names, believed, strict=True) if not good]
    if not left_out:
        return ""
    return (
        f"The masks of {len(left_out)} training views say nothing or are wrong and were left out: the first is "
        f"{left_out[0]}."
    )
