"""Where a radiance field lies and which of its cells are open at first, from the cameras and the alpha channels."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from datasets.scene import Scene, Split
from methods.fields.network_start import learned_pixel, scene_ndc
from methods.fields.options import FieldOptions
from models.marched_field import FIELDS, MarchedField
from models.occupancy import OccupancyGrid
from models.rays import Ndc, pack_cameras, pixel_rays
from models.reflective_field import FIRST_LEVELS
from settings.errors import InputError
from taichi_kernels import runtime
from taichi_kernels.hull import carve_hull

_SHAPES = {word: field.shape_type for word, field in FIELDS.items()}
CELLS = 128  # of the occupancy grid, along an edge
_STEP = 1.5  # of marching, in pixels as large as they are at the middle of the box
_FEWEST, _MOST = 128, 1024  # steps along the box's diagonal, in the world
_COARSEST, _FINEST = 64, 2048  # cells along an edge of the finest grid, at least and at most; in between, they are pixels
_NDC_STEPS = 320  # the same in normalised device coordinates
_COARSE = 64  # cells along an edge in which the object is looked for
_SHOWN = 0.5  # fraction of the views that must see a cell: cells close to a camera are seen by it alone
_UNSEEN = 1e3  # half image widths beyond a picture's edge in which a picture says nothing


def initial_field(scene: Scene, options: FieldOptions, generator: torch.Generator) -> MarchedField:
    """An untrained field of grids or voxels over the scene's object, with the cells that the alpha channels leave open.

    In normalised device coordinates it covers all that the cameras see, and alpha is not used.

    Raises InputError if the alpha channels leave no cell.
    """
    ndc = scene_ndc(scene)
    box = field_box(scene) if ndc is None else _seen_in(ndc, scene)
    open_ = open_cells(scene.train, box, CELLS) if ndc is None else torch.ones(CELLS, CELLS, CELLS, dtype=torch.bool)
    if not open_.any():
        raise InputError(
            f"scene {scene.name}: the alpha channels show no object that {_SHOWN:.0%} of the training views see: "
            "check masks and poses, or save the pictures without alpha"
        )
    diagonal = float((box[1] - box[0]).norm())
    pixel = 2 / scene.train.cameras.width if ndc else _pixel(scene, box)
    steps = _NDC_STEPS if ndc else min(max(diagonal / (_STEP * pixel), _FEWEST), _MOST)
    occupancy = OccupancyGrid(box, cells=CELLS, step=diagonal / steps)
    occupancy.restrict(open_)
    edge = float((box[1] - box[0]).log().mean().exp())  # geometric mean
    finest = round(min(max(edge / pixel, _COARSEST), _FINEST))
    field = new_field(box, finest, options, generator)
    return MarchedField(field, occupancy, ndc, pixel=learned_pixel(scene)).to(runtime.torch_device())


def new_field(box: Tensor, finest: int, options: FieldOptions, generator: torch.Generator, *, contracted: bool = False) -> Any:
    """The untrained field that the options ask for, over a box, or, contracted around it, over all of space; finest: cells along
    an edge of its finest grid."""
    word = options.field_word
    shape = _SHAPES[word](finest=finest)
    if contracted:
        shape = replace(shape, contracted=True)
    if options.ref_nerf:
        shape = replace(shape, ide_levels=options.ide_level, srgb=options.use_srgb)
    make: Any = FIELDS[word]  # with its own shape
    field = make(box, shape, generator)
    if options.ref_nerf:
        field.show_levels(FIRST_LEVELS)
    return field


def _pixel(scene: Scene, box: Tensor) -> float:
    """How large a pixel of the pictures is at the middle of the box, world units."""
    cameras = scene.train.cameras
    distances = (cameras.centers - box.mean(0)).norm(dim=1)
    return max(float((distances / cameras.intrinsics[:, 0, 0]).median()), 1e-9)


def field_box(scene: Scene) -> Tensor:
    """The box (2, 3), world, that the field covers: around the visual hull of the alpha channels, or the scene's."""
    open_ = open_cells(scene.train, scene.bounds, _COARSE)
    if scene.train.alpha is None or not open_.any():
        return scene.bounds
    cells = torch.nonzero(open_)[:, [2, 1, 0]]
    size = (scene.bounds[1] - scene.bounds[0]) / _COARSE
    low, high = cells.amin(0) - 1, cells.amax(0) + 2  # a cell more on each side
    return torch.stack([scene.bounds[0] + low * size, scene.bounds[0] + high * size])


def _seen_in(ndc: Ndc, scene: Scene) -> Tensor:
    """The box (2, 3), in normalised device coordinates, of the space that the cameras see, from the nearest content on."""
    cameras = scene.train.cameras
    sizes = [cameras.size(view) for view in range(len(cameras))]
    corners = [(view, r, c) for view, (width, height) in enumerate(sizes) for r in (0, height - 1) for c in (0, width - 1)]
    pixels = torch.tensor(corners, dtype=torch.int32)
    rays = ndc.to_ndc(pixel_rays(pack_cameras(cameras), pixels))
    nearest = 1 - 1 / max(scene.near, 1.0)  # t
    ends = torch.cat([rays.origins + t * rays.directions for t in (nearest, 1.0)])
    return torch.stack([ends.amin(0), ends.amax(0)])


def open_cells(views: Split, box: Tensor, cells: int) -> Tensor:
    """Which cells (n, n, n), in z, y, x, are not surely empty.

    With alpha channels: those that no view shows as background and that enough views show as foreground. Without: all that some
    view sees.
    """
    unit = (torch.arange(cells) + 0.5) / cells
    axes = [box[0, a] + unit * (box[1, a] - box[0, a]) for a in range(3)]
    cameras, count = pack_cameras(views.cameras), len(views)

    def carved(masks: Sequence[Tensor], **settings) -> Tensor:
        index = carve_hull(axes[0], axes[1], axes[2], cameras, masks, **settings).cpu()
        found = torch.zeros(cells, cells, cells, dtype=torch.bool)
        found[index[:, 2], index[:, 1], index[:, 0]] = True
        return found

    if views.alpha is None:
        everything = [torch.full(image.shape[:2], 255, dtype=torch.uint8) for image in views.images]
        return carved(everything, allowed_misses=count - 1)
    masks = _grown(views, box, cells)
    return carved(masks, margin=_UNSEEN) & carved(masks, allowed_misses=count - max(1, round(_SHOWN * count)))


def _grown(views: Split, box: Tensor, cells: int) -> list[Tensor]:
    """Masks grown by the largest distance on the screen of a cell's corner from its centre: cells are judged by their centres."""
    reach = float(((box[1] - box[0]) / cells).norm()) / 2
    distance = float((views.cameras.centers - box.mean(0)).norm(dim=1).min())
    pixels = math.ceil(float(views.cameras.intrinsics[:, 0, 0].max()) * reach / max(distance - reach, reach))
    grown = []
    for mask in views.masks:
        side = 2 * min(pixels, max(mask.shape)) + 1
        wide = torch.nn.functional.max_pool2d(torch.from_numpy(mask)[None, None].float(), (1, side), 1, (0, side // 2))
        grown.append(torch.nn.functional.max_pool2d(wide, (side, 1), 1, (side // 2, 0))[0, 0].to(torch.uint8))
    return grown
