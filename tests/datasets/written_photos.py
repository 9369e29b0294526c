"""Photographs of known points, written in each format by the format's own convention, for the loaders' tests.

A point's photograph is a bright dot. Its position is computed here by the formulas of the format's own programs, not by the
code under test: axes right, down, forwards; col = fx x' + cx with the distorted x', where pixel 0 covers [0, 1).
"""

import json
import math
import struct
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.spatial.transform import Rotation

from datasets.scene import Split

POINTS = np.array([[0.0, 0, 0], [0.9, 0.5, -0.4], [-0.8, 0.6, 0.6], [0.7, -0.6, 0.3], [-0.6, -0.7, -0.7]])
WIDTH, HEIGHT = 320, 216
LENS = {"fl_x": 260.0, "fl_y": 250.0, "cx": 166.0, "cy": 105.0}
BENT = {"k1": 0.12, "k2": -0.05, "p1": 0.01, "p2": -0.015}


def facing(count: int = 9, distance: float = 4.0) -> np.ndarray:
    """World-to-camera (V, 3, 4) of cameras that look at the points from one side, with axes right, down, forwards."""
    steps = np.arange(count) / count - 0.5
    return np.array([_looking(distance * np.array([0.5 * s, 0.3 * math.sin(9 * s), 1 + 0.1 * s]), (0, 1, 0.1)) for s in steps])


def around(count: int = 9, distance: float = 4.0) -> np.ndarray:
    """The same for cameras on a circle about the points' z axis, a little above them."""
    turns = 2 * math.pi * np.arange(count) / count
    return np.array(
        [_looking(distance * np.array([math.cos(a), math.sin(a), 0.4 + 0.1 * math.sin(3 * a)]), (0, 0, 1)) for a in turns]
    )


def _looking(eye: np.ndarray, up) -> np.ndarray:
    forward = -eye / np.linalg.norm(eye)
    right = np.cross(forward, up)
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(forward, right), forward])
    return np.concatenate([rotation, -rotation @ eye[:, None]], axis=1)


def opengl(motion: np.ndarray) -> np.ndarray:
    """Camera-to-world (4, 4), axes right, up, backwards, of a world-to-camera (3, 4) with right, down, forwards."""
    pose = np.linalg.inv(np.concatenate([motion, [[0, 0, 0, 1]]]))
    pose[:, 1:3] *= -1
    return pose


def project(points: np.ndarray, motion: np.ndarray, fl_x, fl_y, cx, cy, family="pinhole", **bend) -> np.ndarray:
    """Columns and rows (N, 2), px, of world points (N, 3)."""
    found = []
    for point in points:
        across, down, ahead = motion[:, :3] @ point + motion[:, 3]
        x, y = _FAMILIES[family](across / ahead, down / ahead, **bend)
        found.append([fl_x * x + cx, fl_y * y + cy])
    return np.array(found)


def _pinhole(x, y, k1=0.0, k2=0.0, k3=0.0, p1=0.0, p2=0.0, k4=0.0, k5=0.0, k6=0.0):
    r2 = x**2 + y**2
    bend = (1 + k1 * r2 + k2 * r2**2 + k3 * r2**3) / (1 + k4 * r2 + k5 * r2**2 + k6 * r2**3)
    return x * bend + 2 * p1 * x * y + p2 * (r2 + 2 * x**2), y * bend + 2 * p2 * x * y + p1 * (r2 + 2 * y**2)


def _fisheye(x, y, k1=0.0, k2=0.0, k3=0.0, k4=0.0, p1=0.0, p2=0.0, sx1=0.0, sy1=0.0):
    r = math.hypot(x, y)
    angle = math.atan(r)
    u, v = x * angle / r, y * angle / r
    bend = k1 * angle**2 + k2 * angle**4 + k3 * angle**6 + k4 * angle**8
    return (
        u + u * bend + 2 * p1 * u * v + p2 * (angle**2 + 2 * u**2) + sx1 * angle**2,
        v + v * bend + 2 * p2 * u * v + p1 * (angle**2 + 2 * v**2) + sy1 * angle**2,
    )


def _fov(x, y, k1):
    r = math.hypot(x, y)
    return tuple(side / r * math.atan(2 * r * math.tan(k1 / 2)) / k1 for side in (x, y))


def _division(x, y, k1):
    """The distance q with q / (1 + k1 q^2) = r, by trial."""
    low, high, r = 0.0, 10.0, math.hypot(x, y)
    for _ in range(80):
        q = (low + high) / 2
        low, high = (q, high) if q / (1 + k1 * q * q) < r and k1 * q * q > -1 else (low, q)
    return x * q / r, y * q / r


_FAMILIES = {"pinhole": _pinhole, "fisheye": _fisheye, "fov": _fov, "division": _division}


def photograph(dots: np.ndarray, width: int = WIDTH, height: int = HEIGHT, radius: float = 4.0) -> Image.Image:
    """A dark picture with a soft bright dot at each (column, row) of `dots` (N, 2)."""
    columns, rows = np.arange(width) + 0.5, np.arange(height) + 0.5
    light = sum(np.exp(-((columns - c) ** 2 + (rows[:, None] - r) ** 2) / (2 * radius**2)) for c, r in dots)
    return Image.fromarray(np.repeat(np.rint(250 * light.clip(max=1)).astype(np.uint8)[..., None], 3, axis=2))


def check_dots(split: Split, points: np.ndarray, tolerance: float = 0.12) -> None:
    """The loaded cameras see the points where their dots are in the loaded pictures, to a fraction of a pixel.

    Dots that others hide or touch are left out; at least two of each view are not.
    """
    for view, image in enumerate(split.images[..., 1].astype(float)):
        expected, depth = split.cameras.project(torch.from_numpy(points).float(), view)
        assert (depth > 0).all()
        reach = round(image.shape[1] / WIDTH * 12)
        apart = (expected[:, None] - expected).abs().amax(-1) + 1000 * torch.eye(len(points))
        alone = expected[apart.amin(1) > 2 * reach]
        assert len(alone) >= 2, expected
        for column, row in alone.tolist():
            left, top = int(column) - reach, int(row) - reach
            assert left >= 0 and top >= 0 and int(column) + reach < image.shape[1] and int(row) + reach < image.shape[0]
            window = image[top : top + 2 * reach + 1, left : left + 2 * reach + 1]
            assert window.max() > 150, (view, column, row)
            inside = np.arange(2 * reach + 1) + 0.5
            found = np.array([(window * inside).sum() + left * window.sum(), (window.T * inside).sum() + top * window.sum()])
            np.testing.assert_allclose(found / window.sum(), [column, row], atol=tolerance, err_msg=f"view {view}")


def world_points(scene) -> np.ndarray:
    """The written points (N, 3) in the loaded scene's world."""
    world = np.array(scene.extras.get("world_from_file", np.eye(4)))
    return POINTS @ world[:3, :3].T + world[:3, 3]


def write_llff(
    folder: Path, motions=None, size=(WIDTH, HEIGHT), focal=260.0, images="images", extension=".png", factor: int = 1
) -> Path:
    """poses_bounds.npy for photographs of `size`, and `images` at 1/factor of it; the principal point is the middle."""
    motions = facing() if motions is None else motions
    width, height = size
    (folder / images).mkdir(parents=True)
    rows = []
    for k, motion in enumerate(motions):
        pose = np.linalg.inv(np.concatenate([motion, [[0, 0, 0, 1]]]))
        right, down, forward, center = pose[:3].T
        hwf = np.array([height, width, focal])
        depths = POINTS @ motion[2, :3] + motion[2, 3]
        rows.append([*np.stack([down, right, -forward, center, hwf], axis=1).ravel(), depths.min(), depths.max()])
        dots = project(POINTS, motion, focal, focal, width / 2, height / 2) / factor
        photograph(dots, width // factor, height // factor, 4 / factor).save(folder / images / f"image{k:03d}{extension}")
    np.save(folder / "poses_bounds.npy", np.array(rows))
    return folder


def write_transforms(folder: Path, motions=None, lens=LENS, size=(WIDTH, HEIGHT), frames=None, extension=".png", **top) -> Path:
    """transforms.json with images; `frames`: {frame: entries of its own}; `top`: entries of the file."""
    motions = around() if motions is None else motions
    (folder / "images").mkdir(parents=True)
    content = {**lens, "w": size[0], "h": size[1], **top, "frames": []}
    for k, motion in enumerate(motions):
        own = (frames or {}).get(k, {})
        file = f"images/frame_{k:05d}{extension}"
        if "camera_angle_x" in own:
            focal = size[0] / 2 / math.tan(own["camera_angle_x"] / 2)
            used = {**lens, "fl_x": focal, "fl_y": focal}
        else:
            used = {**lens, **{key: value for key, value in own.items() if key in {*LENS, *BENT, "k3"}}}
        if top.get("is_fisheye") or top.get("camera_model") == "OPENCV_FISHEYE":
            used["family"] = "fisheye"
        photograph(project(POINTS, motion, **used), *size).save(folder / file)
        content["frames"].append({"file_path": file, "transform_matrix": opengl(motion).tolist(), **own})
    write_json(folder, content)
    return folder


def write_json(folder: Path, content) -> None:
    (folder / "transforms.json").write_text(json.dumps(content))


def read_json(folder: Path) -> dict:
    return json.loads((folder / "transforms.json").read_text())


_SQUARE = {"fl_x": 255.0, "fl_y": 255.0, "cx": 166.0, "cy": 105.0}
COLMAP_MODELS = {  # number in .bin files, parameters, and the same as a lens
    "SIMPLE_PINHOLE": (0, [255.0, 166, 105], {"fl_x": 255.0, "fl_y": 255.0, "cx": 166.0, "cy": 105.0}),
    "PINHOLE": (1, [260.0, 250, 166, 105], LENS),
    "SIMPLE_RADIAL": (2, [255.0, 166, 105, 0.1], {"fl_x": 255.0, "fl_y": 255.0, "cx": 166.0, "cy": 105.0, "k1": 0.1}),
    "RADIAL": (
        3,
        [255.0, 166, 105, 0.1, -0.05],
        {"fl_x": 255.0, "fl_y": 255.0, "cx": 166.0, "cy": 105.0, "k1": 0.1, "k2": -0.05},
    ),
    "OPENCV": (4, [260.0, 250, 166, 105, 0.12, -0.05, 0.01, -0.015], LENS | BENT),
    "OPENCV_FISHEYE": (
        5,
        [260.0, 250, 166, 105, 0.08, -0.03, 0.01, -0.02],
        LENS | {"family": "fisheye", "k1": 0.08, "k2": -0.03, "k3": 0.01, "k4": -0.02},
    ),
    "FULL_OPENCV": (
        6,
        [260.0, 250, 166, 105, 0.12, -0.05, 0.01, -0.015, 0.02, 0.1, 0.03, -0.01],
        LENS | BENT | {"k3": 0.02, "k4": 0.1, "k5": 0.03, "k6": -0.01},
    ),
    "FOV": (7, [260.0, 250, 166, 105, 0.9], LENS | {"family": "fov", "k1": 0.9}),
    "SIMPLE_RADIAL_FISHEYE": (8, [255.0, 166, 105, 0.1], _SQUARE | {"family": "fisheye", "k1": 0.1}),
    "RADIAL_FISHEYE": (9, [255.0, 166, 105, 0.1, -0.05], _SQUARE | {"family": "fisheye", "k1": 0.1, "k2": -0.05}),
    "THIN_PRISM_FISHEYE": (
        10,
        [260.0, 250, 166, 105, 0.08, -0.03, 0.01, -0.015, 0.01, -0.02, 0.02, -0.01],
        LENS
        | {
            "family": "fisheye",
            "k1": 0.08,
            "k2": -0.03,
            "p1": 0.01,
            "p2": -0.015,
            "k3": 0.01,
            "k4": -0.02,
            "sx1": 0.02,
            "sy1": -0.01,
        },
    ),
    "SIMPLE_DIVISION": (12, [255.0, 166, 105, -0.2], _SQUARE | {"family": "division", "k1": -0.2}),
    "DIVISION": (13, [260.0, 250, 166, 105, 0.15], LENS | {"family": "division", "k1": 0.15}),
    "SIMPLE_FISHEYE": (14, [255.0, 166, 105], _SQUARE | {"family": "fisheye"}),
    "FISHEYE": (15, [260.0, 250, 166, 105], LENS | {"family": "fisheye"}),
}


def write_colmap(
    folder: Path,
    ending: str = "bin",
    model: str = "OPENCV",
    motions=None,
    model_folder="sparse/0",
    cloud=None,
    tracks: bool = True,
) -> Path:
    """A model with POINTS, `cloud` (N, 3), and images view_0.png …; ids are neither dense nor in order."""
    motions = around() if motions is None else motions
    sparse = folder / model_folder
    sparse.mkdir(parents=True, exist_ok=True)
    (folder / "images").mkdir(exist_ok=True)
    number, parameters, lens = COLMAP_MODELS[model]
    cloud = np.concatenate([POINTS, POINTS / 2 + 0.01 if cloud is None else cloud])
    ids = 7 * np.arange(len(cloud))[::-1] + 3
    pictures = []
    for k, motion in enumerate(motions):
        dots = project(POINTS, motion, **lens)
        photograph(dots).save(folder / "images" / f"view_{k}.png")
        x, y, z, w = -Rotation.from_matrix(motion[:, :3]).as_quat() * 2  # any sign and length
        seen = np.concatenate([dots, [[3.0, 4.0]]]) if tracks else np.zeros((0, 2))
        points = [*ids[: len(POINTS)], -1] if tracks else []
        pictures.append((len(motions) - k, [w, x, y, z, *motion[:, 3]], f"view_{k}.png", seen, points))
    if ending == "bin":
        colmap_binaries(sparse, [(5, number, WIDTH, HEIGHT, parameters)], pictures, ids, cloud)
    else:
        _colmap_texts(sparse, [(5, model, WIDTH, HEIGHT, parameters)], pictures, ids, cloud)
    return folder


def colmap_binaries(sparse: Path, cameras, pictures, ids, cloud, camera: int = 5) -> None:
    data = struct.pack("<Q", len(cameras))
    for number, model, width, height, parameters in cameras:
        data += struct.pack(f"<iiQQ{len(parameters)}d", number, model, width, height, *parameters)
    (sparse / "cameras.bin").write_bytes(data)
    data = struct.pack("<Q", len(pictures))
    for number, motion, name, seen, points in pictures:
        data += struct.pack("<i7di", number, *motion, camera) + name.encode() + b"\0" + struct.pack("<Q", len(points))
        data += b"".join(struct.pack("<ddq", *where, point) for where, point in zip(seen, points, strict=True))
    (sparse / "images.bin").write_bytes(data)
    data = struct.pack("<Q", len(ids))
    for number, point in zip(ids, cloud, strict=True):
        data += struct.pack("<Q3d3Bd", number, *point, 9, 9, 9, 0.5) + struct.pack("<Q4i", 2, 1, 0, 2, 0)
    (sparse / "points3D.bin").write_bytes(data)


def _colmap_texts(sparse: Path, cameras, pictures, ids, cloud) -> None:
    lines = ["# Camera list with one line of data per camera:"]
    lines += [" ".join(map(str, [number, model, width, height, *values])) for number, model, width, height, values in cameras]
    (sparse / "cameras.txt").write_text("\n".join(lines) + "\n")
    lines = ["# Image list with two lines of data per image:"]
    for number, motion, name, seen, points in pictures:
        lines.append(" ".join(map(str, [number, *map(float, motion), 5, name])))
        lines.append(" ".join(f"{u} {v} {point}" for (u, v), point in zip(seen, points, strict=True)))
    (sparse / "images.txt").write_text("\n".join(lines) + "\n")
    lines = ["# 3D point list"]
    for number, point in zip(ids, cloud, strict=True):
        lines.append(" ".join(map(str, [number, *map(float, point), 9, 9, 9, 0.5, 1, 0])))
    (sparse / "points3D.txt").write_text("\n".join(lines) + "\n")
