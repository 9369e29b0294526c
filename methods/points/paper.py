"""The original program's recipe: hull, stages, filter and duplicate (Zhang et al. 2022, and that paper's program)."""

from dataclasses import replace

import numpy as np
import torch
from scipy.spatial import cKDTree  # pyright: ignore[reportAttributeAccessIssue]  # its stubs are generated
from torch import Tensor

from datasets.scene import Pictures, Scene, Split, joined
from methods.points.hull import ORIGINAL_MARGIN, hull_cells, hull_iou, mask_tensors, mean_colours, to_kernel_device
from methods.points.options import PointOptions
from methods.points.recipe import MaskFacts, Recipe, Stage, Start
from models.antialiasing import PixelSize
from models.points import SH_COEFFICIENTS, PointCloud, frame_of
from settings.errors import InputError
from taichi_kernels import runtime

GRID = 400  # cells an axis
VOXEL = 0.010  # world units: edge of the voxels of the filter, for a scene box 4 units wide
_NO_BACKGROUND = 0.99  # fraction of the pixels that are not black, above which pictures show no background
_NEIGHBOURS, _DEVIATIONS = 20, 2.0  # of the outlier filter


def paper_recipe(options: PointOptions) -> Recipe:
    """20 epochs of base colours, 30 with spherical harmonics, then `refine_n` rounds of filter, duplicate and 30 epochs.

    The fork for imperfect masks puts one or two stages before them: `--posFirst`, 7 epochs that move the points to match
    silhouettes, with a filter after them, and `--shAlone`, 10 epochs of colours and harmonics alone.
    """
    stages = []
    if options.posFirst == "YES":
        stages.append(
            Stage(
                "positions",
                7,
                colour_rate=0.0,
                position_rate=5 * options.lr2,
                decay=options.lrexp,
                loss="silhouette",
                ridge=options.ridgePosition,
            )
        )
    if options.shAlone == "YES":
        stages.append(Stage("colours alone", 10, colour_rate=1.5e-2, position_rate=0.0, decay=options.lrexp))
    stages.append(Stage("base colours", 20, colour_rate=3e-3, position_rate=options.lr2, decay=options.lrexp, use_sh=False))
    stages.append(Stage("spherical harmonics", 30, colour_rate=options.lr1, position_rate=options.lr2, decay=options.lrexp))
    for round_ in range(options.refine_n):
        stages.append(
            Stage(
                f"refinement {round_ + 1}",
                30,
                colour_rate=options.lr1,
                position_rate=options.lr2,
                decay=options.lrexp,
                change=filter_and_duplicate,
            )
        )
    if options.posFirst == "YES":
        stages[1] = replace(stages[1], change=filter_points)
    return Recipe("paper", initial_cloud, tuple(stages))


def initial_cloud(scene: Scene, options: PointOptions, generator: torch.Generator) -> Start:
    """A random fraction `data_r` of the hull's cells, coloured by the mean over the views, harmonics random in [0, 1).

    Foreground is a red value above zero, as in the original. Cells are tested on a grid that reaches the box's far side in x and
    y but stored on one that stops a step short of it: the original's slip of up to one cell, kept.
    """
    low, high = scene.bounds
    tested = [torch.linspace(float(low[a]), float(high[a]), GRID) for a in range(2)]
    stored = [low[a] + (high[a] - low[a]) * torch.arange(GRID) / GRID for a in range(3)]
    masks = red_above_zero(scene.silhouettes)
    if scene.silhouettes.alpha is None:
        _check_background(scene, masks)
    ratio = options.filter_consistency_ratio
    assert ratio is not None and options.data_r is not None  # `paper_defaults`
    cells = hull_cells(scene.silhouettes, [*tested, stored[2]], mask_tensors(masks), margin=ORIGINAL_MARGIN, ratio=ratio).cpu()
    count = max(int(len(cells) * options.data_r), 1)
    if options.max_points:
        count = min(count, options.max_points)
    all_cells, cells = cells, cells[torch.randperm(len(cells), generator=generator)[:count]]
    positions = torch.stack([stored[a][cells[:, a]] for a in range(3)], 1)
    base = mean_colours(scene.silhouettes, positions, margin=ORIGINAL_MARGIN)
    sh = torch.rand(count, SH_COEFFICIENTS, 3, generator=generator)
    tensors = {"positions": positions, "base": base, "sh": sh}
    cloud = PointCloud.ordered(
        {name: to_kernel_device(value) for name, value in tensors.items()},
        radius=options.splatting_r,
        profile=options.profile,
        max_layers=options.raster_n,
        sh_per=options.sh_per,
        frame=frame_of(scene.train.cameras),
        pixel=PixelSize.of(scene.train.cameras, positions.mean(0)),
    )
    outlines = scene.silhouettes if scene.silhouettes.alpha is not None else replace(scene.silhouettes, alpha=masks)
    if scene.carving is None and ratio == 1:
        return Start(cloud, outlines=outlines)
    iou = hull_iou(all_cells, scene, [*tested, stored[2]], red_above_zero(scene.train), margin=ORIGINAL_MARGIN)
    return Start(cloud, MaskFacts(hull_iou=iou), outlines)


def red_above_zero(views: Split) -> Pictures:
    """The object as the original defines it: masks (H, W), 255 where the picture over black has any red."""
    return joined([(views.over_black(view)[..., 0] > 0).to(torch.uint8).numpy() * np.uint8(255) for view in range(len(views))])


def _check_background(scene: Scene, masks: Pictures) -> None:
    """Raise InputError if pictures without an alpha channel have no black background to carve away."""
    if np.mean([(mask > 0).mean() for mask in masks]) > _NO_BACKGROUND:
        raise InputError(
            f"scene {scene.name}: --recipe paper takes all that is not black for the object, and the pictures, "
            "which have no alpha channel, have no black background: name masks by --maskdir, or give --recipe "
            "default --no_masks"
        )


def filter_points(cloud: PointCloud, scene: Scene, options: PointOptions, generator: torch.Generator) -> PointCloud:
    """Thin the cloud to one point a voxel and drop outliers.

    The centroids of the occupied voxels are filtered by the mean distance to their 20 nearest neighbours (at most two standard
    deviations above the mean); each remaining centroid keeps the nearest original point as it is.
    """
    return cloud.selected(_survivors(cloud, scene).to(cloud.positions.device))


def filter_and_duplicate(cloud: PointCloud, scene: Scene, options: PointOptions, generator: torch.Generator) -> PointCloud:
    """`filter_points`, then every point twice; the copies part because their positions in the front-to-back order differ."""
    kept = _survivors(cloud, scene).repeat(2)
    if options.max_points and len(kept) > options.max_points:  # voxels are sorted by position: take some from everywhere
        kept = kept[torch.randperm(len(kept), generator=generator)[: options.max_points].sort()[0]]
    return cloud.selected(kept.to(cloud.positions.device))


def _survivors(cloud: PointCloud, scene: Scene) -> Tensor:
    size = VOXEL * float((scene.bounds[1] - scene.bounds[0]).max()) / 4
    positions = cloud.positions.detach().cpu()
    centroids = _filtered_centroids(positions, size)
    return torch.from_numpy(cKDTree(positions.numpy()).query(centroids.numpy(), workers=runtime.workers())[1])


def _filtered_centroids(positions: Tensor, size: float) -> Tensor:
    cells = torch.floor((positions - positions.min(0)[0]) / size).to(torch.int64)
    _, voxel = torch.unique(cells, dim=0, return_inverse=True)
    count = int(voxel.max()) + 1
    sums = torch.zeros(count, 3).index_add_(0, voxel, positions)
    centroids = sums / torch.bincount(voxel, minlength=count)[:, None]
    neighbours = min(_NEIGHBOURS, count)
    distances, _ = cKDTree(centroids.numpy()).query(centroids.numpy(), k=neighbours, workers=runtime.workers())
    mean = torch.from_numpy(np.atleast_2d(distances.T).mean(0))
    if count < 3:
        return centroids
    return centroids[mean <= mean.mean() + _DEVIATIONS * mean.std()]
