"""transforms_*.json files of NeRF-synthetic and its kin: which images, from where, through which lens."""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from settings.errors import InputError

EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp")
_LENS = ("camera_angle_x", "camera_angle_y", "fl_x", "fl_y", "cx", "cy", "w", "h")
_DISTORTION = ("k1", "k2", "k3", "k4", "p1", "p2")
_RIGID = 1e-3  # largest deviation of R^T R from the identity; the published files keep 2e-6


@dataclass(frozen=True)
class View:
    """One frame of a transforms file, before its image is read."""

    path: Path  # the image's file
    name: str  # the file's name without folder and extension, as `r_15`
    camera_to_world: np.ndarray  # (3, 4) float64: [R | t], OpenGL axes, world units
    lens: dict  # the _LENS entries that hold for this frame
    where: str  # "transforms_train.json, frame 3", for messages


def read_transforms(folder: Path, split: str) -> list[View]:
    """The frames of <folder>/transforms_<split>.json in the file's order; each image file is there.

    Raises InputError where the file or an image is missing, the JSON is malformed, there are no frames, or a
    pose is not a finite rigid motion.
    """
    path = folder / f"transforms_{split}.json"
    try:
        top = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise InputError(f"{path} is missing: a scene has transforms_train.json, _val and _test") from None
    except json.JSONDecodeError as problem:
        raise InputError(f"{path}, line {problem.lineno}: not valid JSON ({problem.msg})") from None
    except (OSError, UnicodeDecodeError) as problem:
        raise InputError(f"{path} cannot be read ({problem})") from None
    frames = top.get("frames") if isinstance(top, dict) else None
    if not isinstance(frames, list):
        raise InputError(f"{path} has no list `frames`: it is not a transforms file")
    if not frames:
        raise InputError(f"{path} lists no frames: the split {split} has no views")
    return [_view(folder, top, frame, f"{path}, frame {k}") for k, frame in enumerate(frames)]


def _view(folder: Path, top: dict, frame, where: str) -> View:
    if not isinstance(frame, dict) or not isinstance(frame.get("file_path"), str):
        raise InputError(f"{where} has no file_path")
    path = _image_file(folder, frame["file_path"], where)
    name = path.stem if path.suffix.lower() in EXTENSIONS else path.name
    for key in _DISTORTION:
        if frame.get(key, top.get(key, 0)):
            raise InputError(f"{where} has lens distortion {key}: undistort the images first")
    lens = {key: top[key] for key in _LENS if key in top}
    if "camera_angle_x" in frame and "fl_x" not in frame:  # the frame's angle beats the file's focal length
        lens = {key: value for key, value in lens.items() if not key.startswith("fl_")}
    lens |= {key: frame[key] for key in _LENS if key in frame}
    return View(path, name, _pose(frame.get("transform_matrix"), where), lens, where)


def _image_file(folder: Path, file_path: str, where: str) -> Path:
    """The image that a frame names, with or without its extension."""
    base = folder / file_path.replace("\\", "/")
    for path in [base, *(base.with_name(base.name + extension) for extension in EXTENSIONS)]:
        if path.is_file():
            return path
    named = base if base.suffix.lower() in EXTENSIONS else base.with_name(base.name + ".png")
    raise InputError(f"{where}: its image {named} is missing")


def _pose(matrix, where: str) -> np.ndarray:
    """The (3, 4) camera-to-world matrix of a frame, checked to be a finite rigid motion."""
    try:
        pose = np.array(matrix, dtype=np.float64)
    except (TypeError, ValueError):
        pose = np.empty(0)
    if pose.shape not in ((4, 4), (3, 4)):
        raise InputError(f"{where}: transform_matrix is not a 4x4 or 3x4 matrix of numbers")
    if not np.isfinite(pose).all():
        raise InputError(f"{where}: transform_matrix holds a value that is not finite")
    if pose.shape[0] == 4 and np.abs(pose[3] - (0, 0, 0, 1)).max() > _RIGID:
        raise InputError(f"{where}: the last row of transform_matrix is not 0 0 0 1")
    rotation = pose[:3, :3]
    squared = rotation.T @ rotation
    scale = math.sqrt(np.trace(squared) / 3)
    if np.abs(squared - np.eye(3)).max() > _RIGID:
        if scale > 0 and np.abs(squared / scale**2 - np.eye(3)).max() <= _RIGID:
            raise InputError(f"{where}: the rotation is scaled by {scale:.4g}: divide its 3x3 part by that")
        raise InputError(f"{where}: the pose is not rigid (the 3x3 part of transform_matrix is no rotation)")
    if np.linalg.det(rotation) < 0:
        raise InputError(f"{where}: the pose is a mirror image (determinant -1): flip one of its axes")
    return pose[:3]


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
