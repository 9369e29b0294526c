"""Before training a field of photographs with their background: its inner box, and the cells that cameras see."""

import numpy as np
import torch
from torch import Tensor

from datasets.bounds import meeting_point, without_odd_views
from datasets.cameras import Cameras
from datasets.scene import Scene, Split
from methods.fields.grid_start import new_field, open_cells
from methods.fields.network_start import learned_pixel
from methods.fields.options import FieldOptions
from models.marched_field import MarchedField
from models.occupancy import OccupancyGrid
from settings.errors import InputError
from taichi_kernels import runtime

CELLS = 64  # of a level of the occupancy grid, along an edge
LEVELS = 6  # boxes, each twice as large as the one before: what is farther than 32 inner boxes is behind the scene
_STEP = 4.0  # of marching, in pixels
NEAR = 0.1  # the t at which rays begin, as a fraction of the inner box's half edge
_COARSEST, _FINEST = 64, 2048  # cells along an edge of the finest grid, at least and at most
_ONE_COLOUR, NEARLY_ALL = 12, 0.9  # 8-bit levels in which one colour differs; fraction of the pixels at pictures' edges
_LEAST = 1e-6  # world units: half an edge of the inner box if all cameras are at one point


def contracted(scene: Scene, options: FieldOptions) -> bool:
    """Whether a new field covers all of space. Raises InputError if --contract asks for it and the pictures do not allow it."""
    cut_out = scene.train.alpha is not None or scene.cut_out
    if options.contract is None:
        able = options.field == "grid" or options.proposed_cones
        return able and not scene.forward_facing and not cut_out and not _before_a_backdrop(scene.train)
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
    return bool((np.abs(rim - np.median(rim, 0)).max(1) <= _ONE_COLOUR).mean() > NEARLY_ALL)


def unbounded_field(scene: Scene, options: FieldOptions, generator: torch.Generator) -> MarchedField:
    """An untrained field of grids over all of space, contracted around the cameras."""
    cameras = scene.train.cameras
    box = inner_box(cameras)
    half = float(box[1, 0] - box[0, 0]) / 2
    usual = without_odd_views(cameras)
    pixel = float((1 / usual.intrinsics[:, 0, 0]).median())  # at a distance of 1
    distance = max(float((usual.centers - box.mean(0)).norm(dim=1).median()), 0.5 * half)
    occupancy = OccupancyGrid(
        box, cells=CELLS, step=_STEP * pixel * 0.25 * half, levels=LEVELS, cone=_STEP * pixel, near=NEAR * half
    )
    occupancy.density.fill_(-1)  # not evaluated yet: the first fog is thin everywhere, and no cell of it can be missed
    boxes = (box.mean(0) + (box - box.mean(0)) * 2.0**level for level in range(LEVELS))
    occupancy.restrict(torch.stack([open_cells(scene.train, each, CELLS) for each in boxes]))
    finest = round(min(max(4 * half / (pixel * distance), _COARSEST), _FINEST))  # the grids cover the inner box twice
    field = new_field(box, finest, options, generator, contracted=True)
    return MarchedField(field, occupancy, pixel=learned_pixel(scene)).to(runtime.torch_device())


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
