"""LLFF scenes with every kind of damaged file, and flags that do not fit them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.datasets import written_scene
from tests.datasets.half_size import load, refusal
from tests.datasets.written_photos import around, check_dots, facing, world_points, write_llff


def change(folder: Path, edit) -> None:
    rows = np.load(folder / "poses_bounds.npy")
    np.save(folder / "poses_bounds.npy", edit(rows))


def with_value(row: int, column: int, value: float):
    def edit(rows):
        rows[row, column] = value
        return rows

    return edit


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda rows: rows[:, :15], "holds 9x15 values of type float64, not N rows of 17 numbers"),
        (lambda rows: rows.reshape(-1), "holds 153 values"),
        (lambda rows: rows[:0], "holds 0x17 values"),
        (lambda rows: rows.astype(str), "not N rows of 17 numbers"),
        (lambda rows: rows[:8], "has poses of 8 photographs, but"),
        (with_value(2, 15, np.nan), "row 2: the bounds nan and"),
        (with_value(2, 16, np.inf), "and inf are not two finite depths"),
        (with_value(0, 15, -1.0), "row 0: the bounds -1 and"),
        (with_value(1, 16, 0.5), "are not two finite depths, the nearest above 0"),
        (with_value(3, 0, np.nan), "row 3: its pose holds a value that is not finite"),
        (with_value(3, 0, 3.0), "row 3: the pose is not rigid"),
        (with_value(4, 14, 0.0), "focal length 0 are not those of a camera"),
        (with_value(4, 9, np.nan), "width nan"),
        (
            with_value(5, 9, 300.0),
            "image005.png is 320x216 px, out of proportion with the 300x216 px for which its camera is stated",
        ),
    ],
)
def test_damaged_poses(tmp_path, edit, words):
    write_llff(tmp_path)
    change(tmp_path, edit)
    assert words in refusal(tmp_path)


@pytest.mark.parametrize(
    ("edit", "words"),
    [(with_value(3, 15, 0.05), "row 3: the bounds 0.05 and"), (with_value(3, 16, 9000.0), "and 9000 of image003 are unlike")],
)
def test_one_photographs_bounds_do_not_set_the_worlds_scale(tmp_path, edit, words, capsys):
    sound = load(write_llff(tmp_path))
    assert "unlike" not in capsys.readouterr().err
    change(tmp_path, edit)
    scene = load(tmp_path)
    assert words in capsys.readouterr().err
    assert (scene.near, scene.far) == (pytest.approx(sound.near, rel=0.01), pytest.approx(sound.far, rel=0.01))
    torch.testing.assert_close(scene.train.cameras.camera_to_world, sound.train.cameras.camera_to_world, rtol=0.01, atol=0.01)
    np.testing.assert_allclose(scene.bounds, sound.bounds, atol=0.2)
    change(tmp_path, with_value(4, 15, 0.5))
    change(tmp_path, with_value(5, 15, 0.5))
    change(tmp_path, with_value(3, 15, 0.5))  # three of nine are no mistake
    load(tmp_path)
    assert "image004 are unlike" not in capsys.readouterr().err


def test_one_odd_pose_does_not_move_the_world(tmp_path, capsys):
    def away(rows):
        rows[4, [3, 8, 13]] *= 500
        return rows

    sound = load(write_llff(tmp_path / "sound"))
    write_llff(tmp_path / "odd")
    change(tmp_path / "odd", away)
    scene = load(tmp_path / "odd")
    assert "the pose of image004 is unlike the others'" in capsys.readouterr().err
    np.testing.assert_allclose(scene.bounds, sound.bounds, atol=0.2)
    np.testing.assert_allclose(scene.render_path.centers, sound.render_path.centers, atol=0.2)
    write_llff(tmp_path / "around", around(), focal=280.0)
    sound = load(tmp_path / "around", spherify=True)
    change(tmp_path / "around", away)
    scene = load(tmp_path / "around", spherify=True)
    usual = [view for view, name in enumerate(scene.train.names) if name != "image004"]
    assert scene.train.cameras.centers[usual].norm(dim=1).mean().item() == pytest.approx(1, abs=0.05)
    np.testing.assert_allclose(scene.bounds, sound.bounds, atol=0.1)


def test_a_camera_that_looks_back_is_named(tmp_path):
    def back(rows):
        matrix = rows[4, :15].reshape(3, 5)
        matrix[:, 1:3] *= -1
        return rows

    change(write_llff(tmp_path), back)
    assert "1 of the 9 cameras have rays that point backwards (image004 first)" in refusal(tmp_path)


def test_mirrored_axes_are_found(tmp_path):
    """The columns in another order, as when they were written for OpenGL: right, up, backwards."""
    write_llff(tmp_path)
    change(
        tmp_path,
        lambda rows: np.concatenate(
            [rows[:, :15].reshape(-1, 3, 5)[:, :, [1, 0, 2, 3, 4]].reshape(-1, 15), rows[:, 15:]], axis=1
        ),
    )
    assert "row 0: the pose is a mirror image" in refusal(tmp_path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no zip", b"\x93NUMPY\x01\x00v\x00{'descr'", b"text"])
def test_files_that_are_no_arrays(tmp_path, content):
    write_llff(tmp_path)
    (tmp_path / "poses_bounds.npy").write_bytes(content)
    assert f"{tmp_path / 'poses_bounds.npy'} cannot be read as a NumPy array" in refusal(tmp_path)


def test_missing_files(tmp_path):
    write_llff(tmp_path)
    (tmp_path / "images/image002.png").unlink()
    said = refusal(tmp_path)
    assert f"has poses of 9 photographs, but {tmp_path / 'images'} holds 8 images: put back" in said
    (tmp_path / "images").rename(tmp_path / "images_4")
    assert "no folder `images`" in refusal(tmp_path) and "images_4 is smaller: give --factor 4" in refusal(tmp_path)
    (tmp_path / "images_4").rename(tmp_path / "photos")
    assert refusal(tmp_path).endswith("to make pictures of 160x108 px from")
    (tmp_path / "poses_bounds.npy").unlink()
    assert "no poses_bounds.npy was found" in refusal(tmp_path, dataset_type="llff")
    assert "no scene (transforms_train.json, poses_bounds.npy, transforms.json, COLMAP model" in refusal(tmp_path)


def test_sizes_that_do_not_fit(tmp_path):
    write_llff(tmp_path)
    assert "--img_s 321 is larger than the photographs, which are 320x216 px" in refusal(tmp_path, factor=8, img_s=321)
    assert "--factor 40 leaves 8x5 of them" in refusal(tmp_path, factor=40)
    Image.new("RGB", (300, 216)).save(tmp_path / "images/image003.png")
    assert "image003.png is 300x216 px, out of proportion with the 320x216 px" in refusal(tmp_path, factor=1)
    for path in (tmp_path / "images").iterdir():
        Image.new("RGB", (216, 320)).save(path)
    assert "is 216x320 px, out of proportion with the 320x216 px for which its camera is stated" in refusal(tmp_path, factor=1)


def test_cameras_all_around_do_not_go_into_ndc(tmp_path):
    write_llff(tmp_path, around(), focal=280.0)
    assert "give --spherify for photographs around an object, or --no_ndc" in refusal(tmp_path)
    scene = load(tmp_path, no_ndc=True)
    assert scene.render_path is None
    check_dots(scene.train, world_points(scene))
    same_way = np.repeat(facing(3)[1:2], 3, axis=0)
    write_llff(tmp_path / "parallel", same_way)
    assert "--spherify needs cameras that look at one object" in refusal(tmp_path / "parallel", spherify=True)


def test_flags_of_other_formats_are_refused(tmp_path):
    written_scene.write_scene(tmp_path / "toy")
    said = written_scene.refusal(tmp_path / "toy", spherify=True)
    assert said.startswith("--spherify is for scenes of --dataset_type llff, and") and "one of type blender" in said
    assert "--factor is for scenes of" in written_scene.refusal(tmp_path / "toy", factor=4)
    assert "--llffhold is for scenes of" in written_scene.refusal(tmp_path / "toy", llffhold=4)
