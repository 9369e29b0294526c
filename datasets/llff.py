"""LLFF scenes: photographs with poses_bounds.npy, taken from one side of a scene or, with --spherify, around an object.

The file holds a row of 17 numbers for each photograph, in the order of the sorted names: a (3, 5) matrix of the axes down, right
and backwards, the camera's centre, and height, width and focal length in px; then the depths of the nearest and of the farthest
content. They are used as in nerf-pytorch (`load_llff.py`; Mildenhall et al. 2019 and 2020).
"""

from pathlib import Path

import numpy as np
import torch

from datasets.bounds import meeting_point, odd_views, scene_box, seen_box
from datasets.camera_models import CameraModel
from datasets.cameras import Cameras
from datasets.file_names import image_files, view_names
from datasets.image_folders import copies_alone, image_folders, missing_pictures
from datasets.paths import cameras_on_path, circle, spiral
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
from datasets.poses import average_pose, checked_pose, similarity, transformed_poses
from datasets.scene import Scene
from datasets.sizes import Size, photograph_sizes, shrink_factor
from datasets.smaller_copies import check_names, make_copies
from settings.errors import InputError
from settings.options import Options
from system.progress import tell
from system.reading import reading

FILE = "poses_bounds.npy"
BOUND_FACTOR = 0.75  # the nearest content lies at 1 / 0.75 world units, so that the NDC's plane at 1 is in front of it
MARGIN = 0.9  # near, as a fraction of the nearest bound
_UNUSUAL = 4.0  # factor from the median of all photographs beyond which a bound is unusual
_FEW, _LEAST = 0.1, 5  # fraction of the photographs whose bounds may be unusual; photographs below which none are


def load_llff(folder: Path, options: Options, name: str = "") -> Scene:
    """Read a scene of photographs and poses_bounds.npy.

    Without --spherify the world is the cameras' average pose, scaled so that the nearest bound is 4/3: the cameras look
    down -z, and rays belong in normalised device coordinates (`Scene.forward_facing`) unless --no_ndc is given. With it, the
    origin is the point that the cameras look at, z is up, and the cameras are at distance 1 (root mean square). `render_path` is
    nerf-pytorch's: a spiral of 120 views in 2 turns, or the circle of 120 views. near is 0.9 of the nearest bound, far the
    farthest, in world units.

    Bounds and poses that are unlike all others do not count there (`_usual_bounds`, `odd_views`). Pictures are those in images_N
    (N: --factor), which is made from `images` if it is missing (`make_copies`). Every --llffhold-th view, from the first, is for
    testing; there is no validation split. `extras`: `folder`, `format`, `pictures` (the folder that was read), `stored_size` (of
    the photographs, px), `test_ids`, `testskip`, `bounds_from`, and `world_from_file` (4, 4): the similarity from the file's
    world to the scene's. Raises InputError, naming the file, for missing and damaged files.
    """
    file = folder / FILE
    matrices, bounds, camera_models = read_poses_bounds(file)
    photos = measured(_photos(folder, options, matrices, camera_models), file, options)
    names = [photo.name for photo in photos]
    pictures = photos[0].path.parent
    tell_odd_views(cameras_of(photos), names, file)
    odd = odd_views(cameras_of(photos))
    usual = [view for view in range(len(photos)) if view not in odd]
    bounds = _usual_bounds(bounds, names, odd, file)

    world = _world(matrices[usual], bounds.min(), options)
    poses, bounds = transformed_poses(matrices, world), bounds * np.cbrt(np.linalg.det(world[:3, :3]))
    backward = [name for name, pose, camera in zip(names, poses, camera_models, strict=True) if not _looks_down(pose, camera)]
    if backward and not (options.spherify or options.no_ndc):
        raise InputError(
            f"{folder}: {len(backward)} of the {len(photos)} cameras have rays that point backwards ({backward[0]} first), where "
            "normalised device coordinates do not exist: give --spherify for photographs around an object, or --no_ndc"
        )

    photos = with_poses(photos, poses)
    train, test = hold_out(len(photos), options.llffhold, file, len(photos))
    test = test[:: options.testskip]
    picked = {"train": [photos[k] for k in train], "val": [], "test": [photos[k] for k in test]}
    name = name or folder.resolve().name
    read = read_splits(picked, options, folder, name)
    cameras = read.splits["train"].cameras
    if options.spherify:
        path = cameras_on_path(circle(poses[usual]), cameras)
        box, box_from = scene_box(cameras)
    else:
        path = None if backward else cameras_on_path(spiral(poses[usual], bounds.min(), bounds.max()), cameras)
        rows = [row for row, view in enumerate(train) if view not in odd]
        box = seen_box(cameras[rows], *torch.from_numpy(bounds[train][rows]).T)
        box_from = "what the cameras see between their nearest and farthest content"
    extras = {
        "folder": str(folder),
        "format": "LLFF",
        "pictures": str(pictures),
        "stored_size": common_or_largest_size(photos),
        "val_ids": [],
        "test_ids": test,
        "val_count": 0,
        "testskip": options.testskip,
        "bounds_from": box_from,
        "world_from_file": world.tolist(),
    }
    return Scene(
        name,
        *read.in_order(),
        bounds=box,
        near=float(MARGIN * bounds.min()),
        far=float(bounds.max()),
        background=options.scene_background,
        carving=read.carving,
        extras=extras,
        cut_out=read.cut_out,
        forward_facing=not (options.no_ndc or options.spherify),
        render_path=path,
    )


def _photos(folder: Path, options: Options, matrices: np.ndarray, camera_models: list[CameraModel]) -> list[Photo]:
    """The photographs in the file's order, at the sizes that the options ask for."""
    full = [(camera.width, camera.height) for camera in camera_models]
    sizes = photograph_sizes(options, full, copies_alone(folder))
    paths, divisor = _pictures(folder, options, full, sizes)
    names = view_names([path.name for path in paths])
    return [
        Photo(
            path=path,
            name=called,
            camera_to_world=matrix,
            camera_model=camera,
            file=f"images/{path.name}",
            divisor=divisor,
            size=size,
        )
        for path, called, matrix, camera, size in zip(paths, names, matrices, camera_models, sizes, strict=True)
    ]


def _world(matrices: np.ndarray, nearest: float, options: Options) -> np.ndarray:
    """The similarity (4, 4) from the file's world to the scene's, by the usual cameras (V, 3, 4) and the nearest bound."""
    world = similarity(1 / (BOUND_FACTOR * nearest))
    if options.spherify:
        return _around(transformed_poses(matrices, world)) @ world
    average = average_pose(transformed_poses(matrices, world))
    return similarity(1.0, average[:, :3].T, average[:, 3]) @ world


def read_poses_bounds(path: Path) -> tuple[np.ndarray, np.ndarray, list[CameraModel]]:
    """Camera-to-world matrices (V, 3, 4) in OpenGL axes, depths of the nearest and farthest content (V, 2), and camera models.

    All in the file's world units. Raises InputError if the file is missing or not an array of numbers (V, 17), and for poses
    that are not rigid, camera parameters that are not valid, and bounds that are not finite with 0 < nearest < farthest.
    """
    with reading(path, "cannot be read as a NumPy array: the file is damaged", "an LLFF scene has its poses there"):
        rows = np.load(path, mmap_mode="r", allow_pickle=False)  # takes no memory for a shape that the file does not hold
    if not isinstance(rows, np.ndarray) or rows.ndim != 2 or rows.shape[1] != 17 or not len(rows) or rows.dtype.kind not in "fiu":
        shape = "x".join(map(str, getattr(rows, "shape", ()))) or "no"
        raise InputError(
            f"{path} holds {shape} values of type {getattr(rows, 'dtype', '?')}, not N rows of 17 numbers, one for "
            "each photograph"
        )
    rows = np.array(rows, np.float64)
    poses, camera_models = [], []
    for k, row in enumerate(rows):
        where, matrix = f"{path}, row {k}", row[:15].reshape(3, 5)
        nearest, farthest = row[15:]
        if not (np.isfinite(row[15:]).all() and 0 < nearest < farthest):
            raise InputError(f"{where}: the bounds {nearest:g} and {farthest:g} are not two finite depths, the nearest above 0")
        height, width, focal = matrix[:, 4]
        if not (np.isfinite(matrix[:, 4]).all() and min(width, height) >= 1 and focal > 0):
            raise InputError(f"{where}: height {height:g}, width {width:g} and focal length {focal:g} are not those of a camera")
        down, right, backward, center = matrix[:, :4].T
        poses.append(checked_pose(np.stack([right, -down, backward, center], axis=1), where, "its pose"))
        camera_models.append(CameraModel(focal, focal, width / 2, height / 2, round(width), round(height)))
    return np.array(poses), rows[:, 15:], camera_models


def _pictures(folder: Path, options: Options, full: list[Size], sizes: list[Size]) -> tuple[list[Path], int]:
    """(the files to read, sorted by name, one for each pose; N, if they are copies at 1/N of the photographs).

    They are those of the first of the `image_folders` with as many files as poses; in images_N all must be 1/N of their
    photographs. Copies for --factor are made if they are missing.
    """
    folders, wrong = image_folders(folder, full, sizes), []
    if not folders:
        raise missing_pictures(folder, sizes)
    for source in folders:
        paths = image_files(source.path)
        if len(paths) == len(full):
            problem = source.wrong_copy(paths, full)
        else:
            problem = f"{folder / FILE} has poses of {len(full)} photographs, but {source.path} holds {len(paths)} images: " + (
                "put back those that are missing, or estimate the poses again"
                if source.divisor == 1
                else "put back those that are missing, or remove the folder to have it made from `images`"
            )
        if not problem:
            tell(f"{wrong[0]}; {source.path.name} is read" if wrong else "")
            check_names(source.path, folder / "images")
            break
        wrong.append(problem)
    else:
        raise InputError(wrong[0])
    factor = shrink_factor(options, full, copies_alone(folder))
    one_size = len(set(full)) == 1 and (options.img_s is None or options.half_res)
    smaller = folder / f"images_{factor}"
    if source.divisor == 1 and factor > 1 and one_size and make_copies(paths, smaller, *sizes[0], options.threads):
        return image_files(smaller), factor
    return paths, source.divisor


def _usual_bounds(bounds: np.ndarray, names: list[str], odd: list[int], path: Path) -> np.ndarray:
    """The bounds (V, 2), with unusual ones replaced by the nearest, or the farthest, of the usual ones. stderr names them.

    A bound is unusual if it is below a quarter of the median, or above 4 times it. If more than a tenth would be (and more than
    one), all are usual. The bounds of odd views are unusual too. With fewer than 5 photographs all are usual.
    """
    usual = np.ones(bounds.shape, bool)
    usual[odd] = False
    if len(bounds) < _LEAST:
        return bounds
    middle = np.median(bounds, axis=0)
    unusual = np.stack([bounds[:, 0] * _UNUSUAL < middle[0], bounds[:, 1] > _UNUSUAL * middle[1]], axis=1)
    for column in range(2):
        if unusual[:, column].sum() <= max(1, _FEW * len(bounds)):
            usual[:, column] &= ~unusual[:, column]
    for row in np.flatnonzero(~usual.all(1)):
        if row not in odd:
            tell(
                f"{path}, row {row}: the bounds {bounds[row, 0]:g} and {bounds[row, 1]:g} of {names[row]} are unlike the "
                f"others' (medians {middle[0]:g} and {middle[1]:g}): the scene's scale, near and far are found without them"
            )
    found = bounds.copy()
    found[~usual[:, 0], 0], found[~usual[:, 1], 1] = bounds[usual[:, 0], 0].min(), bounds[usual[:, 1], 1].max()
    return found


def _looks_down(pose: np.ndarray, camera: CameraModel) -> bool:
    """Whether the rays through all pixels of a camera (3, 4) go down the world's z axis."""
    x, y = (
        np.array([-camera.cx, camera.width - camera.cx]) / camera.fx,
        np.array([camera.cy, camera.cy - camera.height]) / camera.fy,
    )
    return bool((pose[2, 0] * x[:, None] + pose[2, 1] * y).max() < pose[2, 2])


def _around(poses: np.ndarray) -> np.ndarray:
    """The similarity (4, 4) that moves the point that the cameras (V, 3, 4) look at to the origin, and the cameras to distance 1.

    z points from there to the mean of the cameras; the other axes are arbitrary (nerf-pytorch's `spherify_poses`). Raises
    InputError if the cameras do not look at one point.
    """
    views = Cameras(torch.eye(3).expand(len(poses), 3, 3), torch.from_numpy(poses), 1, 1)
    center = meeting_point(views)
    if center is None:
        raise InputError(
            "--spherify needs cameras that look at one object from around it, but these look in one direction, or "
            "past each other: drop it"
        )
    center = center.numpy()
    offsets = poses[:, :, 3] - center
    up = offsets.mean(0)
    if np.linalg.norm(up) < 1e-3 * np.linalg.norm(offsets, axis=1).mean():  # all around the object: the mean gives no direction
        up = poses[:, :, 1].sum(0)
    up = up / np.linalg.norm(up)
    first = np.cross([0.1, 0.2, 0.3], up)
    first /= np.linalg.norm(first)
    rotation = np.stack([first, np.cross(up, first), up])
    return similarity(1 / np.sqrt((offsets**2).sum(1).mean()), rotation, center)
