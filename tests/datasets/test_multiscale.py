"""mip-NeRF's multi-scale scenes: views of several sizes from one metadata.json."""

import pytest
import torch

from datasets.find import format_of
from datasets.protocols import evaluation_views
from tests.datasets.written_scene import load, pose, refusal, write_multiscale


def test_a_scene_is_found_and_has_views_of_all_sizes(tmp_path):
    folder = write_multiscale(tmp_path / "cup")
    assert format_of(folder) == "multiscale"
    scene = load(folder, method="nerf", protocol="standard")
    assert (scene.name, len(scene.train), len(scene.val), len(scene.test)) == ("cup", 8, 0, 8)
    assert scene.train.names[:3] == ["000_d0", "000_d1", "001_d0"] and scene.train.scales == [1, 2] * 4
    assert [scene.train.cameras.size(view) for view in (0, 1)] == [(16, 12), (8, 6)]
    torch.testing.assert_close(scene.train.cameras.intrinsics[1], torch.tensor([[8.0, 0, 4], [0, 8, 3], [0, 0, 1]]))
    torch.testing.assert_close(scene.train.cameras.camera_to_world[3], torch.tensor(pose(1))[:3])
    assert scene.train.images[2].shape == (12, 16, 3) and scene.train.images[2][0, 0, 2] == 1


def test_each_nth_test_view_is_taken_at_all_its_sizes(tmp_path):
    scene = load(write_multiscale(tmp_path), method="nerf", protocol="multiscale", testskip=3)
    assert scene.test.names == ["000_d0", "000_d1", "003_d0", "003_d1"] and scene.test.scales == [1, 2, 1, 2]
    views, name = evaluation_views(scene, "multiscale")
    assert views is scene.test and "trained at 2 sizes" in name


def test_all_views_are_shrunk_by_one_factor(tmp_path):
    train = load(write_multiscale(tmp_path), method="nerf", img_s=8).train
    assert [train.cameras.size(view) for view in (0, 1)] == [(8, 6), (4, 3)] and train.scales[:2] == [1, 2]


def test_metadata_of_other_programs_is_no_scene(tmp_path):
    (tmp_path / "metadata.json").write_text('{"camera": "Canon"}')
    assert format_of(tmp_path) is None
    assert "has no views (a list `file_path`)" in refusal(tmp_path, method="nerf", dataset_type="multiscale")
    (tmp_path / "metadata.json").write_text("[]")
    assert "it has no splits" in refusal(tmp_path, method="nerf", dataset_type="multiscale")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"focal": [16.0]}, "train needs a list `focal` with one entry for each of its 8 views"),
        ({"label": None}, "train needs a list `label`"),
        ({"label": [0.5] + [0] * 7}, "train, view 0: label is 0.5, not a whole number from 0"),
        ({"label": [True] + [0] * 7}, "label is True"),
        ({"focal": ["wide"] + [16.0] * 7}, "train, view 0: fl_x is 'wide', not a finite positive number"),
        ({"cam2world": [[[1]]] * 8}, "train, view 0: cam2world is not a 4x4 or 3x4 matrix"),
        ({"width": [12, 8] + [16, 8] * 3}, "train, view 0 says w x h = 12x12, but"),
        ({"file_path": ["images_train/gone.png"] + ["a"] * 7}, "gone.png is missing"),
        ({"file_path": [3] + ["a"] * 7}, "train, view 0 has no file_path"),
        ({"file_path": []}, "the split train has no views"),
    ],
)
def test_what_is_wrong_in_the_file_is_named(tmp_path, changes, said):
    assert said in refusal(write_multiscale(tmp_path, **changes), method="nerf")
