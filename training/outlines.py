"""Which outlines the default recipe carves its start from: the masks, where they agree with each other, else estimated ones.

Views whose mask misses most of what the other views agree on are left out. The masks of the rest agree where they leave a hull:
the cells that all views see as foreground are not many fewer than those that nine tenths of the views do. Outlines a few pixels
off break that, and then no mask is believed: `training.coarse` looks for the object in the photographs, and the masks only say
where to begin. Pictures without masks count as masks that cover everything.
"""

import time
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from datasets.scene import Scene, Split
from settings.errors import InputError
from settings.options import Options
from taichi_kernels.hull import carve_hull
from training.coarse import estimate_outlines
from training.hull import allowed_misses, hull_cells, in_mask, pack_cameras

_GRID = 100  # cells an axis of the scene's box
_AGREEING = 0.55  # cells that all views keep, as a share of those that 90 % keep: clean masks .66 and .72, 4 % affine .50 and .47
_MOST = 0.9
_START = 0.5  # share of the views that must see a cell for the estimate to look there
_ESTIMATED_RATIO = 0.95  # of the hull of estimated outlines, some of which miss a thin part
_ESTIMATED_SHARE = 0.9  # of what they cover is the object's: they lie a little outside it
_COVERS_ALL = 0.98  # share of a picture: a mask that covers more says nothing
_COMMON = 0.7  # share of the views that see what they agree on
_PROBES = 4000  # places of that, at most, which each mask is held against
_MISSES = 0.5  # share of that which a mask may miss: clean masks miss .3 at most, an empty one all


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
    says_something = _say_something(views)
    if (ratio := options.filter_consistency_ratio) is not None:  # 1 says that every mask is right
        believed = says_something if ratio == 1 else [False] * len(views)
        return Outlines(views, ratio, believed, _covered(views, says_something))
    masked = 2 * sum(says_something) > len(views)
    low, high = scene.bounds
    step = (high - low) / _GRID
    axes = [low[a] + step[a] * (torch.arange(_GRID) + 0.5) for a in range(3)]
    agreeing = _without_outliers(views, axes)
    if masked and len(_carved(agreeing, axes, 1.0)) >= _AGREEING * max(len(_carved(agreeing, axes, _MOST)), 1):
        believed = _say_something(agreeing)
        return Outlines(agreeing, 1.0, believed, _covered(agreeing, believed), _about_views_left_out(views, believed))
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


def _say_something(views: Split) -> list[bool]:
    return [bool((mask > 0).mean() <= _COVERS_ALL) for mask in views.alpha]


def _without_outliers(views: Split, axes: list[Tensor]) -> Split:
    """The views, with masks that miss most of what the views agree on replaced by ones that cover everything."""
    cells = _carved(views, axes, _COMMON).cpu()
    if not len(cells):
        return views
    some = cells[torch.linspace(0, len(cells) - 1, min(len(cells), _PROBES)).long()]
    points = torch.stack([axes[a][some[:, a]] for a in range(3)], 1)
    seen = [in_mask(views.cameras, view, torch.from_numpy(mask), points) for view, mask in enumerate(views.alpha)]
    outliers = [view for view, inside in enumerate(seen) if inside.float().mean() < 1 - _MISSES]
    if not outliers:
        return views
    alpha = views.alpha.copy()
    alpha[outliers] = 255
    return replace(views, alpha=alpha)


def _about_views_left_out(views: Split, believed: list[bool]) -> str:
    left_out = [name for name, good in zip(views.names, believed, strict=True) if not good]
    if not left_out:
        return ""
    return (
        f"The masks of {len(left_out)} training views say nothing or contradict the others and were left out: the first is "
        f"{left_out[0]}."
    )


def _carved(views: Split, axes: list[Tensor], ratio: float) -> Tensor:
    misses = allowed_misses(len(views), ratio)
    return carve_hull(*axes, pack_cameras(views.cameras), torch.from_numpy(views.alpha), allowed_misses=misses)
