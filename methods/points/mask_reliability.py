"""Which views' masks can be trusted: compared with the photographs, and with each other.

A mask is wrong if its photograph shows something against the background outside it, or if it misses most of the region on which
the other views agree. A mask that covers everything is not wrong, but says nothing.
"""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from datasets.scene import Scene, Split, joined
from methods.points.hull import in_mask, mask_tensors
from models.rays import pack_cameras
from taichi_kernels.hull import carve_hull

_LEFT_OUT = 0.03  # of what a photograph shows, see `_left_out`; clean masks .001, 1 px of erosion at 100 px .05, 4 % affine .05
_PIXELS = 200  # across a picture, for this comparison
_COMMON = 0.7  # fraction of the views that must see a cell as foreground, for it to be agreed on
_PROBES = 4000  # agreed points, at most, that each mask is compared with
_MISSES = 0.6  # fraction of these points that a mask may miss: clean masks miss .3 at most (of few views, .5), an empty one all
_COVERS_ALL = 0.98  # fraction of a picture: a mask that covers more says nothing


def is_informative(views: Split) -> list[bool]:
    """Of each view, whether it has a mask that leaves out more than 2 % of the picture."""
    if views.alpha is None:
        return [False] * len(views)
    return [bool((mask > 0).mean() <= _COVERS_ALL) for mask in views.masks]


def agreed_cells(views: Split, axes: list[Tensor], fraction: float) -> Tensor:
    """Indices (M, 3) of the cells that this fraction of the views, rounded up, see as foreground."""
    misses = int((1 - fraction) * len(views) + 1e-6)
    return carve_hull(axes[0], axes[1], axes[2], pack_cameras(views.cameras), mask_tensors(views.masks), allowed_misses=misses)


def without_wrong_masks(scene: Scene, axes: list[Tensor]) -> Split:
    """The scene's silhouettes, with wrong masks replaced by ones that cover everything; axes: of a grid in the scene's box."""
    views = scene.silhouettes
    views = _covering_all(views, [view for view, mask in enumerate(views.masks) if _left_out(scene, view, mask) > _LEFT_OUT])
    return _covering_all(views, _outliers(views, axes))


def _covering_all(views: Split, wrong: list[int]) -> Split:
    if not wrong:
        return views
    alpha = [np.full_like(mask, 255) if view in wrong else mask for view, mask in enumerate(views.masks)]
    return replace(views, alpha=joined(alpha))


def _left_out(scene: Scene, view: int, mask: np.ndarray) -> float:
    """Fraction of the photograph's absolute difference from the background that is outside the mask."""
    stride = max(1, mask.shape[1] // _PIXELS)
    background = float(scene.background == "white")
    shown = (scene.train.picture(view, scene.background)[::stride, ::stride] - background).abs().sum(-1)
    if scene.train.alpha is not None:  # pixels that the picture's own alpha channel hides do not count
        shown = shown * torch.from_numpy(scene.train.alpha[view][::stride, ::stride] > 0)
    outside = torch.from_numpy(mask[::stride, ::stride] == 0)
    return float(shown[outside].sum() / shown.sum().clamp(min=1e-6))


def _outliers(views: Split, axes: list[Tensor]) -> list[int]:
    """The views whose mask misses most of the cells on which the views agree."""
    cells = agreed_cells(views, axes, _COMMON).cpu()
    if not len(cells):
        return []
    some = cells[torch.linspace(0, len(cells) - 1, min(len(cells), _PROBES)).long()]
    points = torch.stack([axes[a][some[:, a]] for a in range(3)], 1)
    seen = [in_mask(views.cameras, view, torch.from_numpy(mask), points) for view, mask in enumerate(views.masks)]
    return [view for view, inside in enumerate(seen) if inside.float().mean() < 1 - _MISSES]
