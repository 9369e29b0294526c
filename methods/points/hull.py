"""The visual hull of a scene's training views, and a first colour for points inside it."""

import math

import numpy as np
import torch
from torch import Tensor

from datasets.cameras import Cameras
from datasets.scene import Pictures, Scene, Split
from models.rays import pack_cameras
from settings.errors import InputError
from system import signals
from taichi_kernels import runtime
from taichi_kernels.hull import carve_hull

ORIGINAL_MARGIN = 0.05  # the original counts projections up to 5 % of half an image outside it as foreground


def allowed_misses(views: int, ratio: float) -> int:
    """The number of views in which a cell may be background, if more than `ratio` of the views but one must see it as foreground.

    The fork's rule: kept if votes > ratio (views - 1); ratio 1 asks for all views, whatever their number.
    """
    return views - 1 - math.floor(ratio * (views - 1))


Masks = Tensor | list[Tensor]  # of V views: (V, H, W) uint8, or (H, W) each if their sizes differ


def mask_tensors(masks: Pictures) -> Masks:
    """The same masks as tensors."""
    return torch.from_numpy(masks) if isinstance(masks, np.ndarray) else [torch.from_numpy(mask) for mask in masks]


def hull_cells(views: Split, axes: list[Tensor], masks: Masks, *, margin: float, ratio: float = 1.0) -> Tensor:
    """Indices (M, 3) of the grid cells inside the hull of the views; masks of their cameras' sizes.

    ratio: as in `allowed_misses`. Raises InputError if no cell is left, and says which view or ratio causes it.
    """
    cameras = pack_cameras(views.cameras)

    def carve(misses: int) -> Tensor:
        return carve_hull(axes[0], axes[1], axes[2], cameras, masks, margin=margin, allowed_misses=misses)

    cells = carve(allowed_misses(len(cameras), ratio))
    if not len(cells):
        raise InputError(_empty_hull(views, axes, masks, ratio, carve))
    return cells


def _empty_hull(views: Split, axes, masks: Masks, ratio: float, carve) -> str:
    """The largest ratio that keeps points, and which view disagrees most with the others: the one in which most of the cells that
    almost all views agree on are background."""
    count = len(views)
    fails, further = allowed_misses(count, ratio), 1
    while not len(cells := carve(keeps := min(fails + further, count - 1))):  # from below: many misses keep millions of cells
        if keeps == count - 1:
            corners = [[round(float(axis[end]), 3) for axis in axes] for end in (0, -1)]
            return (
                f"the visual hull is empty: no point of the box from {corners[0]} to {corners[1]} is foreground in any training "
                "view: check the poses and the masks"
            )
        fails, further = keeps, 2 * further
    while keeps - fails > 1:
        middle = (keeps + fails) // 2
        found = carve(middle)
        keeps, fails, cells = (middle, fails, found) if len(found) else (keeps, middle, cells)
    points = torch.stack([axes[a][cells[:, a].cpu()] for a in range(3)], 1)
    misses = torch.stack([(~in_mask(views.cameras, view, masks[view], points)).sum() for view in range(count)])
    worst = int(misses.argmax())
    covered = 100 * (masks[worst] > 0).float().mean().item()
    possible = math.floor(1000 * (count - keeps) / max(count - 1, 1) - 1e-6) / 1000  # votes >= count - keeps
    return (
        f"the visual hull of the training views is empty; view {views.names[worst]} disagrees most with the others (its "
        f"mask covers {covered:.1f} % of the image): check that view's mask and pose, or give --filter_consistency_ratio "
        f"{max(possible, 0.001):g} or less, the largest that keeps points"
    )


def hull_iou(cells: Tensor, scene: Scene, axes: list[Tensor], masks: Pictures | None, *, margin: float) -> float | None:
    """Intersection over union of cells (M, 3) and the hard hull of the training views' own masks.

    None if there are none.
    """
    if masks is None:
        return None
    cameras = pack_cameras(scene.train.cameras)
    clean = carve_hull(axes[0], axes[1], axes[2], cameras, mask_tensors(masks), margin=margin).cpu()
    sizes = torch.tensor([len(axis) for axis in axes])
    one, other = ((rows[:, 0] * sizes[1] + rows[:, 1]) * sizes[2] + rows[:, 2] for rows in (cells.cpu(), clean))
    common = int(torch.isin(one, other).sum())
    return common / max(len(one) + len(other) - common, 1)


def in_mask(cameras: Cameras, view: int, mask: Tensor, points: Tensor) -> Tensor:
    """Whether each point (N, 3) falls on a foreground pixel of the view, (N,) bool."""
    pixels, depth = cameras.project(points, view)
    column, row = pixels.floor().to(torch.int64).unbind(1)
    width, height = cameras.size(view)
    inside = (depth > 0) & (column >= 0) & (column < width) & (row >= 0) & (row < height)
    hit = mask[row.clamp(0, height - 1), column.clamp(0, width - 1)] > 0
    return inside & hit


def mean_colours(split: Split, positions: Tensor, *, margin: float) -> Tensor:
    """Mean over all views of the picture's colour over black where each point (N, 3) projects, occluded or not: (N, 3).

    The original's rule outside the image: white up to `margin` beyond the edge, black farther out.
    """
    total = torch.zeros_like(positions)
    for view in range(len(split)):
        signals.check()
        pixels, _ = split.cameras.project(positions, view)
        where = 2 * pixels / torch.tensor(split.cameras.size(view), dtype=torch.float32) - 1
        far = where.abs().amax(1, keepdim=True)
        image = split.over_black(view).permute(2, 0, 1)[None].float() / 255
        sampled = torch.nn.functional.grid_sample(image, where[None, None], align_corners=False)[0, :, 0].T
        total += torch.where(far <= 1, sampled, (far <= 1 + margin).float())
    return total / len(split)


def to_kernel_device(tensor: Tensor) -> Tensor:
    """The tensor on the device of the kernels."""
    return tensor.to(runtime.torch_device())
