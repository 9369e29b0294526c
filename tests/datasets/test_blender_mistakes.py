"""Every kind of damaged NeRF-synthetic scene is refused in one sentence that names the mistake and the file."""

import math

import numpy as np
import pytest
from PIL import Image

from tests.datasets.written_scene import load, picture, pose, read, refusal, save, write_scene

# What is wrong with a scene


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"frames": [\n{"file_path": }]}', "transforms_train.json, line 2: not valid JSON"),
        ("", "line 1: not valid JSON"),
        ("[]", "has no list `frames`"),
        ('{"camera_angle_x": 0.7}', "has no list `frames`"),
        ('{"camera_angle_x": 0.7, "frames": []}', "lists no frames: the split train has no views"),
        ('{"camera_angle_x": 0.7, "frames": [{}]}', "frame 0 has no file_path"),
    ],
)
def test_damaged_transforms_files(tmp_path, text, words):
    write_scene(tmp_path)
    (tmp_path / "transforms_train.json").write_text(text)
    assert words in refusal(tmp_path)


def turned(matrix, change) -> list:
    matrix = np.array(matrix, dtype=float)
    change(matrix)
    return matrix.tolist()


def scale_rotation(matrix):
    matrix[:3, :3] *= 2.5


def shear(matrix):
    matrix[0, 1] += 0.01


def mirror(matrix):
    matrix[:3, 0] *= -1


def spoil(matrix):
    matrix[1, 3] = math.nan


def last_row(matrix):
    matrix[3] = [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (scale_rotation, "the rotation is scaled by 2.5"),
        (shear, "the pose is not rigid"),
        (mirror, "the pose is a mirror image"),
        (spoil, "transform_matrix holds a value that is not finite"),
        (last_row, "the last row of transform_matrix is not 0 0 0 1"),
    ],
)
def test_poses_that_are_none(tmp_path, change, words):
    write_scene(tmp_path)
    content = read(tmp_path)
    content["frames"][1]["transform_matrix"] = turned(pose(1), change)
    save(tmp_path, "train", content)
    assert f"transforms_train.json, frame 1: {words}" in refusal(tmp_path)


@pytest.mark.parametrize("matrix", [None, [[1, 0], [0, 1]], [[1, 2, 3, 4], [1, 2]], "pose", [["a"] * 4] * 4])
def test_poses_of_another_shape(tmp_path, matrix):
    write_scene(tmp_path)
    content = read(tmp_path)
    content["frames"][0]["transform_matrix"] = matrix
    save(tmp_path, "train", content)
    assert "frame 0: transform_matrix is not a 4x4 or 3x4 matrix" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"camera_angle_x": 0}, "camera_angle_x is 0, not a finite positive number below pi"),
        ({"camera_angle_x": math.nan}, "camera_angle_x is nan"),
        ({"camera_angle_x": math.inf}, "camera_angle_x is inf"),
        ({"camera_angle_x": -0.7}, "camera_angle_x is -0.7"),
        ({"camera_angle_x": "wide"}, "camera_angle_x is 'wide'"),
        ({"camera_angle_x": 3.2}, "camera_angle_x is 3.2"),
        ({"fl_x": -5}, "fl_x is -5, not a finite positive number"),
        ({"fl_x": 5, "cx": math.inf}, "cx is inf"),
        ({"fl_x": 5, "w": 16, "h": 16}, "says w x h = 16x16, but"),
        ({"k1": 0.05}, "has lens distortion k1"),
    ],
)
def test_intrinsics_that_are_not_valid(tmp_path, entry, words):
    assert words in refusal(write_scene(tmp_path, **entry))


def test_no_focal_length_at_all(tmp_path):
    write_scene(tmp_path)
    content = read(tmp_path)
    del content["camera_angle_x"]
    save(tmp_path, "train", content)
    assert "the focal length is missing: give camera_angle_x or fl_x" in refusal(tmp_path)


def test_a_missing_image_is_named(tmp_path):
    write_scene(tmp_path)
    (tmp_path / "train/r_1.png").unlink()
    said = refusal(tmp_path)
    assert "frame 1: its image" in said and f"{tmp_path / 'train/r_1.png'} is missing" in said


def test_images_that_cannot_be_decoded_are_named(tmp_path):
    write_scene(tmp_path, size=(64, 64))
    whole = (tmp_path / "train/r_2.png").read_bytes()
    (tmp_path / "train/r_2.png").write_bytes(whole[: len(whole) // 2])
    assert f"{tmp_path / 'train/r_2.png'} cannot be decoded: the file is damaged" in refusal(tmp_path)
    (tmp_path / "train/r_2.png").write_text("not a picture")
    assert f"{tmp_path / 'train/r_2.png'} cannot be decoded as an image" in refusal(tmp_path)


def test_images_without_alpha(tmp_path):
    said = refusal(write_scene(tmp_path / "rgb", mode="RGB"))
    assert "train/r_0.png has no alpha channel: --method points carves a visual hull from masks" in said
    write_scene(tmp_path / "mixed")
    picture(8, 6, mode="RGB").save(tmp_path / "mixed/train/r_1.png")
    said = refusal(tmp_path / "mixed")
    assert "train/r_1.png has no alpha channel, but other images of its split have" in said


def test_evaluation_views_may_lack_alpha(tmp_path):
    write_scene(tmp_path)
    for k in range(2):
        picture(8, 6, shade=k, mode="RGB").save(tmp_path / f"test/r_{k}.png")
    assert load(tmp_path).test.alpha is None


def test_pixels_without_a_known_range_are_refused(tmp_path):
    write_scene(tmp_path)
    Image.fromarray(np.full((6, 8), 0.5, np.float32)).save(tmp_path / "train/r_0.png", format="TIFF")
    assert "has pixels of type F: save it as 8-bit RGBA" in refusal(tmp_path)
