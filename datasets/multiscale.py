"""mip-NeRF's multi-scale scenes (metadata.json beside RGBA images of several sizes) -> Scene."""

from dataclasses import replace
from pathlib import Path

from datasets.blender import scene_of_frames
from datasets.file_names import find_files, normalised, view_names
from datasets.poses import checked_pose
from datasets.scene import Scene
from datasets.transforms import Frame
from settings.errors import InputError
from settings.options import Options
from system.reading import read_json

_LISTS = ("file_path", "cam2world", "width", "height", "focal", "label")  # one entry a view; label n: 1 / 2^n of the size
_HIGHEST_LABEL = 16


def load_multiscale(folder: Path, options: Options, name: str = "") -> Scene:
    """Read a multi-scale scene: train and test, whose views have `scales`.

    The file holds, for each split, lists with one entry a view: file_path, cam2world (camera-to-world, OpenGL axes), width,
    height and focal (px), label. The principal point is the picture's centre. near, far, lossmult and pix2cam are not used,
    because they follow from the others. --testskip n takes each n-th view of the test, at all its sizes. Sizes as in
    `load_blender`. `extras`: `folder`, `format`, `stored_size`, `val_ids` (none), `test_ids`, `testskip`, `bounds_from`. Raises
    InputError, naming the file, for missing and damaged files.

    Source: Barron et al. 2021 (mip-NeRF), section 5.1.
    """
    path = folder / "metadata.json"
    splits = read_json(path, "it describes a multi-scale scene")
    if not isinstance(splits, dict):
        raise InputError(f"{path} is not a multi-scale scene's file: it has no splits")
    views, scales = {"val": []}, {}
    for split in ("train", "test"):
        views[split], scales[split] = _read_split(folder, splits, split, path)
    test = _each_nth(scales["test"], options.testskip)
    views["test"] = [views["test"][view] for view in test]
    extras = {"format": "multi-scale", "val_ids": [], "test_ids": test, "val_count": 0, "testskip": options.testskip}
    scene = scene_of_frames(folder, views, options, name, extras)
    return replace(
        scene,
        train=replace(scene.train, scales=scales["train"]),
        test=replace(scene.test, scales=[scales["test"][view] for view in test]),
    )


def _each_nth(scales: list[int], step: int) -> list[int]:
    """Each `step`-th of the views of each scale."""
    found, counts = [], dict.fromkeys(scales, 0)
    for view, scale in enumerate(scales):
        if counts[scale] % step == 0:
            found.append(view)
        counts[scale] += 1
    return found


def _read_split(folder: Path, splits: dict, split: str, path: Path) -> tuple[list[Frame], list[int]]:
    """The frames of a split, whose images exist, and their scales."""
    lists = splits.get(split)
    if not isinstance(lists, dict) or not isinstance(lists.get("file_path"), list) or not lists["file_path"]:
        raise InputError(f"{path}: the split {split} has no views (a list `file_path`)")
    count = len(lists["file_path"])
    for key in _LISTS:
        if not isinstance(lists.get(key), list) or len(lists[key]) != count:
            raise InputError(f"{path}: {split} needs a list `{key}` with one entry for each of its {count} views")
    for view, file in enumerate(lists["file_path"]):
        if not isinstance(file, str) or not file.strip():
            raise InputError(f"{path}, {split}, view {view} has no file_path")
    files = [normalised(file) for file in lists["file_path"]]
    entries = [{key: lists[key][view] for key in _LISTS} for view in range(count)]
    rows = zip(files, find_files(folder, files), view_names(files), entries, strict=True)
    frames = [_frame(folder, *row, f"{path}, {split}, view {view}") for view, row in enumerate(rows)]
    return frames, [2 ** entry["label"] for entry in entries]


def _frame(folder: Path, file: str, found: Path | None, name: str, entries: dict, where: str) -> Frame:
    if found is None:
        raise InputError(f"{where}: its image {folder / file} is missing")
    label = entries["label"]
    if not isinstance(label, int) or isinstance(label, bool) or not 0 <= label <= _HIGHEST_LABEL:
        raise InputError(f"{where}: label is {label!r}, not a whole number from 0: 0 is the full size, 1 half of it")
    intrinsics = {"fl_x": entries["focal"], "w": entries["width"], "h": entries["height"]}
    return Frame(found, name, checked_pose(entries["cam2world"], where, "cam2world"), intrinsics, {}, where, entries)
