"""Photographs with a COLMAP sparse model -> Scene."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from datasets.bounds import meeting_point
from datasets.cameras import Cameras
from datasets.colmap_model import Picture, read_model
from datasets.find import colmap_folder
from datasets.photographs import (
    Photo,
    choose_folder,
    common_lens_size,
    hold_out,
    matching,
    missing_pictures,
    read_splits,
    with_poses,
    working_size,
)
from datasets.poses import moved, similarity
from datasets.scene import Scene
from settings.errors import InputError
from settings.options import Options

CAMERA_DISTANCE = 4.0  # world units, as in NeRF-synthetic: step sizes and other lengths keep their meaning
_STRAYS = 1.0  # % of the points at either end, along each axis and in depth, that count as mistakes of the matching
_MARGIN = 0.05  # added to the box on each side, as a share of its edge
_LEAST_UP = 0.1  # length of the cameras' mean y axis below which they agree on no upright direction


def load_colmap(folder: Path, options: Options, name: str = "") -> Scene:
    """Read a scene of photographs in `images` (or images_N, N: --factor) and a model in sparse/0, sparse or the folder itself.

    The scene is moved to the origin, scaled and turned (`standard_world`): the cameras are about 4 units from what they look
    at, with z up. Lens distortion is undone while pictures are read. Every --llffhold-th view in the order of names, from the
    first, is for testing. Bounds hold 98 % of the model's points along each axis, and 5 % more on each side; near and far
    enclose 98 % of the depths at which views see points, with 10 % to spare. `extras`: `folder`, `format`, `pictures` (the
    folder that was read), `stored_size` (of the photographs, px), `test_ids`, `testskip`, `bounds_from`, and
    `world_from_file` (4, 4): the similarity from the model's world to the scene's. Raises InputError for everything that is
    wrong with the files.
    """
    model = colmap_folder(folder)
    lenses, pictures, (ids, points) = read_model(model)
    photos = [Photo(Path(picture.name), Path(picture.name).with_suffix("").as_posix(), picture.camera_to_world,
                    lenses[picture.camera]) for picture in pictures]
    full = common_lens_size(photos, str(model))
    size = working_size(options, *full)
    source = choose_folder(folder, full[0], size)
    if source is None:
        raise missing_pictures(folder, size)
    paths = _files(source, model, pictures)

    poses = np.array([photo.camera_to_world for photo in photos])
    world = standard_world(poses, points)
    points = points @ world[:3, :3].T + world[:3, 3]
    photos = [replace(photo, path=path) for photo, path in zip(with_poses(photos, moved(poses, world)), paths, strict=True)]
    near, far = _depths(photos, pictures, ids, points, model)
    train, test = hold_out(len(photos), options.llffhold)
    test = test[:: options.testskip]
    picked = {"train": [photos[k] for k in train], "val": [], "test": [photos[k] for k in test]}
    name = name or folder.resolve().name
    splits, carving = read_splits(picked, size, options, source, name)

    low, high = np.percentile(points, [_STRAYS, 100 - _STRAYS], axis=0)
    margin = _MARGIN * np.maximum(high - low, 0.01 * CAMERA_DISTANCE)  # a wall alone is flat
    box = torch.from_numpy(np.stack([low - margin, high + margin])).float()
    extras = {"folder": str(folder), "format": "COLMAP", "pictures": str(source), "stored_size": full, "val_ids": [],
              "test_ids": test, "val_count": 0, "testskip": options.testskip, "bounds_from": "the points of the sparse model",
              "world_from_file": world.tolist()}
    return Scene(name=name, **splits, bounds=box, near=0.9 * near, far=1.1 * far, background=options.background, carving=carving,
                 extras=extras, cut_out=options.maskdir is not None and carving is None)


def standard_world(poses: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The similarity (4, 4) from a model's world, which has no scale and no direction of its own, to the scene's.

    The origin is where the optical axes of the cameras (V, 3, 4) meet, and their median distance from it becomes 4. Where
    the axes do not meet, it is the median of the points (P, 3), and the median distance between cameras and points becomes 4.
    z is the cameras' mean y axis; the other two are any. Axes stay as they are where the cameras agree on no upright.
    """
    views = Cameras(torch.eye(3).expand(len(poses), 3, 3), torch.from_numpy(poses), 1, 1)
    center, some = meeting_point(views), points[:: -(-len(points) // 1000)]
    if center is not None:
        center = center.numpy()
        distance = np.median(np.linalg.norm(poses[:, :, 3] - center, axis=1))
    else:
        center = np.median(points, axis=0)
        distance = np.median(np.linalg.norm(poses[:, None, :, 3] - some, axis=2))
    up = poses[:, :, 1].mean(0)
    if np.linalg.norm(up) < _LEAST_UP:
        return similarity(CAMERA_DISTANCE / distance, center=center)
    up /= np.linalg.norm(up)
    first = np.cross(np.eye(3)[np.abs(up).argmin()], up)
    first /= np.linalg.norm(first)
    return similarity(CAMERA_DISTANCE / distance, np.stack([first, np.cross(up, first), up]), center)


def _files(source: Path, model: Path, pictures: list[Picture]) -> list[Path]:
    """The images' files in `source`; InputError names the first that is missing."""
    paths = matching(source, [picture.name for picture in pictures])
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise InputError(f"{missing[0]} is missing, as are {len(missing) - 1} more of the {len(paths)} images that {model} "
                         f"names: put them into {source}")
    return paths


def _depths(photos: list[Photo], pictures: list[Picture], ids: np.ndarray, points: np.ndarray,
            model: Path) -> tuple[float, float]:
    """Depths (world units along z) that all but a few of the points that views see lie between.

    A view sees the points that the model says were found in it; in a model without such records, those inside its picture.
    """
    order, recorded, depths = np.argsort(ids), any(len(picture.points) for picture in pictures), []
    for photo, picture in zip(photos, pictures, strict=True):
        seen = points
        if recorded:
            places = np.searchsorted(ids, picture.points, sorter=order).clip(max=len(ids) - 1)
            seen = points[order[places][ids[order[places]] == picture.points]]
        right, up, backward = ((seen - photo.camera_to_world[:, 3]) @ photo.camera_to_world[:, :3]).T
        depth, lens = -backward, photo.lens
        visible = depth > 0
        if not recorded:
            ahead = np.where(visible, depth, 1)
            column, row = lens.cx + lens.fx * right / ahead, lens.cy - lens.fy * up / ahead
            visible &= (column >= 0) & (column < lens.width) & (row >= 0) & (row < lens.height)
        depths.append(depth[visible])
    if not sum(map(len, depths)):
        raise InputError(f"{model}: no image sees any of the points before it: the model is damaged")
    near, far = np.percentile(np.concatenate(depths), [_STRAYS, 100 - _STRAYS])
    return float(near), float(far)
