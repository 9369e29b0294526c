"""Photographs with a COLMAP sparse model -> Scene."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from datasets.bounds import meeting_point, near_and_far, odd_views, scene_box
from datasets.cameras import Cameras
from datasets.colmap_model import ColmapImage, ColmapModel, image_names, read_model
from datasets.file_names import images_below, printable, view_names
from datasets.find import colmap_models
from datasets.image_folders import ImageFolder, choose_files, copies_alone, image_folders
from datasets.photographs import (
    Photo,
    cameras_of,
    common_or_largest_size,
    hold_out,
    measured,
    read_splits,
    tell_odd_views,
    with_poses,
)
from datasets.poses import similarity, transformed_poses
from datasets.scene import Scene
from datasets.sizes import photograph_sizes
from settings.errors import InputError
from settings.options import Options
from system.progress import tell

CAMERA_DISTANCE = 4.0  # world units, as in NeRF-synthetic: step sizes and other lengths keep their meaning
_STRAYS = 1.0  # % of the points at either end, along each axis and in depth, that count as wrong matches
_FAR_POINT, _FEW_POINTS = 20.0, 0.05  # times the median distance from the median point; the fraction that may be that far
_LEAST_POINTS = 8  # fewer are not enough to find the scene's bounds
_MARGIN = 0.05  # added to the box on each side, as a fraction of its edge
_LEAST_UP = 0.1  # length of the cameras' mean y axis, below which they have no common upright direction


def load_colmap(folder: Path, options: Options, name: str = "") -> Scene:
    """Read a scene of photographs in `images` (or images_N, N: --factor) and a model in sparse/N, sparse or the folder itself.

    Of several models the one with the most registered images on disk is read; missing images are left out. The scene
    is moved to the origin, scaled and turned (`standard_world`): the cameras are about 4 units from what they look at, with z up.
    Lens distortion is undone while pictures are read. Every --llffhold-th view in the order of names, from the first, is for
    testing. Bounds hold 98 % of the model's points along each axis, and 5 % more on each side; near and far enclose 98 % of the
    depths at which views see points, with 10 % to spare. Without points they are found from the cameras. `extras`: `folder`,
    `format`, `pictures` (the folder that was read), `stored_size` (of the photographs, px), `test_ids`, `testskip`,
    `bounds_from`, and `world_from_file` (4, 4): the similarity from the model's world to the scene's. Raises InputError, naming
    the file, for missing and damaged files.
    """
    where, ending, others = _choose_model(folder)
    model = read_model(where, ending)
    images, photos, source = _photos(folder, model, others, options)
    poses = np.array([photo.camera_to_world for photo in photos])
    ids, points = _plain_points(model)
    if not len(points):
        tell(f"{where}: {len(model.points)} points are too few to find the scene's bounds: they are found from the cameras")
    tell_odd_views(cameras_of(photos), [photo.name for photo in photos], where)
    world = standard_world(poses, points, where)
    points = points @ world[:3, :3].T + world[:3, 3]
    photos = with_poses(photos, transformed_poses(poses, world))
    train, test = hold_out(len(photos), options.llffhold, model.path, len(model.images))
    test = test[:: options.testskip]
    picked = {"train": [photos[k] for k in train], "val": [], "test": [photos[k] for k in test]}
    name = name or folder.resolve().name
    read = read_splits(picked, options, folder, name)

    if len(points):
        box, bounds_from = _box(points), "the points of the sparse model"
        near, far = _depths(photos, images, ids, points, where)
    else:
        box, bounds_from = scene_box(cameras_of(photos))
        near, far = near_and_far(box, cameras_of(photos))
    extras = {
        "folder": str(folder),
        "format": "COLMAP",
        "pictures": str(source.path),
        "stored_size": common_or_largest_size(photos),
        "val_ids": [],
        "test_ids": test,
        "val_count": 0,
        "testskip": options.testskip,
        "bounds_from": bounds_from,
        "world_from_file": world.tolist(),
    }
    return Scene(
        name,
        *read.in_order(),
        bounds=box,
        near=0.9 * near,
        far=1.1 * far,
        background=options.scene_background,
        carving=read.carving,
        extras=extras,
        cut_out=read.cut_out,
    )


def standard_world(poses: np.ndarray, points: np.ndarray, where: Path | str = "the model") -> np.ndarray:
    """The similarity (4, 4) from a model's world, whose scale and directions are arbitrary, to the scene's.

    The origin is where the optical axes of the cameras (V, 3, 4) meet, and their median distance from it becomes 4. If the axes
    do not meet, it is the median of the points (P, 3), and the median distance between cameras and points becomes 4. z is the
    cameras' mean y axis; the other two are arbitrary. If the cameras have no common upright direction, axes stay as they are.
    Odd views do not count. Raises InputError if there are no points and the axes do not meet.
    """
    views = Cameras(torch.eye(3).expand(len(poses), 3, 3), torch.from_numpy(poses), 1, 1)
    center, some = meeting_point(views), points[:: max(1, -(-len(points) // 1000))]
    if odd := odd_views(views):
        poses = np.delete(poses, odd, axis=0)
    if center is not None:
        center = center.numpy()
        distance = np.median(np.linalg.norm(poses[:, :, 3] - center, axis=1))
    elif len(points):
        center = np.median(points, axis=0)
        distance = np.median(np.linalg.norm(poses[:, None, :, 3] - some, axis=2))
    else:
        raise InputError(
            f"{where} has too few points to find the scene's position, and its cameras do not look at one object: "
            "triangulate points by COLMAP's point_triangulator"
        )
    up = poses[:, :, 1].mean(0)
    if np.linalg.norm(up) < _LEAST_UP:
        return similarity(CAMERA_DISTANCE / distance, center=center)
    up /= np.linalg.norm(up)
    first = np.cross(np.eye(3)[np.abs(up).argmin()], up)
    first /= np.linalg.norm(first)
    return similarity(CAMERA_DISTANCE / distance, np.stack([first, np.cross(up, first), up]), center)


def _choose_model(folder: Path) -> tuple[Path, str, str]:
    """(the folder of the scene's model, the ending of its files, a remark on other models or "").

    Of several models it is the one with the most registered images on disk; of equal ones the first.
    """
    models = colmap_models(folder)
    if len(models) == 1:
        return *models[0], ""
    counts = [_count_on_disk(folder, *model) for model in models]
    best = counts.index(max(counts))
    here, ending = models[best]
    others = ", ".join(
        f"{_called(other, folder)} {'cannot be read' if count < 0 else count}"
        for k, (other, count) in enumerate(zip(models, counts, strict=True))
        if k != best
    )
    return here, ending, f"of {len(models)} models it has the most images on disk, {counts[best]} (others: {others})"


def _called(model: tuple[Path, str], folder: Path) -> str:
    where, ending = model
    return (where.relative_to(folder) / f"*.{ending}").as_posix()


def _count_on_disk(folder: Path, where: Path, ending: str) -> int:
    """How many of a model's registered images are on disk; -1 for a model that cannot be read."""
    try:
        names = image_names(where, ending)
        found = [source.find(names)[0] for source in image_folders(folder)]
    except InputError:
        return -1
    return max((sum(path is not None for path in paths) for paths in found), default=0)


def _photos(
    folder: Path, model: ColmapModel, others: str, options: Options
) -> tuple[list[ColmapImage], list[Photo], ImageFolder]:
    """The registered images on disk; the same as photographs, with poses in the model's world; and the folder of their files."""
    names = [image.name for image in model.images]
    known = {number: (camera.width, camera.height) for number, camera in model.cameras.items()}
    first = next(iter(known.values()), (1, 1))
    full = [known.get(image.camera, first) for image in model.images]
    on_disk = [any(paths) for paths in zip(*(source.find(names)[0] for source in image_folders(folder)), strict=True)]
    used = [k for k, there in enumerate(on_disk) if there] or list(range(len(names)))
    names, full, images = [names[k] for k in used], [full[k] for k in used], [model.images[k] for k in used]
    camera_models = [model.camera_model(image) for image in images]
    sizes = photograph_sizes(options, full, copies_alone(folder))
    source, paths, said = choose_files(folder, names, full, sizes)
    tell(said)
    called = view_names(names)
    used = [(k, path) for k, path in enumerate(paths) if path is not None]
    photos = [
        Photo(
            path=path,
            name=called[k],
            camera_to_world=images[k].camera_to_world,
            camera_model=camera_models[k],
            file=f"images/{printable(names[k])}",
            divisor=source.divisor,
            size=sizes[k],
        )
        for k, path in used
    ]
    images = [images[k] for k, _ in used]
    left_out = sorted({image.name for image in model.images} - {image.name for image in images})
    tell(_what_is_used(model, len(photos), left_out, source, others))
    return images, measured(photos, model.path.parent, options), source


def _what_is_used(model: ColmapModel, count: int, left_out: list[str], source: ImageFolder, others: str) -> str:
    """A line: how many photographs have a pose, how many poses have a photograph, and `others`; empty if nothing is left out."""
    files = sum(1 for _ in images_below(source.path))
    said = [f"{count} of {files} photographs in {source.path.name} have a pose"] if files > count else []
    if left_out:
        said.append(
            f"{len(left_out)} of {len(model.images)} registered images are not in {source.path.name} and left out "
            f"({printable(left_out[0])} first)"
        )
    if others:
        said.append(others)
    return f"{model.path.parent}/*{model.path.suffix}: {'; '.join(said)}" if said else ""


def _plain_points(model: ColmapModel) -> tuple[np.ndarray, np.ndarray]:
    """Ids and positions of the points without the few that lie very far from all others; empty if there are too few points."""
    ids, points = model.ids, model.points
    if len(points) < _LEAST_POINTS:
        return ids[:0], points[:0]
    with np.errstate(over="ignore"):  # infinitely far is far
        distances = np.linalg.norm(points - np.median(points, axis=0), axis=1)
    near = distances <= _FAR_POINT * np.median(distances)
    return (ids, points) if (~near).mean() > _FEW_POINTS else (ids[near], points[near])


def _box(points: np.ndarray) -> Tensor:
    """Lower and upper corner (2, 3) float32 of the box of nearly all points (P, 3), world units."""
    low, high = np.percentile(points, [_STRAYS, 100 - _STRAYS], axis=0)
    margin = _MARGIN * np.maximum(high - low, 0.01 * CAMERA_DISTANCE)  # a wall alone is flat
    return torch.from_numpy(np.stack([low - margin, high + margin])).float()


def _depths(
    photos: list[Photo], images: list[ColmapImage], ids: np.ndarray, points: np.ndarray, model: Path
) -> tuple[float, float]:
    """(near, far): depths (world units along z) that hold nearly all points that the views see; odd views do not count.

    A view sees the points that the model records for it; without such records, those inside its picture.
    """
    order, recorded, depths = np.argsort(ids), any(len(image.points) for image in images), []
    odd = odd_views(cameras_of(photos))
    for view, (photo, image) in enumerate(zip(photos, images, strict=True)):
        if view in odd:
            continue
        seen = points
        if recorded:
            found = np.searchsorted(ids, image.points, sorter=order).clip(max=len(ids) - 1)
            seen = points[order[found][ids[order[found]] == image.points]]
        right, up, backward = ((seen - photo.camera_to_world[:, 3]) @ photo.camera_to_world[:, :3]).T
        depth, k = -backward, photo.camera_model.matrix
        visible = depth > 0
        if not recorded:
            ahead = np.where(visible, depth, 1)
            column, row = k[0, 2] + k[0, 0] * right / ahead, k[1, 2] - k[1, 1] * up / ahead
            visible &= (column >= 0) & (column < photo.camera_model.width) & (row >= 0) & (row < photo.camera_model.height)
        depths.append(depth[visible])
    if not sum(map(len, depths)):
        raise InputError(f"{model}: no image has any of the points in front of it: the model is damaged")
    near, far = np.percentile(np.concatenate(depths), [_STRAYS, 100 - _STRAYS])
    return float(near), float(far)
