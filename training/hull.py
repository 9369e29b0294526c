"""The visual hull of a scene's training views, and a first colour for points inside it."""

import torch
from torch import Tensor

from datasets.cameras import Cameras
from datasets.scene import Scene, Split
from settings.errors import InputError
from taichi_kernels import runtime
from taichi_kernels.hull import carve_hull
from taichi_kernels.projection import pack_camera

ORIGINAL_MARGIN = 0.05  # the original counts projections up to 5 % of half an image outside it as foreground


def pack_cameras(cameras: Cameras) -> Tensor:
    """All views' cameras as the kernels take them, (V, 16)."""
    return torch.stack([pack_camera(k, pose) for k, pose in zip(cameras.intrinsics, cameras.camera_to_world, strict=True)])


def hull_cells(scene: Scene, axes: list[Tensor], masks: Tensor, *, margin: float, allowed_misses: int = 0) -> Tensor:
    """Indices (M, 3) of the grid cells inside the hull of the training views; masks (V, H, W) uint8.

    Raises InputError where nothing is left, and names the view that emptied it.
    """
    cameras = pack_cameras(scene.train.cameras)
    cells = carve_hull(*axes, cameras, masks, margin=margin, allowed_misses=allowed_misses)
    if not len(cells):
        raise InputError(_empty_hull_sentence(scene, axes, cameras, masks, margin))
    return cells


def _empty_hull_sentence(scene: Scene, axes, cameras: Tensor, masks: Tensor, margin: float) -> str:
    """Which view stands against the others: the one in which most of the cells that almost all views agree on are background."""
    start = f"scene {scene.name}: the visual hull of the training views is empty"
    for allowed in range(1, len(cameras)):
        cells = carve_hull(*axes, cameras, masks, margin=margin, allowed_misses=allowed)
        if len(cells):
            break
    else:
        return f"{start}: no point of the box {scene.bounds.tolist()} is foreground in any view: check the poses and the masks"
    points = torch.stack([axes[a][cells[:, a].cpu()] for a in range(3)], 1)
    misses = torch.stack([(~_in_mask(scene.train.cameras, view, masks[view], points)).sum() for view in range(len(cameras))])
    worst = int(misses.argmax())
    covered = 100 * (masks[worst] > 0).float().mean().item()
    return (
        f"{start}; view {scene.train.names[worst]} empties it, whose mask covers {covered:.1f} % of its picture: check that "
        "view's alpha channel and pose, or take it out of transforms_train.json"
    )


def _in_mask(cameras: Cameras, view: int, mask: Tensor, points: Tensor) -> Tensor:
    """Whether each point (N, 3) falls on a foreground pixel of the view, (N,) bool."""
    pixels, depth = cameras.project(points, view)
    column, row = pixels.floor().to(torch.int64).unbind(1)
    inside = (depth > 0) & (column >= 0) & (column < cameras.width) & (row >= 0) & (row < cameras.height)
    hit = mask[row.clamp(0, cameras.height - 1), column.clamp(0, cameras.width - 1)] > 0
    return inside & hit


def mean_colours(split: Split, positions: Tensor, *, margin: float) -> Tensor:
    """Mean over all views of the picture's colour where each point (N, 3) projects, occluded or not: (N, 3).

    The original's rule off the image: white up to `margin` beyond the edge, black farther out.
    """
    total = torch.zeros_like(positions)
    size = torch.tensor([split.cameras.width, split.cameras.height], dtype=torch.float32)
    for view in range(len(split)):
        pixels, _ = split.cameras.project(positions, view)
        where = 2 * pixels / size - 1
        far = where.abs().amax(1, keepdim=True)
        image = torch.from_numpy(split.images[view]).permute(2, 0, 1)[None].float() / 255
        sampled = torch.nn.functional.grid_sample(image, where[None, None], align_corners=False)[0, :, 0].T
        total += torch.where(far <= 1, sampled, (far <= 1 + margin).float())
    return total / len(split)


def to_kernel_device(tensor: Tensor) -> Tensor:
    """The tensor where the kernels run."""
    return tensor.to(runtime.torch_device())
