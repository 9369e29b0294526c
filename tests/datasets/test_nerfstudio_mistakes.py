"""One transforms.json for all photographs: entries that are not used, and every kind of damaged file."""

import math

import numpy as np
import pytest
from PIL import Image

from tests.datasets.changed_transforms import change, change_frame
from tests.datasets.half_size import load, refusal
from tests.datasets.written_photos import around, write_transforms


def test_entries_that_are_not_used_are_named_once(tmp_path, capsys):
    write_transforms(tmp_path, sharpness=3, ply_file_path="a.ply", from_mitsuba=True, K1=0.3, flx=3, n_frames=8, odd=1, scale=0.5)
    for k in range(9):
        change_frame(tmp_path, k, depth_file_path="d.png", time=0.1, colmap_im_id=k)
    load(tmp_path)
    lines = [line for line in capsys.readouterr().err.splitlines() if "not used" in line]
    assert len(lines) == 1 and "sharpness" not in lines[0] and "colmap_im_id" not in lines[0]
    assert "not used: depth_file_path, from_mitsuba, n_frames, odd, scale;" in lines[0]
    assert "K1 is not used: is k1 meant?" in lines[0] and "flx is not used: is fl_x meant?" in lines[0]
    assert "time: the file has times, but the scene is learned as static" in lines[0]
    load(write_transforms(tmp_path / "b", aabb_scale=4, k4=0, is_fisheye=False))
    assert "not used" not in capsys.readouterr().err


def test_entries_that_only_record_what_was_done_are_silent(tmp_path, capsys):
    write_transforms(
        tmp_path,
        applied_transform=[[1, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0]],
        applied_scale=0.5,
        n_frames=9,
        ply_file_path="sparse_pc.ply",
        from_mitsuba=False,
    )
    load(tmp_path)
    assert "not used" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("top", "words"),
    [
        ({"camera_model": "FISHEYE624"}, "the camera model FISHEYE624 is not supported"),
        ({"camera_model": "EQUIRECTANGULAR"}, "the camera model EQUIRECTANGULAR is not supported"),
        ({"is_fisheye": True, "p1": 0.01}, "frame 0 has lens distortion p1, which is not supported for its camera model"),
        ({"camera_model": ["OPENCV"]}, "the camera model ['OPENCV'] is not supported"),
        ({"latlong": True}, "the camera model latlong is not supported"),
        ({"k4": 0.01}, "frame 0 has lens distortion k4, which is not supported"),
        ({"k1": "strong"}, "k1 is 'strong', not a finite number"),
        ({"k2": math.nan}, "k2 is nan, not a finite number"),
        ({"k1": -2.0}, "folds the picture over"),
        ({"fl_x": 0}, "fl_x is 0, not a finite positive number"),
        ({"w": 400}, "says w x h = 400x216"),
        ({"aabb_scale": 0}, "aabb_scale is 0, not a finite positive number"),
        ({"aabb_scale": "big"}, "aabb_scale is 'big'"),
        ({"aabb_scale": 1, "offset": [1, 2]}, "offset is [1, 2], not three finite numbers"),
        ({"frames": []}, "lists no frames"),
        ({"frames": None}, "has no list `frames`"),
    ],
)
def test_entries_that_make_no_sense(tmp_path, top, words):
    write_transforms(tmp_path)
    change(tmp_path, **top)
    assert words in refusal(tmp_path)


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"transform_matrix": [[1, 0], [0, 1]]}, "frame 4: transform_matrix is not a 4x4 or 3x4 matrix"),
        ({"transform_matrix": np.diag([2.0, 2, 2, 1]).tolist()}, "frame 4: the rotation is scaled by 2"),
        ({"transform_matrix": np.full((4, 4), math.inf).tolist()}, "frame 4: transform_matrix holds a value that is not finite"),
        ({"file_path": None}, "frame 4 has no file_path"),
        ({"camera_model": "FOV"}, "frame 4: the camera model FOV is not supported"),
        ({"w": 640, "h": 432}, "frame_00004.png is 320x216 px, smaller than the 640x432 px to work at"),
    ],
)
def test_frames_that_make_no_sense(tmp_path, entries, words):
    write_transforms(tmp_path)
    change_frame(tmp_path, 4, **entries)
    assert words in refusal(tmp_path, factor=1)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"fl_x": 1e-300}, "focal length 0 px"),
        ({"fl_y": 1e12}, "focal length 5e+11 px"),
        ({"cx": 1e30}, "the principal point 5e+29 px"),
    ],
)
def test_intrinsics_that_cannot_be_right(tmp_path, entry, words):
    write_transforms(tmp_path)
    change(tmp_path, **entry)
    said = refusal(tmp_path)
    assert (
        said.startswith(f"{tmp_path}: the camera of the view ") and words in said and "check the intrinsics in its files" in said
    )


def test_images_that_make_no_sense(tmp_path):
    write_transforms(tmp_path)
    Image.new("RGB", (300, 200)).save(tmp_path / "images/frame_00005.png")
    assert f"says w x h = 320x216, but {tmp_path / 'images/frame_00005.png'} is 300x200" in refusal(tmp_path)
    Image.new("RGB", (160, 108)).save(tmp_path / "images/frame_00005.png")
    assert "frame_00005.png is 160x108 px, smaller than the 320x216 px to work at" in refusal(tmp_path, factor=1)
    (tmp_path / "images/frame_00005.png").write_text("no picture")
    assert "frame_00005.png cannot be decoded" in refusal(tmp_path)
    assert "no alpha channel: --method points carves" in refusal(write_transforms(tmp_path / "b"), no_masks=False)


def test_one_photograph_is_too_few(tmp_path):
    write_transforms(tmp_path)
    for k in range(1, 9):
        (tmp_path / f"images/frame_{k:05d}.png").unlink()
    assert f"of the 9 images that {tmp_path / 'transforms.json'} lists, only 1 exists: at least two" in refusal(tmp_path)
    assert "transforms.json lists only 1 image: at least two" in refusal(write_transforms(tmp_path / "one", around(1)))


def test_unreadable_json(tmp_path):
    write_transforms(tmp_path)
    (tmp_path / "transforms.json").write_text('{"frames": [\n,]}')
    assert "transforms.json, line 2: not valid JSON" in refusal(tmp_path)
    assert "no poses_bounds.npy was found" in refusal(tmp_path, dataset_type="llff")
    assert "--no_ndc is for scenes of --dataset_type llff" in refusal(tmp_path, no_ndc=True)
