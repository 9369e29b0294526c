"""transforms.json files of NeRF-synthetic, instant-ngp and nerfstudio: which images, from where, through which lens."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets.file_names import EXTENSIONS, find_files, normal, view_names
from datasets.poses import checked_pose
from datasets.transforms_keys import BLENDER_USED, unused_entries
from settings.errors import InputError
from system.progress import tell
from system.reading import read_json as json_content

_LENS = ("camera_angle_x", "camera_angle_y", "fl_x", "fl_y", "cx", "cy", "w", "h")
_DISTORTION = ("k1", "k2", "k3", "k4", "k5", "k6", "p1", "p2")


@dataclass(frozen=True)
class View:
    """One frame of a transforms file, before its image is read."""

    path: Path  # the image's file; it may be missing
    name: str  # as `r_15`, or with folder or ending if those of other views differ in these alone
    camera_to_world: np.ndarray  # (3, 4) float64: [R | t], OpenGL axes, world units
    lens: dict  # the _LENS entries that hold for this frame
    distortion: dict  # the _DISTORTION entries that hold for it and are not 0
    where: str  # "transforms_train.json, frame 3", for messages
    frame: dict  # the frame's own entries


def read_transforms(folder: Path, split: str) -> list[View]:
    """The frames of <folder>/transforms_<split>.json in the file's order; each image file is there.

    Raises InputError where the file or an image is missing, the JSON is malformed, there are no frames, a pose is not a
    finite rigid motion, or a lens is distorted. Of the training file, stderr names entries that are not used.
    """
    path = folder / f"transforms_{split}.json"
    top = read_json(path, "a scene has transforms_train.json, _val and _test")
    if not top["frames"]:
        raise InputError(f"{path} lists no frames: the split {split} has no views")
    views = read_views(folder, top, path)
    if split == "train":
        tell(unused_entries(top, path, BLENDER_USED))
    for view in views:
        if any(view.frame.get(key, top.get(key)) for key in ("is_fisheye", "fisheye")):
            raise InputError(
                f"{view.where} was taken by a fisheye: undistort the images first, or write one transforms.json for all images"
            )
        if not view.path.is_file():
            raise InputError(f"{view.where}: its image {view.path} is missing")
        for key in view.distortion:
            raise InputError(f"{view.where} has lens distortion {key}: undistort the images first")
    return views


def read_json(path: Path, needed: str) -> dict:
    """The content of a transforms file, which has a list `frames`.

    Entries that are null, of the file and of its frames, are left out. Raises InputError where it is missing (`needed` says why
    that is wrong), unreadable or another kind of file.
    """
    top = json_content(path, needed)
    if not isinstance(top, dict) or not isinstance(top.get("frames"), list):
        raise InputError(f"{path} has no list `frames`: it is not a transforms file")
    top["frames"] = [_without_null(frame) for frame in top["frames"]]
    return _without_null(top)


def _without_null(entries):
    return {key: value for key, value in entries.items() if value is not None} if isinstance(entries, dict) else entries


def read_views(folder: Path, top: dict, path: Path, there: bool = False) -> list[View]:
    """The frames of a transforms file's content in its order, with images looked for in `folder`; they may be missing.

    With `there`, only those whose images are there. Raises InputError for a frame without file_path and for a pose that is not
    a finite rigid motion.
    """
    files = frame_files(top, path)
    names = view_names([file.removesuffix("/") for file in files])
    return [
        _view(folder, top, files[k], found, names[k], f"{path}, frame {k}", top["frames"][k])
        for k, found in enumerate(find_files(folder, files))
        if found is not None or not there
    ]


def frame_files(top: dict, path: Path) -> list[str]:
    """The file_path of each frame; InputError for a frame without one."""
    for k, frame in enumerate(top["frames"]):
        if not isinstance(frame, dict) or not isinstance(frame.get("file_path"), str) or not frame["file_path"].strip():
            raise InputError(f"{path}, frame {k} has no file_path")
    return [normal(frame["file_path"]) for frame in top["frames"]]


def _view(folder: Path, top: dict, file: str, found: Path | None, name: str, where: str, frame: dict) -> View:
    base = folder / file
    path = found or (base if base.suffix.lower() in EXTENSIONS else base.with_name(base.name + ".png"))
    distortion = {key: frame.get(key, top.get(key)) for key in _DISTORTION if frame.get(key, top.get(key))}
    lens = {key: top[key] for key in _LENS if key in top}
    if "camera_angle_x" in frame and "fl_x" not in frame:  # the frame's angle beats the file's focal length
        lens = {key: value for key, value in lens.items() if not key.startswith("fl_")}
    lens |= {key: frame[key] for key in _LENS if key in frame}
    return View(path, name, checked_pose(frame.get("transform_matrix"), where), lens, distortion, where, frame)


def intrinsics(view: View, width: int, height: int) -> np.ndarray:
    """The (3, 3) matrix [[fx, 0, cx], [0, fy, cy], [0, 0, 1]] in px of a stored image of width x height px.

    fl_x, fl_y, cx, cy hold for an image of w x h px, which is the stored one where it is not said; without
    fl_x, fx = width / (2 tan(camera_angle_x / 2)), and pixels are square unless camera_angle_y says
    otherwise. Raises InputError for a lens that is not there, not positive or not finite.
    """
    lens = view.lens
    w = _positive(view, "w") if "w" in lens else width
    h = _positive(view, "h") if "h" in lens else height
    if abs(w * height - h * width) > max(w, h, width, height):  # more than the rounding of one pixel
        raise InputError(f"{view.where} says w x h = {w:g}x{h:g}, but {view.path} is {width}x{height}")
    if "fl_x" in lens:
        fx = _positive(view, "fl_x")
        fy = _positive(view, "fl_y") if "fl_y" in lens else fx
    elif "camera_angle_x" in lens:
        fx = fy = w / (2 * math.tan(_positive(view, "camera_angle_x", math.pi) / 2))
        if "camera_angle_y" in lens:
            fy = h / (2 * math.tan(_positive(view, "camera_angle_y", math.pi) / 2))
    else:
        raise InputError(f"{view.where}: neither camera_angle_x nor fl_x says how wide the lens is")
    cx = _positive(view, "cx") if "cx" in lens else w / 2
    cy = _positive(view, "cy") if "cy" in lens else h / 2
    scale = np.array([[width / w], [height / h], [1.0]])
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]]) * scale


def _positive(view: View, key: str, below: float = math.inf) -> float:
    value = view.lens[key]
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not 0 < value < below:
        limit = "" if below == math.inf else " below pi"
        raise InputError(f"{view.where}: {key} is {value!r}, not a finite positive number{limit}")
    return float(value)
