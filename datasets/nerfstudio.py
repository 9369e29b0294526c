"""Scenes with one transforms.json for all photographs, as nerfstudio and instant-ngp write it -> Scene."""

import math
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from datasets.bounds import near_and_far, odd_views, scene_box
from datasets.camera_models import CameraModel
from datasets.file_names import find_files, image_files, normalised, printable
from datasets.image_files import read_header
from datasets.image_folders import choose_files, image_folders
from datasets.nerfstudio_splits import split_views
from datasets.orientation import stated_size, turns
from datasets.photographs import Photo, cameras_of, common_or_largest_size, measured, read_splits, tell_odd_views
from datasets.scene import Scene
from datasets.sizes import Size, photograph_sizes
from datasets.transforms import Frame, frame_files, intrinsics, read_frames, read_transforms_file
from datasets.transforms_keys import unused_entries
from settings.errors import InputError
from settings.options import Options
from system.progress import tell

FILE = "transforms.json"
# The supported camera models and their projections.
MODELS = {
    **dict.fromkeys(("PINHOLE", "SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV", "PERSPECTIVE", "FULL_OPENCV"), "radial"),
    **dict.fromkeys(("OPENCV_FISHEYE", "SIMPLE_RADIAL_FISHEYE", "RADIAL_FISHEYE"), "fisheye"),
}
NGP_SCALE, NGP_OFFSET = 0.33, 0.5  # instant-ngp's world is scale p + offset; the defaults, if the file does not say them
_OTHER_PROJECTIONS = ("ftheta_p0", "latlong", "equirectangular")  # by instant-ngp's keys
_COEFFICIENTS = {
    "FULL_OPENCV": ("k1", "k2", "k3", "k4", "k5", "k6", "p1", "p2"),
    "fisheye": ("k1", "k2", "k3", "k4"),
    "radial": ("k1", "k2", "k3", "p1", "p2"),
}


def load_nerfstudio(folder: Path, options: Options, name: str = "") -> Scene:
    """Read a scene of photographs and one transforms.json; the world is the file's.

    Views are sorted by file name. Intrinsics may be stated for the file or for a frame. Distortion is undone while pictures are
    read: k1, k2, k3, p1, p2 of a pinhole, k1 to k4 of a fisheye (`CameraModel.zoom` says which part of its picture is kept).
    Photographs that are not on disk are left out, with a line on stderr. Another line names entries that are not used. Masks that
    frames name as mask_path are used like those of --maskdir. The file's lists train_filenames, val_filenames, test_filenames
    decide the splits; without them every --llffhold-th view, from the first, is for testing. If there is a folder `images_N`
    (N: --factor), its files replace those in `images`.

    Bounds are instant-ngp's box if the file says aabb_scale (`ngp_box`), else found from the cameras. `extras`: `folder`,
    `format`, `stored_size` (of the photographs, px), `missing_images` (how many), `test_ids` (of the photographs on disk),
    `testskip`, `bounds_from`. Raises InputError, naming the file, for missing and damaged files.
    """
    path = folder / FILE
    top = read_transforms_file(path, "nerfstudio and instant-ngp keep a scene's cameras there")
    if empty := [k for k, frame in enumerate(top["frames"]) if frame is None]:
        tell(f"{path}: {len(empty)} of {len(top['frames'])} frames are null and left out, frame {empty[0]} first")
        top["frames"] = [frame for frame in top["frames"] if frame is not None]
    if not top["frames"]:
        raise InputError(f"{path} lists no frames")
    tell(unused_entries(top, path))
    files = _listed_once(top, path)
    frames, divisor = _frames_on_disk(folder, top, path, files)
    frames.sort(key=lambda frame: normalised(frame.entries["file_path"]))
    headers = [read_header(frame.path) for frame in frames]
    ways = turns(headers, [stated_size(frame.intrinsics) for frame in frames], options.orientation, path)
    frames = [_with_size(frame, header.size(way), divisor) for frame, header, way in zip(frames, headers, ways, strict=True)]
    photos = [_photo(frame, top, header.size(way), way) for frame, header, way in zip(frames, headers, ways, strict=True)]
    missing = len(files) - len(photos)
    if missing:
        there = {photo.file for photo in photos}
        first = next(file for file in files if file not in there)
        tell(f"{path}: {missing} of {len(files)} images are missing and left out ({printable(first)} first)")
    full = [photo.full for photo in photos]
    sizes = photograph_sizes(options, full, [divisor] if divisor > 1 else [])
    photos = [replace(photo, size=size) for photo, size in zip(photos, sizes, strict=True)]
    turned = any(header.orientation > 1 for header in headers)
    photos = measured(_smaller(photos, folder), path, options, turns_told=turned)
    _tell_without_pose(photos, folder, top, path)
    photos = _with_masks(photos, folder, frames, path, options)
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
        near_and_far(bounds, cameras_of(kept))
        for split in picked.values()
        if (kept := [photo for photo in split if photo.name not in odd])
    ]
    extras = {
        "folder": str(folder),
        "format": "transforms.json",
        "stored_size": common_or_largest_size(photos),
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
    """The file of each frame. Frames that name the photograph of an earlier frame are removed from `top`, with a line on stderr:
    such a photograph could be both a training and a test view."""
    files = frame_files(top, path)
    first = {file: k for k, file in reversed([*enumerate(files)])}
    twice = [k for k, file in enumerate(files) if first[file] != k]
    if twice:
        tell(
            f"{path}: {len(twice)} of {len(files)} frames name a photograph that an earlier frame names, and are left out "
            f"(frame {twice[0]} first, {printable(files[twice[0]])})"
        )
        top["frames"] = [top["frames"][k] for k in sorted(first.values())]
    return frame_files(top, path)


def _frames_on_disk(folder: Path, top: dict, path: Path, files: list[str]) -> tuple[list[Frame], int]:
    """(the frames whose photographs are on disk, 1). If there are none: (those with smaller copies in a folder images_N, N)."""
    frames = read_frames(folder, top, path, on_disk=True)
    if not frames and all(file.startswith("images/") for file in files):
        for copies in image_folders(folder):
            found, _ = copies.find([file.removeprefix("images/") for file in files])
            frames = [
                replace(frame, path=found[k]) for k, frame in enumerate(read_frames(folder, top, path)) if found[k] is not None
            ]
            if frames:
                return frames, copies.divisor
    if not frames:
        first = folder / printable(files[0])
        raise InputError(f"{path} lists {len(files)} images, but none of them exists: {first} is the first")
    return frames, 1


def _with_size(frame: Frame, stored: Size, divisor: int) -> Frame:
    """The frame with the photograph's w and h: those that the file says, else those of its copy times `divisor`."""
    size = {"w": divisor * stored[0], "h": divisor * stored[1]}
    return replace(frame, intrinsics=size | frame.intrinsics) if divisor > 1 else frame


def _projection(frame: Frame, top: dict) -> tuple[str, tuple[str, ...]]:
    """The projection of a frame's camera model and the names of its coefficients. Raises InputError for an unsupported model."""
    said = {key: frame.entries.get(key, top.get(key)) for key in ("camera_model", "is_fisheye", "fisheye", *_OTHER_PROJECTIONS)}
    model = said["camera_model"] or "OPENCV"
    known = isinstance(model, str) and model in MODELS
    wrong = next((key for key in _OTHER_PROJECTIONS if said[key]), None) if known else model
    if wrong is not None:
        raise InputError(
            f"{frame.where}: the camera model {wrong} is not supported: choose one of {', '.join(MODELS)}, or "
            "undistort the images first"
        )
    projection = "fisheye" if said["is_fisheye"] or said["fisheye"] else MODELS[model]
    return projection, _COEFFICIENTS[model if model in _COEFFICIENTS and projection == "radial" else projection]


def _photo(frame: Frame, top: dict, stored: Size, turn: int) -> Photo:
    """A frame with its camera model, for a photograph of the size that the file says (w, h), else of its image after the turn."""
    projection, names = _projection(frame, top)
    width, height = size = stored
    if "w" in frame.intrinsics and "h" in frame.intrinsics and all(_is_number(frame.intrinsics[key]) for key in ("w", "h")):
        size = round(frame.intrinsics["w"]), round(frame.intrinsics["h"])
    matrix = intrinsics(frame, width, height)  # checks w and h against the image's own size
    for key, value in frame.distortion.items():
        if not _is_number(value):
            raise InputError(f"{frame.where}: {key} is {value!r}, not a finite number")
        if key not in names:
            raise InputError(
                f"{frame.where} has lens distortion {key}, which is not supported for its camera model: "
                "undistort the images first"
            )
    fx, fy, cx, cy = matrix[[0, 1, 0, 1], [0, 1, 2, 2]].tolist()
    camera = CameraModel(fx, fy, cx, cy, width, height, projection=projection, **frame.distortion)
    camera.check(frame.where)
    return Photo(
        path=frame.path,
        name=frame.name,
        camera_to_world=frame.camera_to_world,
        camera_model=camera.scaled(*size),
        file=normalised(frame.entries["file_path"]),
        turn=turn,
    )


def _smaller(photos: list[Photo], folder: Path) -> list[Photo]:
    """The photos with the files of `images_N` instead of those of `images`, if `choose_files` prefers that folder."""
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
    """A line on stderr if the folders that are read hold photographs without a pose in the file."""
    others = {
        folder / normalised(frame[key])
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


def _with_masks(photos: list[Photo], folder: Path, frames: list[Frame], path: Path, options: Options) -> list[Photo]:
    """The photos with the masks that their frames name, unless none of these exists or --no_masks is given.

    Raises InputError if only some frames name a mask, mask_path is not a name, or some of the masks are missing.
    """
    named = [frame.entries.get("mask_path") for frame in frames]
    if options.no_masks:
        return photos
    for frame, mask in zip(frames, named, strict=True):
        if not isinstance(mask, str | None):
            raise InputError(f"{frame.where}: mask_path is {mask!r:.60}, not the name of a file: correct it, or give --no_masks")
    named = [normalised(mask) if mask and mask.strip() else None for mask in named]
    if not any(named):
        return photos
    if options.maskdir is not None:
        return [replace(photo, mask=folder / mask) if mask else photo for photo, mask in zip(photos, named, strict=True)]
    for frame, mask in zip(frames, named, strict=True):
        if mask is None:
            raise InputError(
                f"{frame.where} has no mask_path, and others have: give one to all frames or to none, or give --no_masks"
            )
    found = find_files(folder, [mask for mask in named if mask])
    if not any(found):
        tell(f"{path}: none of the {len(named)} masks that frames name as mask_path exists ({named[0]} first): none is used")
        return photos
    for frame, mask, file in zip(frames, named, found, strict=True):
        if file is None:
            raise InputError(f"{frame.where}: its mask {folder / str(mask)} is missing: put it there, or give --no_masks")
    tell(f"{path}: the masks that frames name as mask_path say what is learned; --no_masks does without them")
    return [replace(photo, mask=file) for photo, file in zip(photos, found, strict=True)]


def _is_number(value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
