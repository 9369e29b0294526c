"""transforms.json files of NeRF-synthetic, instant-ngp and nerfstudio: images with their poses, intrinsics and distortion."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets.file_names import EXTENSIONS, find_files, normalised, view_names
from datasets.poses import checked_pose
from datasets.transforms_keys import BLENDER_USED, unused_entries
from settings.errors import InputError
from system.progress import tell
from system.reading import read_json

_INTRINSICS = ("camera_angle_x", "camera_angle_y", "fl_x", "fl_y", "cx", "cy", "w", "h")
_DISTORTION = ("k1", "k2", "k3", "k4", "k5", "k6", "p1", "p2")


@dataclass(frozen=True)
class Frame:
    """One frame of a transforms file, before its image is read."""

    path: Path  # the image's file; it may be missing
    name: str  # for example `r_15`; with folder or ending if those of other views differ in these alone
    camera_to_world: np.ndarray  # (3, 4) float64: [R | t], OpenGL axes, world units
    intrinsics: dict  # the _INTRINSICS entries that hold for this frame
    distortion: dict  # the _DISTORTION entries that hold for it and are not 0
    where: str  # "transforms_train.json, frame 3", for messages
    entries: dict  # the frame's own


def read_transforms(folder: Path, split: str) -> list[Frame]:
    """The frames of <folder>/transforms_<split>.json in the file's order; all their images exist.

    Raises InputError if the file or an image is missing, the JSON is malformed, there are no frames, a pose is not a finite
    rigid motion, or a lens is distorted. For the training file, a line on stderr names entries that are not used.
    """
    path = folder / f"transforms_{split}.json"
    top = read_transforms_file(path, "a scene has transforms_train.json, _val and _test")
    if not top["frames"]:
        raise InputError(f"{path} lists no frames: the split {split} has no views")
    frames = read_frames(folder, top, path)
    if split == "train":
        tell(unused_entries(top, path, BLENDER_USED))
    for frame in frames:
        if any(frame.entries.get(key, top.get(key)) for key in ("is_fisheye", "fisheye")):
            raise InputError(
                f"{frame.where} was taken by a fisheye: undistort the images first, or write one transforms.json for all images"
            )
        if not frame.path.is_file():
            raise InputError(f"{frame.where}: its image {frame.path} is missing")
        for key in frame.distortion:
            raise InputError(f"{frame.where} has lens distortion {key}: undistort the images first")
    return frames


def read_transforms_file(path: Path, needed: str) -> dict:
    """The content of a transforms file, which has a list `frames`.

    Entries that are null, of the file and of its frames, are left out. Raises InputError if it is missing (`needed` says why it
    is needed), unreadable or not a transforms file.
    """
    top = read_json(path, needed)
    if not isinstance(top, dict) or not isinstance(top.get("frames"), list):
        raise InputError(f"{path} has no list `frames`: it is not a transforms file")
    top["frames"] = [_without_null(frame) for frame in top["frames"]]
    return _without_null(top)


def _without_null(entries):
    return {key: value for key, value in entries.items() if value is not None} if isinstance(entries, dict) else entries


def read_frames(folder: Path, top: dict, path: Path, on_disk: bool = False) -> list[Frame]:
    """The frames of a transforms file's content in its order, with images in `folder`, which may be missing.

    With `on_disk`, only those whose images exist. Raises InputError for a frame without file_path and for a pose that is not a
    finite rigid motion.
    """
    files = frame_files(top, path)
    names = view_names([file.removesuffix("/") for file in files])
    return [
        _frame(folder, top, files[k], found, names[k], f"{path}, frame {k}", top["frames"][k])
        for k, found in enumerate(find_files(folder, files))
        if found is not None or not on_disk
    ]


def frame_files(top: dict, path: Path) -> list[str]:
    """The file_path of each frame. Raises InputError for a frame without one."""
    for k, frame in enumerate(top["frames"]):
        if not isinstance(frame, dict) or not isinstance(frame.get("file_path"), str) or not frame["file_path"].strip():
            raise InputError(f"{path}, frame {k} has no file_path")
    return [normalised(frame["file_path"]) for frame in top["frames"]]


def _frame(folder: Path, top: dict, file: str, found: Path | None, name: str, where: str, entries: dict) -> Frame:
    base = folder / file
    path = found or (base if base.suffix.lower() in EXTENSIONS else base.with_name(base.name + ".png"))
    distortion = {key: entries.get(key, top.get(key)) for key in _DISTORTION if entries.get(key, top.get(key))}
    stated = {key: top[key] for key in _INTRINSICS if key in top}
    if "camera_angle_x" in entries and "fl_x" not in entries:  # the frame's angle beats the file's focal length
        stated = {key: value for key, value in stated.items() if not key.startswith("fl_")}
    stated |= {key: entries[key] for key in _INTRINSICS if key in entries}
    return Frame(path, name, checked_pose(entries.get("transform_matrix"), where), stated, distortion, where, entries)


def intrinsics(frame: Frame, width: int, height: int) -> np.ndarray:
    """The (3, 3) matrix [[fx, 0, cx], [0, fy, cy], [0, 0, 1]] in px of a stored image of width x height px.

    fl_x, fl_y, cx, cy hold for an image of w x h px; without w and h, for the stored one. Without fl_x,
    fx = width / (2 tan(camera_angle_x / 2)), and pixels are square unless there is a camera_angle_y. Raises InputError for
    intrinsics that are missing, not positive or not finite.
    """
    stated = frame.intrinsics
    w = _positive(frame, "w") if "w" in stated else width
    h = _positive(frame, "h") if "h" in stated else height
    if abs(w * height - h * width) > max(w, h, width, height):  # more than the rounding of one pixel
        raise InputError(f"{frame.where} says w x h = {w:g}x{h:g}, but {frame.path} is {width}x{height}")
    if "fl_x" in stated:
        fx = _positive(frame, "fl_x")
        fy = _positive(frame, "fl_y") if "fl_y" in stated else fx
    elif "camera_angle_x" in stated:
        fx = fy = w / (2 * math.tan(_positive(frame, "camera_angle_x", math.pi) / 2))
        if "camera_angle_y" in stated:
            fy = h / (2 * math.tan(_positive(frame, "camera_angle_y", math.pi) / 2))
    else:
        raise InputError(f"{frame.where}: the focal length is missing: give camera_angle_x or fl_x")
    cx = _positive(frame, "cx") if "cx" in stated else w / 2
    cy = _positive(frame, "cy") if "cy" in stated else h / 2
    scale = np.array([[width / w], [height / h], [1.0]])
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]]) * scale


def _positive(frame: Frame, key: str, below: float = math.inf) -> float:
    value = frame.intrinsics[key]
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not 0 < value < below:
        limit = "" if below == math.inf else " below pi"
        raise InputError(f"{frame.where}: {key} is {value!r}, not a finite positive number{limit}")
    return float(value)
