"""COLMAP's sparse models: cameras, images and points, from .bin or .txt files (colmap.github.io/format.html)."""

import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets.camera_models import CameraModel
from datasets.colmap_cameras import COUNTS, MODELS, build_camera_model
from settings.errors import InputError
from system.reading import reading

_MOST_PARAMETERS = 20  # of a camera model that is not known


@dataclass(frozen=True)
class ColmapImage:
    """One registered image of a model."""

    name: str  # its file's path below the folder of images
    camera: int  # the id of its camera
    motion: tuple[float, ...]  # qw, qx, qy, qz, tx, ty, tz: from the world to the camera's axes right, down, forwards
    points: np.ndarray  # (M,) int64: the id of each feature's point, or -1
    path: Path  # the model's file, for messages

    @property
    def camera_to_world(self) -> np.ndarray:
        """(3, 4) float64, OpenGL axes, the model's world. Raises InputError if the motion is not valid."""
        motion = np.array(self.motion, np.float64)
        length = np.linalg.norm(motion[:4])
        if motion.shape != (7,) or not np.isfinite(motion).all() or length == 0:
            raise InputError(
                f"{self.path}: the pose of image {self.name} is not valid (quaternion and translation {motion.tolist()})"
            )
        w, x, y, z = motion[:4] / length
        rotation = np.array(
            [
                [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
                [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
                [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
            ]
        )
        center = -rotation.T @ motion[4:]
        to_world = rotation.T * (1, -1, -1)  # its y axis turned up, its z axis backwards
        return np.concatenate([to_world, center[:, None]], axis=1)


@dataclass(frozen=True)
class ColmapCamera:
    """A camera of a model as its file states it, which is checked when it is used."""

    model: str
    width: int
    height: int
    values: tuple[float, ...]
    where: str  # "sparse/0/cameras.bin, camera 1", for messages

    @property
    def camera_model(self) -> CameraModel:
        """As the loaders use it. Raises InputError for an unsupported model, and for parameters that are not valid."""
        return build_camera_model(self.model, self.width, self.height, self.values, self.where)


@dataclass(frozen=True)
class ColmapModel:
    """The content of a model's files. Points that are not finite are left out; `ids` and `points` are empty if their file is
    missing or empty."""

    cameras: dict[int, ColmapCamera]
    images: list[ColmapImage]  # sorted by name
    ids: np.ndarray  # (P,) int64 of the points
    points: np.ndarray  # (P, 3) float64, the model's world units
    path: Path  # of the file of images

    def camera_model(self, image: ColmapImage) -> CameraModel:
        """The camera model of an image. Raises InputError if its camera is missing or not supported."""
        if image.camera not in self.cameras:
            raise InputError(
                f"{self.path}: the image {image.name} was taken by camera {image.camera}, which is not in "
                f"cameras{self.path.suffix}"
            )
        return self.cameras[image.camera].camera_model


def read_model(folder: Path, ending: str = "bin") -> ColmapModel:
    """The model of a folder, from its .bin or its .txt files (`ending`), in the model's world units and px.

    Raises InputError, naming the file, if cameras or images are missing, or a file ends too early or holds something else than
    numbers. Poses and cameras are checked when they are used.
    """
    readers = _BINARY if ending == "bin" else _TEXT
    cameras, images = (_read(folder / f"{name}.{ending}", readers[name]) for name in ("cameras", "images"))
    path = folder / f"points3D.{ending}"
    ids, points = _read(path, readers["points3D"]) if path.is_file() and path.stat().st_size else _points([], [])
    if not images:
        raise InputError(f"{folder / f'images.{ending}'} holds no registered images")
    twice = [name for name, count in Counter(image.name for image in images).items() if count > 1]
    if twice:
        raise InputError(f"{folder / f'images.{ending}'} registers {twice[0]} more than once: export the model again")
    return ColmapModel(cameras, sorted(images, key=lambda image: image.name), ids, points, folder / f"images.{ending}")


def image_names(folder: Path, ending: str) -> list[str]:
    """The names of a model's registered images. Raises InputError as `read_model` does."""
    return _read(folder / f"images.{ending}", _binary_names if ending == "bin" else _text_names)


def _read(path: Path, reader: Callable):
    with reading(
        path,
        "is damaged, or not a file of COLMAP",
        "a COLMAP model is cameras, images and points3D, all of them .bin or all .txt",
    ):
        try:
            return reader(path)
        except struct.error:
            raise InputError(f"{path} ends too early: it is cut off, or not a file of COLMAP") from None


class _Stream:
    """The bytes of a file, read from the front. Raises struct.error if too few are left."""

    def __init__(self, path: Path) -> None:
        self.bytes, self.position = path.read_bytes(), 0

    def take(self, form: str) -> tuple:
        """The next values, little-endian, as `struct` names their types."""
        form = "<" + form
        values = struct.unpack_from(form, self.bytes, self.position)
        self.position += struct.calcsize(form)
        return values

    def records(self, fields: list, count: int) -> np.ndarray:
        """The next `count` records of a NumPy structure."""
        form = np.dtype(fields)
        if self.position + count * form.itemsize > len(self.bytes):
            raise struct.error
        values = np.frombuffer(self.bytes, form, count, self.position)
        self.position += count * form.itemsize
        return values

    def text(self) -> str:
        """The next characters up to a zero byte; bytes that are not UTF-8 become surrogates, as in names of files."""
        end = self.bytes.find(b"\0", self.position)
        if end < 0:
            raise struct.error
        characters = self.bytes[self.position : end]
        self.position = end + 1
        return characters.decode("utf-8", "surrogateescape")


def _binary_cameras(path: Path) -> dict[int, ColmapCamera]:
    """The cameras. For an unknown model, that number of parameters is taken with which the last camera ends at the file's end."""
    problem = None
    for unknown in range(_MOST_PARAMETERS + 1):
        stream, cameras, all_known = _Stream(path), {}, True
        try:
            for _ in range(stream.take("Q")[0]):
                number, model, width, height = stream.take("iiQQ")
                name = MODELS[model] if 0 <= model < len(MODELS) else f"number {model}"
                all_known &= name in COUNTS
                values = stream.take(f"{COUNTS.get(name, unknown)}d")
                cameras[number] = ColmapCamera(name, width, height, values, f"{path}, camera {number}")
        except struct.error as found:
            problem = problem or found
            if all_known:
                raise
            continue
        if all_known or stream.position == len(stream.bytes):
            return cameras
    raise problem or struct.error


def _binary_images(path: Path) -> list[ColmapImage]:
    stream, images = _Stream(path), []
    for _ in range(stream.take("Q")[0]):
        _, *motion, camera = stream.take("i7di")  # without its id
        name = stream.text()
        features = stream.records([("position", "<f8", 2), ("point", "<i8")], stream.take("Q")[0])
        images.append(ColmapImage(name, camera, tuple(motion), features["point"], path))
    return images


def _binary_names(path: Path) -> list[str]:
    return [image.name for image in _binary_images(path)]


def _binary_points(path: Path) -> tuple[np.ndarray, np.ndarray]:
    stream, ids, points = _Stream(path), [], []
    for _ in range(stream.take("Q")[0]):
        number, x, y, z = stream.take("Q3d")
        stream.take("3Bd")  # colour, error
        stream.records([("image", "<i4"), ("feature", "<i4")], stream.take("Q")[0])  # its track, which the images hold too
        ids.append(number)
        points.append((x, y, z))
    return _points(ids, points)


def _lines(path: Path) -> list[str]:
    """The lines that are not comments, without the byte order mark that some editors write."""
    return [line for line in path.read_text("utf-8-sig", "surrogateescape").splitlines() if not line.startswith("#")]


def _text_cameras(path: Path) -> dict[int, ColmapCamera]:
    cameras = {}
    for line in filter(str.strip, _lines(path)):
        number, name, width, height, *values = line.split()
        cameras[int(number)] = ColmapCamera(
            name, int(width), int(height), tuple(map(float, values)), f"{path}, camera {int(number)}"
        )
    return cameras


def _text_images(path: Path) -> list[ColmapImage]:
    lines, images = iter(_lines(path)), []
    for line in lines:
        if not line.strip():
            continue
        _, *motion, camera, name = line.strip().split(maxsplit=9)
        features = np.array(next(lines, "").split(), np.float64).reshape(-1, 3)  # the line may be empty
        images.append(ColmapImage(name, int(camera), tuple(map(float, motion)), features[:, 2].astype(np.int64), path))
    return images


def _text_names(path: Path) -> list[str]:
    """The names alone: features are most of the file."""
    lines, names = iter(_lines(path)), []
    for line in filter(str.strip, lines):
        values = line.strip().split(maxsplit=9)
        if len(values) < 10:
            raise ValueError(f"an image has {len(values)} values, not 10")
        names.append(values[9])
        next(lines, "")
    return names


def _text_points(path: Path) -> tuple[np.ndarray, np.ndarray]:
    ids, points = [], []
    for line in filter(str.strip, _lines(path)):
        number, *position = line.split(maxsplit=4)[:4]
        if len(position) < 3:
            raise ValueError(f"point {number} has {len(position)} coordinates")
        ids.append(int(number))
        points.append(tuple(map(float, position)))
    return _points(ids, points)


def _points(ids: list[int], points: list) -> tuple[np.ndarray, np.ndarray]:
    """Both as arrays, without the points that are not finite."""
    array = np.array(points, np.float64).reshape(-1, 3)
    finite = np.isfinite(array).all(1)
    return np.array(ids, np.uint64).astype(np.int64)[finite], array[finite]


_BINARY = {"cameras": _binary_cameras, "images": _binary_images, "points3D": _binary_points}
_TEXT = {"cameras": _text_cameras, "images": _text_images, "points3D": _text_points}
