"""The demo scene's folder: format, exactness of its maps, caching, and interruptions."""

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from datasets import demo
from datasets.atomic_folder import STALE_SECONDS
from datasets.cameras import Cameras
from datasets.demo import DemoSettings, demo_poses, ensure_demo, is_complete, make_demo
from datasets.demo.sphere_tracing import demo_distance
from settings.errors import InputError

SMALL = DemoSettings(width=48, height=32, train_views=4, val_views=2, test_views=3, samples=2, seed=5)
SPLITS = ("train", "val", "test")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A small demo scene, made once."""
    return ensure_demo(tmp_path_factory.mktemp("demo"), SMALL, quiet=True)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder by its relative name."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def views(folder: Path):
    """(camera-to-world (4, 4), picture, depth, normal) of every view that the JSON files name."""
    for split in SPLITS:
        for frame in json.loads((folder / f"transforms_{split}.json").read_text())["frames"]:
            stem = f"{folder}/{frame['file_path']}"
            yield (
                np.array(frame["transform_matrix"]),
                np.asarray(Image.open(f"{stem}.png")),
                np.load(f"{stem}_depth.npy"),
                np.asarray(Image.open(f"{stem}_normal.png")),
            )


def test_the_folder_has_the_views_asked_for_in_nerf_synthetic_format(folder):
    for split, count in zip(SPLITS, (4, 2, 3), strict=True):
        transforms = json.loads((folder / f"transforms_{split}.json").read_text())
        assert [f["file_path"] for f in transforms["frames"]] == [f"./{split}/r_{i}" for i in range(count)]
        assert transforms["camera_angle_x"] == pytest.approx(2 * np.arctan(np.tan(0.6911112070083618 / 2) * 1.5))
    for _, picture, depth, normal in views(folder):
        assert (picture.shape, picture.dtype) == ((32, 48, 4), np.uint8)
        assert (depth.shape, depth.dtype) == ((32, 48), np.float32)
        assert (normal.shape, normal.dtype) == ((32, 48, 3), np.uint8)


def test_pictures_are_straight_colours_with_red_and_black_where_empty(folder):
    for _, picture, depth, normal in views(folder):
        colour, alpha = picture[..., :3], picture[..., 3]
        assert (colour[alpha == 0] == 0).all()
        assert (colour[alpha > 0][:, 0] > 0).all()
        assert set(np.unique(alpha)) == {0, 64, 128, 191, 255}  # fractions of 2 x 2 samples
        assert 0.08 < (alpha == 255).mean() < 0.6
        assert (alpha[[0, -1]] == 0).all()  # nothing is cut off by the border
        assert (alpha[:, [0, -1]] == 0).all()
        assert ((depth == 0) == (normal == 0).all(-1)).all()
        edge = colour[(alpha > 0) & (alpha < 255)].mean()
        assert edge > 0.6 * colour[alpha == 255].mean()  # premultiplied edges would be about half as bright


def test_depth_and_normals_fit_the_cameras_and_the_surface(folder):
    """Pixel centres at their depth, through our camera convention, lie on the surface."""
    angle = json.loads((folder / "transforms_train.json").read_text())["camera_angle_x"]
    focal = 24 / np.tan(angle / 2)
    intrinsics = torch.tensor([[focal, 0, 24], [0, focal, 16], [0, 0, 1]], dtype=torch.float32)
    for pose, _, depth, normal in views(folder):
        row, col = np.nonzero(depth)
        z = depth[row, col]
        local = np.stack([(col + 0.5 - 24) / focal * z, -(row + 0.5 - 16) / focal * z, -z], 1)
        points = torch.from_numpy(local @ pose[:3, :3].T + pose[:3, 3]).float()
        assert demo_distance(points)[0].abs().max() < 1e-3
        cameras = Cameras(intrinsics[None], torch.from_numpy(pose[None, :3]).float(), 48, 32)
        pixels, seen_depth = cameras.project(points, 0)
        centres = torch.from_numpy(np.stack([col + 0.5, row + 0.5], 1)).float()
        torch.testing.assert_close(pixels, centres, atol=1e-3, rtol=0)
        torch.testing.assert_close(seen_depth, torch.from_numpy(z), atol=1e-4, rtol=0)
        unit = torch.from_numpy(normal[row, col] / 127.5 - 1).float()
        step = 0.01 * unit
        assert (demo_distance(points + step)[0] > 0).float().mean() > 0.98  # outward
        assert (unit.norm(dim=1) - 1).abs().max() < 0.02


@pytest.mark.parametrize("split", SPLITS)
def test_cameras_are_rigid_upright_and_look_at_the_scene(split):
    poses = demo_poses(DemoSettings(), split)
    rotation, centre = poses[:, :3, :3], poses[:, :3, 3]
    np.testing.assert_allclose(rotation @ rotation.transpose(0, 2, 1), np.tile(np.eye(3), (len(poses), 1, 1)), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(rotation), 1, atol=1e-12)
    np.testing.assert_allclose(centre - demo.LOOK_AT, demo.CAMERA_DISTANCE * rotation[:, :, 2], atol=1e-12)
    assert (rotation[:, 2, 1] > 0).all()  # the camera's up has the world's up in it
    apart = np.linalg.norm(centre[:, None] - centre[None], axis=2) + 9 * np.eye(len(poses))
    assert apart.min() > 0.15  # no two views are the same
    if split != "test":
        assert (centre[:, 2] < demo.LOOK_AT[2]).mean() == pytest.approx(0.2, abs=0.06)


def test_a_second_call_changes_nothing(folder):
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*")}
    assert ensure_demo(folder.parent, SMALL, quiet=True) == folder
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("*")} == before


def test_the_same_settings_give_the_same_bytes_and_another_seed_other_views(folder, tmp_path):
    assert contents(ensure_demo(tmp_path, SMALL, quiet=True)) == contents(folder)
    other = DemoSettings(48, 32, 4, 2, 3, 2, seed=6)
    assert other.folder_name != SMALL.folder_name
    assert not np.allclose(demo_poses(other, "train"), demo_poses(SMALL, "train"))
    assert not np.allclose(demo_poses(SMALL, "val"), demo_poses(SMALL, "train")[:2])


@pytest.mark.parametrize("damage", ["a picture", "a map", "the manifest", "the version", "a JSON file", "half a picture"])
def test_a_folder_that_is_not_whole_is_made_again(folder, tmp_path, damage):
    made = ensure_demo(tmp_path, SMALL, quiet=True)
    if damage == "the version":
        manifest = json.loads((made / demo.MANIFEST).read_text())
        (made / demo.MANIFEST).write_text(json.dumps(manifest | {"version": 0}))
    elif damage == "half a picture":
        (made / "val/r_1.png").write_bytes((made / "val/r_1.png").read_bytes()[:-50])
    elif damage == "the manifest":
        for path in made.rglob("*"):
            if path.is_file():
                path.unlink()
        for split in SPLITS:
            (made / split).rmdir()
    else:
        files = {"a picture": "val/r_1.png", "a map": "test/r_2_depth.npy", "a JSON file": "transforms_test.json"}
        (made / files[damage]).unlink()
    assert not is_complete(made, SMALL)
    assert ensure_demo(tmp_path, SMALL, quiet=True) == made
    assert contents(made) == contents(folder)
    assert os.listdir(tmp_path) == [made.name]


def test_a_scene_of_an_earlier_version_of_the_program_is_kept(folder, tmp_path):
    made = ensure_demo(tmp_path, SMALL, quiet=True)
    (made / demo.MANIFEST).write_text(json.dumps(SMALL.manifest()))  # it did not note sizes
    assert is_complete(made, SMALL)


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_an_interruption_leaves_nothing_and_spares_what_was_there(tmp_path, monkeypatch, error):
    calls = []

    def breaks(*_):
        calls.append(1)
        if len(calls) == 3:
            raise error

    monkeypatch.setattr(demo, "_write_view", breaks)
    expected = KeyboardInterrupt if error is KeyboardInterrupt else InputError
    with pytest.raises(expected):
        ensure_demo(tmp_path, SMALL, quiet=True)
    assert os.listdir(tmp_path) == []
    old = tmp_path / SMALL.folder_name
    old.mkdir()
    (old / demo.MANIFEST).write_text(json.dumps(SMALL.manifest() | {"version": 0}))
    calls.clear()
    with pytest.raises(expected):
        ensure_demo(tmp_path, SMALL, quiet=True)
    assert contents(old).keys() == {demo.MANIFEST}


def test_leftovers_of_a_killed_run_are_cleared_when_old(tmp_path):
    old, young = (tmp_path / f".{SMALL.folder_name}.making-{i}" for i in (1, 2))
    for left in (old, young):
        (left / "train").mkdir(parents=True)
    os.utime(old, (time.time() - 2 * STALE_SECONDS,) * 2)
    ensure_demo(tmp_path, SMALL, quiet=True)
    assert not old.exists()
    assert young.exists()


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "photo.png").write_bytes(b"a holiday photograph")
    with pytest.raises(InputError, match="not one"):
        make_demo(tmp_path / "mine", SMALL, quiet=True)
    assert contents(tmp_path / "mine") == {"photo.png": b"a holiday photograph"}


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"):
        ensure_demo(tmp_path / "file", SMALL, quiet=True)


@pytest.mark.parametrize("wrong", [{"width": 4}, {"height": 0}, {"train_views": 0}, {"test_views": -1}, {"samples": 1.5}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        DemoSettings(**wrong)


def test_splits_may_be_empty_but_train(tmp_path):
    made = ensure_demo(tmp_path, DemoSettings(8, 8, 1, 0, 0, 1), quiet=True)
    assert json.loads((made / "transforms_val.json").read_text())["frames"] == []
    assert len(list((made / "train").glob("r_*[0-9].png"))) == 1
