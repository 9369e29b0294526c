"""LLFF scenes: known points, worlds, render paths and the views held out."""

import numpy as np
import pytest
import torch

from datasets.protocols import evaluation_views
from methods.points.options import PointOptions
from tests.datasets import written_scene
from tests.datasets.half_size import load
from tests.datasets.written_photos import HEIGHT, WIDTH, around, check_dots, facing, world_points, write_llff


@pytest.mark.parametrize(
    ("settings", "size"),
    [
        ({"factor": 1}, (320, 216)),
        ({}, (160, 108)),
        ({"factor": 3}, (107, 72)),
        ({"factor": 1, "img_s": 200}, (200, 135)),
        ({"factor": 8, "img_s": 0}, (320, 216)),
        ({"factor": 8, "half_res": True}, (160, 108)),
        ({"no_ndc": True}, (160, 108)),
    ],
)
def test_points_are_seen_where_they_were_photographed(tmp_path, settings, size):
    settings = {key: value for key, value in settings.items() if key != "factor" or value != 8}
    if "img_s" in settings or "half_res" in settings:
        settings["factor"] = 8
    scene = load(write_llff(tmp_path), **settings)
    assert scene.train.images.shape == (7, *size[::-1], 3) and scene.train.images.dtype == np.uint8
    for split in (scene.train, scene.test):
        check_dots(split, world_points(scene))


def test_upright_photographs_and_jpegs(tmp_path):
    motions = facing(5)
    motions = np.concatenate([np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]) @ motions])  # the camera turned by 90 degrees
    scene = load(write_llff(tmp_path, motions, (HEIGHT + 80, WIDTH), extension=".JPG"))
    assert scene.train.images.shape[1:3] == (160, 148)
    check_dots(scene.train, world_points(scene))


def test_spherified_cameras_see_the_points_too(tmp_path):
    scene = load(write_llff(tmp_path, around(), focal=280.0), spherify=True)
    check_dots(scene.train, world_points(scene))
    centers = torch.cat([scene.train.cameras.centers, scene.test.cameras.centers]).double()
    assert (centers**2).sum(1).mean() == pytest.approx(1, abs=1e-5)
    assert centers[:, 2].mean() > 0.2 and centers[:, :2].mean(0).norm() < 0.05  # z is up, the object in the middle
    np.testing.assert_allclose(world_points(scene)[0], 0, atol=0.01)
    path = scene.render_path
    assert len(path) == 120 and (path.width, path.height) == (160, 108)
    pixels, depth = zip(*(path.project(torch.zeros(1, 3), view) for view in range(120)), strict=True)
    np.testing.assert_allclose(torch.cat(pixels).numpy(), [[80, 54]] * 120, atol=0.01)
    np.testing.assert_allclose(torch.cat(depth).numpy(), path.centers.norm(dim=1).numpy(), rtol=1e-4)
    assert (scene.bounds[0] < 0).all() and (scene.bounds[1] > 0).all() and not scene.forward_facing


def test_the_world_is_the_average_camera_with_content_beyond_four_thirds(tmp_path):
    scene = load(write_llff(tmp_path))
    poses = torch.cat([scene.train.cameras.camera_to_world, scene.test.cameras.camera_to_world]).double()
    np.testing.assert_allclose(poses[:, :, 3].mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(torch.nn.functional.normalize(poses[:, :, 2].mean(0), dim=0), [0, 0, 1], atol=1e-6)
    assert poses[:, 0, 1].mean().abs() < 1e-6 and poses[:, 1, 1].mean() > 0.9
    depths = torch.cat(
        [scene.train.cameras.project(torch.from_numpy(world_points(scene)).float(), k)[1] for k in range(7)]
        + [scene.test.cameras.project(torch.from_numpy(world_points(scene)).float(), k)[1] for k in range(2)]
    )
    assert depths.min().item() == pytest.approx(4 / 3, rel=1e-5)
    assert (scene.near, scene.far) == (pytest.approx(1.2), pytest.approx(depths.max().item(), rel=1e-5))
    assert scene.forward_facing and not load(tmp_path, no_ndc=True).forward_facing
    inside = torch.from_numpy(world_points(scene)).float()
    assert (inside > scene.bounds[0]).all() and (inside < scene.bounds[1]).all()
    assert len(scene.render_path) == 120
    for view in range(0, 120, 7):
        assert (scene.render_path.project(inside, view)[1] > 0).all()


def test_views_held_out(tmp_path):
    write_llff(tmp_path, facing(17), extension=".jpeg")
    scene = load(tmp_path)
    assert scene.test.names == ["image000", "image008", "image016"] and len(scene.train) == 14 and len(scene.val) == 0
    assert load(tmp_path, llffhold=5, testskip=2).test.names == ["image000", "image010"]
    views, label = evaluation_views(scene, "paper")
    assert views is scene.test and "all 3 test views" in label
    assert evaluation_views(load(tmp_path, protocol="standard"), "standard")[1] == "standard (at 160 px)"
    assert scene.extras["test_ids"] == [0, 8, 16] and scene.extras["stored_size"] == (320, 216)


def test_a_scene_is_found_by_its_collection(tmp_path, monkeypatch, capsys):
    write_llff(tmp_path / "nerf_llff_data/fern")
    monkeypatch.setenv("RADIANCE_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert len(written_scene.datasets.load(PointOptions(dataname="fern", factor=2, no_masks=True)).train) == 7
    assert "is read, and not" not in capsys.readouterr().err  # the folder is the same
    write_llff(tmp_path / "data/nerf_llff_data/fern", facing(5))
    assert len(written_scene.datasets.load(PointOptions(dataname="fern", factor=2, no_masks=True)).train) == 7
    assert f"{tmp_path}/nerf_llff_data/fern is read, and not data/nerf_llff_data/fern" in capsys.readouterr().err
