"""COLMAP's sparse models: cameras, images and points, from .bin or .txt files (colmap.github.io/format.html)."""

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets.lenses import Lens
from settings.errors import InputError
from settings.reading import reading

# The models by their numbers in .bin files; those with parameters named here are understood.
MODELS = ("SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV", "OPENCV_FISHEYE", "FULL_OPENCV", "FOV",
          "SIMPLE_RADIAL_FISHEYE", "RADIAL_FISHEYE", "THIN_PRISM_FISHEYE", "RAD_TAN_THIN_PRISM_FISHEYE")
PARAMETERS = {
    "SIMPLE_PINHOLE": ("f", "cx", "cy"),
    "PINHOLE": ("fx", "fy", "cx", "cy"),
    "SIMPLE_RADIAL": ("f", "cx", "cy", "k1"),
    "RADIAL": ("f", "cx", "cy", "k1", "k2"),
    "OPENCV": ("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2"),
}


@dataclass(frozen=True)
class Picture:
    """One registered image of a model."""

    number: int  # its id in the model
    name: str  # its file's path below the folder of images
    camera: int  # the id of its camera
    camera_to_world: np.ndarray  # (3, 4) float64, OpenGL axes, the model's world
    seen: np.ndarray  # (M, 2) float64: the places of its features, px
    points: np.ndarray  # (M,) int64: the point that each of them is of, -1 for none


def read_model(folder: Path) -> tuple[dict[int, Lens], list[Picture], tuple[np.ndarray, np.ndarray]]:
    """(lens of each camera id, images sorted by name, (ids (P,) int64, points (P, 3) float64)) of a model's folder.

    All in the model's world units and px. .bin files are preferred. Raises InputError, naming the file, where one is
    missing, ends too early, holds what is no number or not finite, or has a camera model that is not understood.
    """
    kind = next((kind for kind in ("bin", "txt") if (folder / f"cameras.{kind}").is_file()), "bin")
    readers = _BINARY if kind == "bin" else _TEXT
    found = []
    for name, reader in readers.items():
        path = folder / f"{name}.{kind}"
        with reading(path, "is damaged, or no file of COLMAP",
                     "a COLMAP model is cameras, images and points3D, all of them .bin or all .txt"):
            try:
                found.append(reader(path))
            except (struct.error, IndexError):
                raise InputError(f"{path} ends too early: it is cut off, or no file of COLMAP") from None
    lenses, pictures, points = found
    if not pictures:
        raise InputError(f"{folder / f'images.{kind}'} holds no registered images")
    for picture in pictures:
        if picture.camera not in lenses:
            raise InputError(f"{folder / f'images.{kind}'}: the image {picture.name} was taken by camera {picture.camera}, which "
                             f"is not in cameras.{kind}")
    return lenses, sorted(pictures, key=lambda picture: picture.name), points


class _Stream:
    """The bytes of a file, taken from the front; struct.error where there are not as many."""

    def __init__(self, path: Path) -> None:
        self.bytes, self.place = path.read_bytes(), 0

    def take(self, form: str) -> tuple:
        """The next values, little-endian, as `struct` names their types."""
        form = "<" + form
        values = struct.unpack_from(form, self.bytes, self.place)
        self.place += struct.calcsize(form)
        return values

    def records(self, fields: list, count: int) -> np.ndarray:
        """The next `count` records of a NumPy structure."""
        kind = np.dtype(fields)
        if self.place + count * kind.itemsize > len(self.bytes):
            raise struct.error
        values = np.frombuffer(self.bytes, kind, count, self.place)
        self.place += count * kind.itemsize
        return values

    def text(self) -> str:
        """The next characters up to a zero byte."""
        end = self.bytes.find(b"\0", self.place)
        if end < 0:
            raise struct.error
        characters = self.bytes[self.place : end]
        self.place = end + 1
        return characters.decode()


def _binary_cameras(path: Path) -> dict[int, Lens]:
    stream, lenses = _Stream(path), {}
    for _ in range(stream.take("Q")[0]):
        number, model, width, height = stream.take("iiQQ")
        name = MODELS[model] if 0 <= model < len(MODELS) else f"number {model}"
        _check_model(name, number, path)
        lenses[number] = _lens(name, width, height, stream.take(f"{len(PARAMETERS[name])}d"), number, path)
    return lenses


def _binary_pictures(path: Path) -> list[Picture]:
    stream, pictures = _Stream(path), []
    for _ in range(stream.take("Q")[0]):
        number, *motion, camera = stream.take("i7di")
        name = stream.text()
        features = stream.records([("seen", "<f8", 2), ("point", "<i8")], stream.take("Q")[0])
        pictures.append(_picture(number, name, camera, motion, features["seen"], features["point"], path))
    return pictures


def _binary_points(path: Path) -> tuple[np.ndarray, np.ndarray]:
    stream, ids, points = _Stream(path), [], []
    for _ in range(stream.take("Q")[0]):
        number, x, y, z = stream.take("Q3d")
        stream.take("3Bd")  # colour, error
        stream.records([("image", "<i4"), ("feature", "<i4")], stream.take("Q")[0])  # its track, which the images tell too
        ids.append(number)
        points.append((x, y, z))
    return _points(ids, points, path)


def _lines(path: Path) -> list[str]:
    return [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]


def _text_cameras(path: Path) -> dict[int, Lens]:
    lenses = {}
    for line in filter(str.strip, _lines(path)):
        number, name, width, height, *values = line.split()
        _check_model(name, int(number), path)
        lenses[int(number)] = _lens(name, int(width), int(height), tuple(map(float, values)), int(number), path)
    return lenses


def _text_pictures(path: Path) -> list[Picture]:
    lines, pictures = iter(_lines(path)), []
    for line in lines:
        if not line.strip():
            continue
        number, *motion, camera, name = line.strip().split(maxsplit=9)
        features = np.array(next(lines, "").split(), np.float64).reshape(-1, 3)  # the line may be empty
        pictures.append(_picture(int(number), name, int(camera), tuple(map(float, motion)), features[:, :2],
                                 features[:, 2].astype(np.int64), path))
    return pictures


def _text_points(path: Path) -> tuple[np.ndarray, np.ndarray]:
    rows = [line.split(maxsplit=4)[:4] for line in filter(str.strip, _lines(path))]
    return _points([int(row[0]) for row in rows], [tuple(map(float, row[1:])) for row in rows], path)


_BINARY = {"cameras": _binary_cameras, "images": _binary_pictures, "points3D": _binary_points}
_TEXT = {"cameras": _text_cameras, "images": _text_pictures, "points3D": _text_points}


def _check_model(name: str, number: int, path: Path) -> None:
    if name not in PARAMETERS:
        raise InputError(f"{path}: camera {number} is of the model {name}, which is not supported: choose one of "
                         f"{', '.join(PARAMETERS)}, or undistort the images by COLMAP")


def _lens(name: str, width: int, height: int, values: tuple[float, ...], number: int, path: Path) -> Lens:
    where = f"{path}, camera {number}"
    if len(values) != len(PARAMETERS[name]):
        raise InputError(f"{where}: {name} has {len(PARAMETERS[name])} parameters, and these are {len(values)}")
    parameters = dict(zip(PARAMETERS[name], values, strict=True))
    if "f" in parameters:
        parameters["fx"] = parameters["fy"] = parameters.pop("f")
    lens = Lens(width=width, height=height, **parameters)
    if not (np.isfinite(values).all() and min(lens.fx, lens.fy) > 0 and min(width, height) >= 1):
        parameters = ", ".join(f"{value:g}" for value in values)
        raise InputError(f"{where}: {name} of {width}x{height} px with parameters {parameters} is no camera")
    lens.check(where)
    return lens


def _picture(number: int, name: str, camera: int, motion, seen: np.ndarray, points: np.ndarray, path: Path) -> Picture:
    """From the motion (qw, qx, qy, qz, tx, ty, tz) that takes the world to the camera's axes right, down, forwards."""
    motion = np.array(motion, np.float64)
    length = np.linalg.norm(motion[:4])
    if motion.shape != (7,) or not np.isfinite(motion).all() or length == 0:
        raise InputError(f"{path}: the pose of the image {name} is none (quaternion and translation {motion.tolist()})")
    w, x, y, z = motion[:4] / length
    rotation = np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ])
    center = -rotation.T @ motion[4:]
    to_world = rotation.T * (1, -1, -1)  # its y axis turned up, its z axis backwards
    return Picture(number, name, camera, np.concatenate([to_world, center[:, None]], axis=1), seen, points)


def _points(ids: list[int], points: list, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Both as arrays; the points that are not finite are left out."""
    array = np.array(points, np.float64).reshape(-1, 3)
    finite = np.isfinite(array).all(1)
    if finite.sum() < 8:
        raise InputError(f"{path} holds only {finite.sum()} points: too few to tell where the scene is")
    return np.array(ids).astype(np.int64)[finite], array[finite]
