"""Before training a field of photographs with their background: its inner box, and the cells that enough cameras see."""

import numpy as np
import torch
from torch import Tensor

from datasets.bounds import meeting_point, without_odd_views
from datasets.cameras import Cameras
from datasets.scene import Scene, Split
from methods.fields.options import FieldOptions
from models.grid_field import GridField, GridShape
from models.marched_field import MarchedField
from models.occupancy import OccupancyGrid
from models.rays import pack_cameras
from settings.errors import InputError
from taichi_kernels import runtime
from taichi_kernels.hull import carve_hull

CELLS = 64  # of a level of the occupancy grid, along an edge
LEVELS = 6  # boxes, each twice as large as the one before: what is farther than 32 inner boxes is behind the scene
_COARSE = 64  # cells along an edge in which is counted how many cameras see them
_SEEN_BY = 2  # cameras, at least: cells close to a camera are seen by it alone, and fog grows there
_STEP = 4.0  # of marching, in pixels
_NEAR = 0.05  # the t at which rays begin, as a fraction of the inner box's half edge
_COARSEST, _FINEST = 64, 2048  # cells along an edge of the finest grid, at least and at most
_ONE_COLOUR, _NEARLY_ALL = 12, 0.9  # 8-bit levels in which one colour differs; fraction of the pixels at pictures' edges
_LEAST = 1e-6  # world units: half an edge of the inner box if all cameras are at one point


def contracted(scene: Scene, options: FieldOptions) -> bool:
    """Whether a new field covers all of space. Raises InputError if --contract asks for it and the pictures do not allow it."""
    cut_out = scene.train.alpha is not None or scene.cut_out
    if options.contract is None:
        return options.field == "grid" and not scene.forward_facing and not cut_out and not _before_a_backdrop(scene.train)
    if options.contract and scene.forward_facing:
        raise InputError(
            "--contract does not go with normalised device coordinates, which reach to infinity already: give --no_ndc, or drop "
            "the flag"
        )
    if options.contract and cut_out:
        raise InputError(
            f"--contract learns what is around an object, and the pictures of {scene.name} are cut out by "
            f"{'masks' if scene.cut_out else 'their alpha channel'}: drop the flag"
        )
    return bool(options.contract)


def _before_a_backdrop(views: Split) -> bool:
    """Whether nearly all pixels at the pictures' edges have one colour: then there is nothing to learn around the object, and
    where that colour is cannot be known."""
    rims = [np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]]) for image in views.images]
    rim = np.concatenate(rims).astype(np.int16)
    return bool((np.abs(rim - np.median(rim, 0)).max(1) <= _ONE_COLOUR).mean() > _NEARLY_ALL)


def unbounded_field(scene: Scene, generator: torch.Generator) -> MarchedField:
    """An untrained grid field over all of space, contracted around the cameras."""
    cameras = scene.train.cameras
    box = inner_box(cameras)
    half = float(box[1, 0] - box[0, 0]) / 2
    usual = without_odd_views(cameras)
    pixel = float((1 / usual.intrinsics[:, 0, 0]).median())  # at a distance of 1
    distance = max(float((usual.centers - box.mean(0)).norm(dim=1).median()), 0.5 * half)
    occupancy = OccupancyGrid(
        box, cells=CELLS, step=_STEP * pixel * 0.25 * half, levels=LEVELS, cone=_STEP * pixel, near=_NEAR * half
    )
    occupancy.density.fill_(-1)
    occupancy.restrict(_seen_cells(scene, box))
    finest = round(min(max(4 * half / (pixel * distance), _COARSEST), _FINEST))  # the grids cover the inner box twice
    field = GridField(box, _shape(finest), generator)
    return MarchedField(field, occupancy).to(runtime.torch_device())


def _shape(finest: int) -> GridShape:
    return GridShape(finest=finest, contracted=True)


def inner_box(cameras: Cameras) -> Tensor:
    """The cube (2, 3), world, that is not contracted: around the point where the cameras' axes meet, or else around their middle;
    it holds all camera centres. Odd views do not count."""
    usual = without_odd_views(cameras)
    centers = usual.centers.double()
    middle = meeting_point(usual)
    if middle is None:
        middle = (centers.amin(0) + centers.amax(0)) / 2
    half = (centers - middle).abs().max().clamp_min(_LEAST)
    return torch.stack([middle - half, middle + half]).float()


def _seen_cells(scene: Scene, box: Tensor) -> Tensor:
    """Which cells (levels, n, n, n), in z, y, x, at least `_SEEN_BY` cameras see."""
    views = scene.train
    count = len(views)
    everything = [torch.full(image.shape[:2], 255, dtype=torch.uint8) for image in views.images]
    cameras, middle = pack_cameras(views.cameras), box.mean(0)
    unit = (torch.arange(_COARSE) + 0.5) / _COARSE
    levels = torch.zeros(LEVELS, _COARSE, _COARSE, _COARSE, dtype=torch.bool)
    for level, cells in enumerate(levels):
        low, high = middle + (box - middle) * 2.0**level
        axes = [low[a] + unit * (high[a] - low[a]) for a in range(3)]
        index = carve_hull(axes[0], axes[1], axes[2], cameras, everything, allowed_misses=max(count - _SEEN_BY, 0)).cpu()
        cells[index[:, 2], index[:, 1], index[:, 0]] = True
    for axis in (1, 2, 3):
        levels = levels.repeat_interleave(CELLS // _COARSE, axis)
    return levels
