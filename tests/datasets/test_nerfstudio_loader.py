"""One transforms.json for all photographs: known points, lenses, smaller copies and the scene's box."""

import math
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from datasets.nerfstudio import ngp_box
from datasets.pictures import shrink
from tests.datasets.changed_transforms import change, change_frame
from tests.datasets.half_size import load, refusal
from tests.datasets.written_photos import BENT, LENS, POINTS, around, check_dots, opengl, read_json, write_json, write_transforms


@pytest.mark.parametrize(
    ("settings", "size"),
    [({}, (160, 108)), ({"factor": 1}, (320, 216)), ({"factor": 3}, (107, 72)), ({"factor": 8, "img_s": 150}, (150, 101))],
)
@pytest.mark.parametrize("lens", [LENS, LENS | BENT, LENS | {"k3": 0.2}])
def test_points_are_seen_where_they_were_photographed(tmp_path, settings, size, lens):
    scene = load(write_transforms(tmp_path, lens=lens), **settings)
    assert scene.train.images.shape == (7, *size[::-1], 3)
    for split in (scene.train, scene.test):
        check_dots(split, POINTS, 0.15)


FISHEYE = {"k1": 0.08, "k2": -0.03, "k3": 0.01, "k4": -0.02}


@pytest.mark.parametrize(
    "said", [{"is_fisheye": True}, {"camera_model": "OPENCV_FISHEYE"}, {"is_fisheye": True, "camera_model": "OPENCV"}]
)
@pytest.mark.parametrize("factor", [1, 2])
def test_fisheyes(tmp_path, said, factor):
    scene = load(write_transforms(tmp_path, lens=LENS | FISHEYE, **said), factor=factor)
    for split in (scene.train, scene.test):
        check_dots(split, POINTS, 0.15)


def test_frames_may_have_lenses_of_their_own(tmp_path):
    frames = {1: {"fl_x": 300.0, "fl_y": 290.0, "cx": 150.0}, 2: {"k1": 0.2, "p1": -0.01}, 3: {"camera_angle_x": 1.1}}
    scene = load(write_transforms(tmp_path, frames=frames))
    check_dots(scene.train, POINTS)
    focal = scene.train.cameras.intrinsics[:, 0, 0].tolist()
    assert focal[:3] == pytest.approx([150, 130, 160 / 2 / math.tan(0.55)], rel=1e-5)


def test_an_angle_alone_is_enough(tmp_path):
    lens = {"fl_x": 270.0, "fl_y": 270.0, "cx": 160.0, "cy": 108.0}
    write_transforms(tmp_path, lens=lens)
    change(tmp_path, fl_x=None, fl_y=None, cx=None, cy=None, w=None, h=None, camera_angle_x=2 * math.atan(160 / 270))
    check_dots(load(tmp_path).train, POINTS)


def test_a_jpeg_stated_at_a_larger_size(tmp_path):
    """w and h are those of the photographs; the files are copies at a half, and --factor counts from w."""
    write_transforms(tmp_path, lens=LENS | BENT, extension=".jpg")
    content = read_json(tmp_path)
    write_json(tmp_path, content | {key: 2 * content[key] for key in ("w", "h", "fl_x", "fl_y", "cx", "cy")})
    scene = load(tmp_path, factor=4)
    assert scene.train.images.shape[1:3] == (108, 160) and scene.extras["stored_size"] == (640, 432)
    check_dots(scene.train, POINTS)
    assert "is 320x216 px, smaller than the 640x432 px to work at: give a larger --factor" in refusal(tmp_path, factor=1)


def test_smaller_copies_are_taken_where_they_are(tmp_path):
    write_transforms(tmp_path, extension=".jpg")
    (tmp_path / "images_2").mkdir()
    for path in (tmp_path / "images").iterdir():
        copy = shrink(np.asarray(Image.open(path)), 160, 108)
        copy[:3] = 77
        Image.fromarray(copy).save(tmp_path / "images_2" / f"{path.stem}.png")
    scene = load(tmp_path)
    assert (scene.train.images[:, :3] == 77).all()
    check_dots(scene.train, POINTS)
    (tmp_path / "images_2/frame_00004.png").unlink()  # copies of some are no copies
    assert not (load(tmp_path).train.images[:, :3] == 77).any()


# The box


def test_bounds_from_the_cameras_or_from_aabb_scale(tmp_path):
    scene = load(write_transforms(tmp_path))
    inside = torch.from_numpy(POINTS).float()
    assert (inside > scene.bounds[0]).all() and (inside < scene.bounds[1]).all() and "axes meet" in scene.extras["bounds_from"]
    change(tmp_path, aabb_scale=2)
    scene = load(tmp_path)
    np.testing.assert_allclose(scene.bounds, [[-1 / 0.33] * 3, [1 / 0.33] * 3], rtol=1e-6)
    assert scene.extras["bounds_from"] == "aabb_scale of transforms.json" and not scene.forward_facing
    assert 0 < scene.near < 1.5 and 5 < scene.far < 12 and scene.render_path is None


def test_instant_ngps_own_scale_and_offset(tmp_path):
    """p -> 0.5 p + (0.5, 0.6, 0.7) into a cube of side 4 around 0.5: from -1.5 to 2.5 there."""
    box = ngp_box({"aabb_scale": 4, "scale": 0.5, "offset": [0.5, 0.6, 0.7]}, tmp_path)
    np.testing.assert_allclose(box, [[-4, -4.2, -4.4], [4, 3.8, 3.6]], rtol=1e-6)


def test_one_odd_pose_does_not_move_the_box(tmp_path, capsys):
    sound = load(write_transforms(tmp_path / "sound"))
    assert "unlike" not in capsys.readouterr().err
    far, away = opengl(around()[3]), opengl(around()[3])
    far[:3, 3] *= 500
    away[:3, [0, 2]] *= -1  # looks the other way
    for pose in (far, away):
        write_transforms(tmp_path / "odd")
        change_frame(tmp_path / "odd", 3, transform_matrix=pose.tolist())
        scene = load(tmp_path / "odd")
        assert "the pose of frame_00003 is unlike the others'" in capsys.readouterr().err
        np.testing.assert_allclose(scene.bounds, sound.bounds, atol=0.1)
        assert (scene.near, scene.far) == (pytest.approx(sound.near, rel=0.2), pytest.approx(sound.far, rel=0.05))
        shutil.rmtree(tmp_path / "odd")
