"""Files with absurd numbers or contents raise an error of one sentence, at once."""

import json
import math
import struct

import numpy as np
import pytest

from tests.datasets import written_photos
from tests.datasets.written_scene import pose, read, refusal, save, write_scene


def frame_zero(folder, **entries) -> None:
    content = read(folder)
    content["frames"][0] |= entries
    save(folder, "train", content)


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"file_path": "x" * 300}, "File name too long"),
        ({"file_path": "./train/r_0\0"}, r"r_0\x00.png is missing"),
        ({"file_path": "./train/r\n0"}, r"r\n0.png is missing"),
        ({"file_path": "./train/\ud800"}, r"\ud800.png is missing"),
        (
            {"transform_matrix": [[True, 0, 0, 4], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]},
            "is not a 4x4 or 3x4 matrix of numbers",
        ),
        (
            {"transform_matrix": [[10**400, 0, 0, 4], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]},
            "holds a value that is not finite",
        ),
        ({"transform_matrix": [[1e200, 0, 0, 4], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]}, "the pose is not rigid"),
        ({"fl_x": 10**400}, "fl_x is inf, not a finite positive number"),
        ({"fl_x": True}, "fl_x is True, not a finite positive number"),
    ],
)
def test_frames(tmp_path, entries, words):
    write_scene(tmp_path)
    frame_zero(tmp_path, **entries)
    assert words in refusal(tmp_path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"frames": ' + "[" * 200_000, "nested too deeply"),
        ('{"camera_angle_x": 0.7, "camera_angle_x": 0.8, "frames": []}', "the key 'camera_angle_x' is there twice"),
    ],
)
def test_transforms(tmp_path, text, words):
    write_scene(tmp_path)
    (tmp_path / "transforms_train.json").write_text(text)
    said = refusal(tmp_path)
    assert words in said and "transforms_train.json" in said


def test_scenes_that_no_float_of_32_bits_holds(tmp_path):
    write_scene(tmp_path)
    content = read(tmp_path)
    for k, frame in enumerate(content["frames"]):
        frame["transform_matrix"] = pose(k, 1e39)
    save(tmp_path, "train", content)
    assert "the pose of the view r_0 has numbers too large for 32 bits" in refusal(tmp_path)


@pytest.mark.parametrize("aabb_scale", [1e39, 1e-60])
def test_infinite_and_empty_boxes(tmp_path, aabb_scale):
    written_photos.write_transforms(tmp_path, aabb_scale=aabb_scale)
    assert "that holds the scene is infinite or empty" in refusal(tmp_path, no_masks=True, factor=2)


def npy(header: str) -> bytes:
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text


@pytest.mark.parametrize(
    "content",
    [
        npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000, 17), }") + b"\0" * 800,
        npy("{'descr': '|O', 'fortran_order': False, 'shape': (20, 17), }") + b"cos\nsystem\n(S'true'\ntR.",
        npy("{'descr': '<f8', " + "(" * 90),
        npy("__import__('os')"),
        b"\x93NUMPY",
        b"",
        json.dumps([1]).encode(),
    ],
)
def test_poses_bounds(tmp_path, content):
    written_photos.write_llff(tmp_path, size=(32, 24), focal=26.0)
    (tmp_path / "poses_bounds.npy").write_bytes(content)
    said = refusal(tmp_path, no_masks=True, factor=2)
    assert "poses_bounds.npy cannot be read as a NumPy array: the file is damaged" in said


@pytest.mark.parametrize("name", ["cameras", "images", "points3D"])
def test_counts_of_colmap(tmp_path, name):
    written_photos.write_colmap(tmp_path, "bin")
    path = tmp_path / f"sparse/0/{name}.bin"
    path.write_bytes(struct.pack("<Q", 10**18) + path.read_bytes()[8:])
    assert f"{name}.bin" in refusal(tmp_path, no_masks=True, factor=2)


def test_llff_bounds_that_are_too_large(tmp_path):
    written_photos.write_llff(tmp_path, size=(32, 24), focal=26.0)
    rows = np.load(tmp_path / "poses_bounds.npy")
    rows[:, 16] = 1e300
    np.save(tmp_path / "poses_bounds.npy", rows)
    assert math.isfinite(rows.max()) and "infinite" in refusal(tmp_path, no_masks=True, factor=2)
