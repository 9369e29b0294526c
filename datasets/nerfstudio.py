"""Scenes with one transforms.json for all photographs, as nerfstudio and instant-ngp write it -> Scene."""

import math
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from datasets.bounds import depth_range, odd_views, scene_box
from datasets.file_names import find_files, image_files, normal, shown
from datasets.image_files import read_header
from datasets.image_folders import choose_files, image_folders
from datasets.lenses import Lens
from datasets.nerfstudio_splits import split_views
from datasets.orientation import stated_size, turns
from datasets.photographs import Photo, cameras_of, fitted, read_splits, stored_size, tell_odd_views
from datasets.scene import Scene
from datasets.sizes import Size, photograph_sizes
from datasets.transforms import View, frame_files, intrinsics, read_json, read_views
from datasets.transforms_keys import unused_entries
from settings.errors import InputError
from settings.options import Options
from system.progress import tell

FILE = "transforms.json"
# The camera models that are supported, and the projections of their lenses.
MODELS = {
    **dict.fromkeys(("PINHOLE", "SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV", "PERSPECTIVE", "FULL_OPENCV"), "radial"),
    **dict.fromkeys(("OPENCV_FISHEYE", "SIMPLE_RADIAL_FISHEYE", "RADIAL_FISHEYE"), "fisheye"),
}
NGP_SCALE, NGP_OFFSET = 0.33, 0.5  # instant-ngp's world from the file's, where the file does not say: p -> scale p + offset
_OTHER_LENSES = ("ftheta_p0", "latlong", "equirectangular")  # other projections, by instant-ngp's keys
_COEFFICIENTS = {
    "FULL_OPENCV": ("k1", "k2", "k3", "k4", "k5", "k6", "p1", "p2"),
    "fisheye": ("k1", "k2", "k3", "k4"),
    "radial": ("k1", "k2", "k3", "p1", "p2"),
}


def load_nerfstudio(folder: Path, options: Options, name: str = "") -> Scene:
    """Read a scene of photographs and one transforms.json; the world is the file's.

    Views are sorted by file name. Lenses may be stated for the file or for a frame; distortion is undone while pictures are
    read: k1, k2, k3, p1, p2 of a pinhole, k1 to k4 of a fisheye (`Lens.zoom` says which part of its picture is kept). Photographs
    that are not on disk are left out, with a line on stderr, as are entries of the file that are not used. Masks that frames name
    as mask_path are used as those of --maskdir. The file's lists train_filenames, val_filenames, test_filenames decide the
    splits; without them every --llffhold-th view, from the first, is for testing. Files in a folder `images` are replaced by
    those of `images_N` where that is there (N: --factor).

    Bounds are instant-ngp's box where the file says aabb_scale (`ngp_box`), else found from the cameras. `extras`: `folder`,
    `format`, `stored_size` (of the photographs, px), `missing_images` (how many), `test_ids` (of the photographs that are
    there), `testskip`, `bounds_from`. Raises InputError for everything that is wrong with the files.
    """
    path = folder / FILE
    top = read_json(path, "nerfstudio and instant-ngp keep a scene's cameras there")
    if empty := [k for k, frame in enumerate(top["frames"]) if frame is None]:
        tell(f"{path}: {len(empty)} of {len(top['frames'])} frames are null and left out, frame {empty[0]} first")
        top["frames"] = [frame for frame in top["frames"] if frame is not None]
    if not top["frames"]:
        raise InputError(f"{path} lists no frames")
    tell(unused_entries(top, path))
    files = _listed_once(top, path)
    views, divisor = _views_on_disk(folder, top, path, files)
    views.sort(key=lambda view: normal(view.frame["file_path"]))
    headers = [read_header(view.path) for view in views]
    ways = turns(headers, [stated_size(view.lens) for view in views], options.orientation, path)
    views = [_with_size(view, header.size(way), divisor) for view, header, way in zip(views, headers, ways, strict=True)]
    photos = [_photo(view, top, header.size(way), way) for view, header, way in zip(views, headers, ways, strict=True)]
    missing = len(files) - len(photos)
    if missing:
        there = {photo.file for photo in photos}
        first = next(file for file in files if file not in there)
        tell(f"{path}: {missing} of {len(files)} images are missing and left out ({shown(first)} first)")
    full = [photo.full for photo in photos]
    sizes = photograph_sizes(options, full, [divisor] if divisor > 1 else [])
    photos = [replace(photo, size=size) for photo, size in zip(photos, sizes, strict=True)]
    turned = any(header.orientation > 1 for header in headers)
    photos = fitted(_smaller(photos, folder), path, options, turns_told=turned)
    _tell_without_pose(photos, folder, top, path)
    photos = _with_masks(photos, folder, views, path, options)
    tell_odd_views(cameras_of(photos), [photo.name for photo in photos], path)
    picked, test = split_views(top, path, files, photos, options)
    name = name or folder.resolve().name
    read = read_splits(picked, options, folder, name)

    if "aabb_scale" in top:
        bounds, bounds_from = ngp_box(top, path), f"aabb_scale of {FILE}"
    else:
        bounds, bounds_from = scene_box(read.splits["train"].cameras)
    odd = {photos[view].name for view in odd_views(cameras_of(photos))}
    ranges = [
        depth_range(bounds, cameras_of(kept))
        for split in picked.values()
        if (kept := [photo for photo in split if photo.name not in odd])
    ]
    extras = {
        "folder": str(folder),
        "format": "transforms.json",
        "stored_size": stored_size(photos),
        "missing_images": missing,
        "val_ids": [],
        "test_ids": test,
        "val_count": 0,
        "testskip": options.testskip,
        "bounds_from": bounds_from,
    }
    return Scene(
        name,
        *read.in_order(),
        bounds=bounds,
        near=min(near for near, _ in ranges),
        far=max(far for _, far in ranges),
        background=options.scene_background,
        carving=read.carving,
        extras=extras,
        cut_out=read.cut_out,
    )


def ngp_box(top: dict, path: Path) -> Tensor:
    """Lower and upper corner (2, 3) float32, in the file's world, of the box that instant-ngp learns.

    instant-ngp maps a point p to scale p + offset (0.33 and 0.5, unless the file says otherwise) and learns the cube of
    side aabb_scale around (0.5, 0.5, 0.5): with aabb_scale 1 that is [-1.515, 1.515]^3. Raises InputError for values that
    are not finite and positive numbers, and an offset that is not one or three numbers.
    """
    side, scale, offset = top["aabb_scale"], top.get("scale", NGP_SCALE), top.get("offset", NGP_OFFSET)
    for key, value in (("aabb_scale", side), ("scale", scale)):
        if not _is_number(value) or value <= 0:
            raise InputError(f"{path}: {key} is {value!r}, not a finite positive number")
    offset = offset if isinstance(offset, list) else [offset] * 3
    if len(offset) != 3 or not all(map(_is_number, offset)):
        raise InputError(f"{path}: offset is {top['offset']!r}, not three finite numbers")
    middle = 0.5 - torch.tensor(offset, dtype=torch.float64)
    return (torch.stack([middle - side / 2, middle + side / 2]) / scale).float()


def _listed_once(top: dict, path: Path) -> list[str]:
    """The file of each frame. Frames whose photograph an earlier one has are left out of `top`, with a line: such a photograph
    could be both a training and a test view."""
    files = frame_files(top, path)
    first = {file: k for k, file in reversed([*enumerate(files)])}
    twice = [k for k, file in enumerate(files) if first[file] != k]
    if twice:
        tell(
            f"{path}: {len(twice)} of {len(files)} frames name a photograph that an earlier frame names, and are left out "
            f"(frame {twice[0]} first, {shown(files[twice[0]])})"
        )
        top["frames"] = [top["frames"][k] for k in sorted(first.values())]
    return frame_files(top, path)


def _views_on_disk(folder: Path, top: dict, path: Path, files: list[str]) -> tuple[list[View], int]:
    """(the frames whose photographs are there, 1); if none is, (those with smaller copies in a folder images_N, N)."""
    views = read_views(folder, top, path, there=True)
    if not views and all(file.startswith("images/") for file in files):
        for copies in image_folders(folder):
            found, _ = copies.find([file.removeprefix("images/") for file in files])
            views = [replace(view, path=found[k]) for k, view in enumerate(read_views(folder, top, path)) if found[k] is not None]
            if views:
                return views, copies.divisor
    if not views:
        raise InputError(f"{path} lists {len(files)} images, and none of them is there: {folder / shown(files[0])} is the first")
    return views, 1


def _with_size(view: View, stored: Size, divisor: int) -> View:
    """The frame with the photograph's w and h, if the file does not say them: so many times those of its copy."""
    return replace(view, lens={"w": divisor * stored[0], "h": divisor * stored[1]} | view.lens) if divisor > 1 else view


def _projection(view: View, top: dict) -> tuple[str, tuple[str, ...]]:
    """The projection of a frame's lens and the names of its coefficients; InputError for a camera that is not supported."""
    said = {key: view.frame.get(key, top.get(key)) for key in ("camera_model", "is_fisheye", "fisheye", *_OTHER_LENSES)}
    model = said["camera_model"] or "OPENCV"
    known = isinstance(model, str) and model in MODELS
    wrong = next((key for key in _OTHER_LENSES if said[key]), None) if known else model
    if wrong is not None:
        raise InputError(
            f"{view.where}: the camera model {wrong} is not supported: choose one of {', '.join(MODELS)}, or "
            "undistort the images first"
        )
    projection = "fisheye" if said["is_fisheye"] or said["fisheye"] else MODELS[model]
    return projection, _COEFFICIENTS[model if model in _COEFFICIENTS and projection == "radial" else projection]


def _photo(view: View, top: dict, stored: Size, turn: int) -> Photo:
    """A frame with its lens, for a photograph of the size that the file says (w, h), else of its image's size after its turn."""
    projection, names = _projection(view, top)
    width, height = size = stored
    if "w" in view.lens and "h" in view.lens and all(_is_number(view.lens[key]) for key in ("w", "h")):
        size = round(view.lens["w"]), round(view.lens["h"])
    matrix = intrinsics(view, width, height)  # checks w and h against the image's own size
    for key, value in view.distortion.items():
        if not _is_number(value):
            raise InputError(f"{view.where}: {key} is {value!r}, not a finite number")
        if key not in names:
            raise InputError(
                f"{view.where} has lens distortion {key}, which is not supported for its camera model: undistort the images first"
            )
    fx, fy, cx, cy = matrix[[0, 1, 0, 1], [0, 1, 2, 2]].tolist()
    lens = Lens(fx, fy, cx, cy, width, height, projection=projection, **view.distortion)
    lens.check(view.where)
    return Photo(
        path=view.path,
        name=view.name,
        camera_to_world=view.camera_to_world,
        lens=lens.scaled(*size),
        file=normal(view.frame["file_path"]),
        turn=turn,
    )


def _smaller(photos: list[Photo], folder: Path) -> list[Photo]:
    """The photos with the files of `images_N` in place of those of `images`, where that folder serves better."""
    images = next((parent for parent in photos[0].path.parents if parent.name == "images"), None)
    if images is not None and all(photo.path.is_relative_to(images) for photo in photos):
        root, names = images.parent, [photo.path.relative_to(images).as_posix() for photo in photos]
    elif all(photo.file.startswith("images/") for photo in photos):
        root, names = folder, [photo.file.removeprefix("images/") for photo in photos]
    else:
        return photos
    source, paths, said = choose_files(root, names, [photo.full for photo in photos], [photo.size for photo in photos])
    tell(said)
    return [
        photo if path in (None, photo.path) else replace(photo, path=path, divisor=source.divisor, turn=None)
        for photo, path in zip(photos, paths, strict=True)
    ]


def _tell_without_pose(photos: list[Photo], folder: Path, top: dict, path: Path) -> None:
    """A line if there are photographs, in the folders of those that are read, that the file has no pose of."""
    others = {
        folder / normal(frame[key])
        for frame in top["frames"]
        for key in ("mask_path", "depth_file_path", "file_path")
        if isinstance(frame.get(key), str)
    }
    used = others | {photo.path for photo in photos}
    left = sorted(
        file for parent in {photo.path.parent for photo in photos} - {folder} for file in image_files(parent) if file not in used
    )
    if left:
        tell(f"{path}: {len(photos)} of {len(photos) + len(left)} photographs have a pose, {left[0].name} has none")


def _with_masks(photos: list[Photo], folder: Path, views: list[View], path: Path, options: Options) -> list[Photo]:
    """The photos with the masks that their frames name, unless none of them is there or no masks are wanted.

    Raises InputError if only some frames name one, one is no name, or some of the masks are missing.
    """
    named = [view.frame.get("mask_path") for view in views]
    if options.no_masks:
        return photos
    for view, mask in zip(views, named, strict=True):
        if not isinstance(mask, str | None):
            raise InputError(f"{view.where}: mask_path is {mask!r:.60}, not the name of a file: correct it, or give --no_masks")
    named = [normal(mask) if mask and mask.strip() else None for mask in named]
    if not any(named):
        return photos
    if options.maskdir is not None:
        return [replace(photo, mask=folder / mask) if mask else photo for photo, mask in zip(photos, named, strict=True)]
    for view, mask in zip(views, named, strict=True):
        if mask is None:
            raise InputError(
                f"{view.where} has no mask_path, and others have: give one to all frames or to none, or give --no_masks"
            )
    found = find_files(folder, [mask for mask in named if mask])
    if not any(found):
        tell(f"{path}: none of the {len(named)} masks that frames name as mask_path is there ({named[0]} first): none is used")
        return photos
    for view, mask, file in zip(views, named, found, strict=True):
        if file is None:
            raise InputError(f"{view.where}: its mask {folder / str(mask)} is missing: put it there, or give --no_masks")
    tell(f"{path}: the masks that frames name as mask_path say what is learned; --no_masks does without them")
    return [replace(photo, mask=file) for photo, file in zip(photos, found, strict=True)]


def _is_number(value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
