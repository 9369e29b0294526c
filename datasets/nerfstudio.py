"""Scenes with one transforms.json for all photographs, as nerfstudio and instant-ngp write it -> Scene."""

import math
import sys
from dataclasses import replace
from pathlib import Path, PurePosixPath

import torch
from torch import Tensor

from datasets.bounds import depth_range, scene_box
from datasets.lenses import Lens
from datasets.orientation import stated_size, turns
from datasets.photographs import (
    Photo,
    choose_folder,
    common_lens_size,
    hold_out,
    matching,
    read_splits,
    working_size,
)
from datasets.pictures import read_header
from datasets.scene import Scene
from datasets.transforms import View, intrinsics, read_json, read_views
from settings.errors import InputError
from settings.options import Options

FILE = "transforms.json"
MODELS = ("PINHOLE", "SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV", "PERSPECTIVE")  # all of them fit a `Lens`
NGP_SCALE, NGP_OFFSET = 0.33, 0.5  # instant-ngp's world from the file's, where the file does not say: p -> scale p + offset
_FISHEYE = ("is_fisheye", "fisheye", "ftheta_p0", "latlong", "equirectangular")  # other projections, by instant-ngp's keys


def load_nerfstudio(folder: Path, options: Options, name: str = "") -> Scene:
    """Read a scene of photographs and one transforms.json; the world is the file's.

    Views are sorted by file name. Lenses may be stated for the file or for a frame; distortion (k1, k2, k3, p1, p2) is
    undone while pictures are read. Photographs that are not on disk are left out, with a line on stderr. Where the file has
    lists train_filenames, val_filenames, test_filenames they decide the splits; else every --llffhold-th view, from the
    first, is for testing. Files in a folder `images` are replaced by those of `images_N` where that is there (N: --factor).

    Bounds are instant-ngp's box where the file says aabb_scale (`ngp_box`), else found from the cameras. `extras`: `folder`,
    `format`, `stored_size` (of the photographs, px), `missing_images` (how many), `test_ids` (of the photographs that are
    there), `testskip`, `bounds_from`. Raises InputError for everything that is wrong with the files.
    """
    path = folder / FILE
    top = read_json(path, "nerfstudio and instant-ngp keep a scene's cameras there")
    _check_model(top, path)
    views = read_views(folder, top, path)
    if not views:
        raise InputError(f"{path} lists no frames")
    files = [_normal(frame["file_path"]) for frame in top["frames"]]
    order = sorted((k for k in range(len(views)) if views[k].path.is_file()), key=lambda k: files[k])
    missing = len(views) - len(order)
    if not order:
        raise InputError(f"{path} lists {missing} images, and none of them is there: {views[0].path} is the first")
    if missing:
        print(f"{path}: {missing} of {len(views)} images are missing and left out", file=sys.stderr)

    headers = [read_header(views[k].path) for k in order]
    turn = turns(headers, [stated_size(views[k].lens) for k in order], options.orientation, path)
    photos = [_photo(views[k], header.size(way), way) for k, header, way in zip(order, headers, turn, strict=True)]
    full = common_lens_size(photos, str(path))
    size = working_size(options, *full)
    photos = _smaller(photos, full[0], size)
    picked, test = _splits(top, path, [files[k] for k in order], set(files), photos, options)
    name = name or folder.resolve().name
    splits, carving = read_splits(picked, size, options, folder, name)

    cameras = splits["train"].cameras
    if "aabb_scale" in top:
        bounds, bounds_from = ngp_box(top, path), f"aabb_scale of {FILE}"
    else:
        bounds, bounds_from = scene_box(cameras)
    ranges = [depth_range(bounds, split.cameras) for split in splits.values() if len(split)]
    extras = {"folder": str(folder), "format": "transforms.json", "stored_size": full, "missing_images": missing, "val_ids": [],
              "test_ids": test, "val_count": 0, "testskip": options.testskip, "bounds_from": bounds_from}
    return Scene(name=name, **splits, bounds=bounds, near=min(near for near, _ in ranges), far=max(far for _, far in ranges),
                 background=options.background, carving=carving, extras=extras,
                 cut_out=options.maskdir is not None and carving is None)


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


def _check_model(top: dict, path: Path) -> None:
    """Raise InputError, with the model's name, for a camera that is no distorted pinhole."""
    for k, entry in enumerate([top, *top["frames"]]):
        where = f"{path}, frame {k - 1}" if k else str(path)
        if not isinstance(entry, dict):
            continue
        model = entry.get("camera_model", "OPENCV")
        wrong = model if model not in MODELS else next((key for key in _FISHEYE if entry.get(key)), None)
        if wrong is not None:
            raise InputError(f"{where}: the camera model {wrong} is not supported: choose one of {', '.join(MODELS)}, or "
                             "undistort the images first")


def _photo(view: View, stored: tuple[int, int], turn: int) -> Photo:
    """A frame with its lens, for a photograph of the size that the file says (w, h), else of its image's size, after its turn."""
    width, height = size = stored
    if "w" in view.lens and "h" in view.lens and all(_is_number(view.lens[key]) for key in ("w", "h")):
        size = round(view.lens["w"]), round(view.lens["h"])
    matrix = intrinsics(view, width, height)  # checks w and h against the image's own size
    numbers = {key: value for key, value in view.distortion.items() if key != "k4"}
    for key, value in view.distortion.items():
        if not _is_number(value):
            raise InputError(f"{view.where}: {key} is {value!r}, not a finite number")
        if key == "k4":
            raise InputError(f"{view.where} has lens distortion k4, which is not supported: undistort the images first")
    lens = Lens(*matrix[[0, 1, 0, 1], [0, 1, 2, 2]].tolist(), width, height, **numbers)
    lens.check(view.where)
    return Photo(view.path, view.name, view.camera_to_world, lens.scaled(*size), turn)


def _smaller(photos: list[Photo], full: int, size: tuple[int, int]) -> list[Photo]:
    """The photos with the files of `images_N` in place of those of `images`, where that folder holds all of them."""
    folders = {photo.path.parent for photo in photos}
    if len(folders) != 1 or (folder := folders.pop()).name != "images":
        return photos
    smaller = choose_folder(folder.parent, full, size)
    if smaller is None or smaller == folder:
        return photos
    paths = matching(smaller, [photo.path.name for photo in photos])
    if not all(path.is_file() for path in paths):
        return photos
    return [replace(photo, path=path, turn=None) for photo, path in zip(photos, paths, strict=True)]


def _splits(top: dict, path: Path, files: list[str], listed: set[str], photos: list[Photo],
            options: Options) -> tuple[dict[str, list[Photo]], list[int]]:
    """The photos of each split and the test views' places, by the file's own lists or by --llffhold."""
    named = {}
    for split in ("train", "val", "test"):
        if (entries := top.get(f"{split}_filenames")) is None:
            continue
        if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
            raise InputError(f"{path}: {split}_filenames is not a list of file names")
        named[split] = {_normal(entry) for entry in entries}
        if unknown := sorted(named[split] - listed):
            raise InputError(f"{path}: {split}_filenames names {unknown[0]}, which is not the file_path of any frame")
    if not any(named.values()):
        train, test = hold_out(len(photos), options.llffhold)
        val = []
    else:
        evaluated = named.get("test") or named.get("val") or set(listed) - named.get("train", set())
        trained = named.get("train") or set(listed) - evaluated - named.get("val", set())
        if both := sorted(trained & evaluated):
            raise InputError(f"{path}: {both[0]} is both a training view and one to evaluate on")
        kept_back = named.get("val", set()) if named.get("test") else set()
        train, val, test = ([k for k, file in enumerate(files) if file in wanted] for wanted in (trained, kept_back, evaluated))
    test = test[:: options.testskip]
    return {"train": [photos[k] for k in train], "val": [photos[k] for k in val[:: options.testskip]],
            "test": [photos[k] for k in test]}, test


def _normal(file: str) -> str:
    return PurePosixPath(file.replace("\\", "/")).as_posix()


def _is_number(value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
