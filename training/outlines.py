"""Which outlines the default recipe carves its start from: the masks, where they agree with each other, else estimated ones.

Masks that agree leave a hull: the cells that all views see as foreground are not many fewer than those that nine tenths of
the views do. A few wrong masks, or outlines a few pixels off, break that, and then no mask is believed: `training.coarse` looks
for the object in the photographs, and the masks only say where to begin. Pictures without masks count as masks that cover
everything.
"""

import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from datasets.scene import Scene, Split
from settings.errors import InputError
from settings.options import Options
from taichi_kernels.hull import carve_hull
from training.coarse import estimate_outlines
from training.hull import allowed_misses, hull_cells, pack_cameras

_GRID = 100  # cells an axis of the scene's box
_AGREEING = 0.55  # cells that all views keep, as a share of those that 90 % keep: clean masks .66 and .72, 4 % affine .50 and .47
_MOST = 0.9
_START = 0.5  # share of the views that must see a cell for the estimate to look there
_ESTIMATED_RATIO = 0.95  # of the hull of estimated outlines, some of which miss a thin part
_ESTIMATED_SHARE = 0.9  # of what they cover is the object's: they lie a little outside it
_COVERS_ALL = 0.98  # share of a picture: a mask that covers more says nothing


@dataclass(frozen=True)
class Outlines:
    """Masks to carve from, and what they are worth."""

    views: Split  # cameras and alpha of the training views; estimated ones are smaller and have no pictures
    ratio: float  # for `training.hull.hull_cells`
    believed: list[bool]  # of each training view: its mask may join the loss
    object_share: float  # of a mean picture: what the object covers
    remark: str = ""  # for the user, where masks were not believed
    seconds: float = 0.0  # that fitting took


def find_outlines(scene: Scene, options: Options, generator: torch.Generator) -> Outlines:
    """The outlines to carve from: the masks with the user's ratio where there is one, else those that agree, else estimated ones.

    Raises InputError where neither masks nor photographs show an object.
    """
    views = scene.silhouettes
    says_something = [bool((mask > 0).mean() <= _COVERS_ALL) for mask in views.alpha]
    if (ratio := options.filter_consistency_ratio) is not None:  # 1 says that every mask is right
        believed = says_something if ratio == 1 else [False] * len(views)
        return Outlines(views, ratio, believed, _covered(views, says_something))
    masked = 2 * sum(says_something) > len(views)
    low, high = scene.bounds
    step = (high - low) / _GRID
    axes = [low[a] + step[a] * (torch.arange(_GRID) + 0.5) for a in range(3)]
    if masked and len(_carved(views, axes, 1.0)) >= _AGREEING * max(len(_carved(views, axes, _MOST)), 1):
        share = _covered(views, says_something)
        return Outlines(views, 1.0, says_something, share, _about_views_without(views, says_something))
    began = time.perf_counter()
    start = hull_cells(views, axes, torch.from_numpy(views.alpha), margin=0.0, ratio=_START if masked else _MOST).cpu()
    estimated = estimate_outlines(scene, start, axes, generator)
    if not len(_carved(estimated, axes, _ESTIMATED_RATIO)):
        raise InputError(
            f"scene {scene.name}: the photographs alone show no object against the background, and "
            f"{'the masks contradict each other' if masked else 'there are no masks'}: mend the masks, or give the share of "
            "the views that must agree by --filter_consistency_ratio"
        )
    remark = (
        "The masks contradict each other, so the object's outlines were estimated from the photographs."
        if masked
        else "There are no masks: the object's outlines were estimated from the photographs."
    )
    share = _ESTIMATED_SHARE * _covered(estimated, [True] * len(views))
    return Outlines(estimated, _ESTIMATED_RATIO, [False] * len(views), share, remark, time.perf_counter() - began)


def _covered(views: Split, counted: list[bool]) -> float:
    """Share of a mean picture that the masks of the counted views cover; of all where none counts."""
    shares = [(mask > 127).mean() for mask in views.alpha]
    return float(np.mean([share for share, counts in zip(shares, counted, strict=True) if counts] or shares))


def _about_views_without(views: Split, says_something: list[bool]) -> str:
    without = [name for name, says in zip(views.names, says_something, strict=True) if not says]
    if not without:
        return ""
    return f"{len(without)} training views have a mask that covers everything, which says nothing: the first is {without[0]}."


def _carved(views: Split, axes: list[Tensor], ratio: float) -> Tensor:
    misses = allowed_misses(len(views), ratio)
    return carve_hull(*axes, pack_cameras(views.cameras), torch.from_numpy(views.alpha), allowed_misses=misses)
