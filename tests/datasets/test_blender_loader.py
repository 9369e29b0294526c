"""The NeRF-synthetic loader on tiny scenes, on every kind of damaged one, and on real data if present."""

import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import datasets
from datasets.pictures import shrink
from datasets.protocols import evaluation_views
from methods.points.options import PointOptions
from settings.errors import InputError
from tests.datasets.written_scene import ANGLE, load, picture, pose, read, refusal, save, write_scene

DATA = Path(os.environ.get("RADIANCE_DATA", Path(__file__).parents[3] / "shared/data"))
REAL = DATA / "nerf_synthetic/lego_100"
# What is loaded


def test_a_small_scene_that_is_not_square(tmp_path):
    scene = load(write_scene(tmp_path / "cup"))
    assert (scene.name, scene.background) == ("cup", "black")
    assert (len(scene.train), len(scene.val), len(scene.test)) == (3, 0, 2)
    assert scene.train.names == ["r_0", "r_1", "r_2"]
    assert scene.train.images.shape == (3, 6, 8, 3) and scene.train.images.dtype == np.uint8
    assert scene.train.images[2, 5, 7].tolist() == [7, 5, 2]
    assert scene.train.alpha[0, 3].tolist() == [255] * 4 + [0] * 4
    cameras = scene.train.cameras
    assert (cameras.width, cameras.height) == (8, 6)
    torch.testing.assert_close(cameras.intrinsics[1], torch.tensor([[8.0, 0, 4], [0, 8, 3], [0, 0, 1]]))
    torch.testing.assert_close(cameras.camera_to_world[1], torch.tensor(pose(1))[:3])


def test_a_known_point_is_seen_in_the_known_pixel(tmp_path):
    """The first camera stands at (4, 0, 0): +y is to the right, +z is up, f = 8 px."""
    cameras = load(write_scene(tmp_path)).train.cameras
    pixels, depth = cameras.project(torch.tensor([[0.0, 0, 0], [2, 0.5, 0.25]]), 0)
    torch.testing.assert_close(pixels, torch.tensor([[4.0, 3], [6, 2]]))
    assert depth.tolist() == [4, 2]


def test_order_and_names_are_those_of_the_file(tmp_path):
    write_scene(tmp_path)
    content = read(tmp_path)
    content["frames"] = [content["frames"][k] for k in (2, 0, 1)]
    save(tmp_path, "train", content)
    train = load(tmp_path).train
    assert train.names == ["r_2", "r_0", "r_1"]
    assert train.images[:, 0, 0, 2].tolist() == [2, 0, 1]


def test_depth_and_normal_maps_beside_the_images_are_not_views(tmp_path):
    write_scene(tmp_path)
    picture(8, 6).save(tmp_path / "test/r_0_depth_0000.png")
    picture(3, 3).save(tmp_path / "test/r_0_normal_0001.png")  # NeRF-synthetic's, in the camera's axes
    scene = load(tmp_path)
    assert scene.test.normals is None and scene.test.names == ["r_0", "r_1"]


@pytest.mark.parametrize("written", ["train/r_0.png", "./train/r_0.png", ".\\train\\r_0", "train/r_0"])
def test_image_names_with_and_without_extension(tmp_path, written):
    write_scene(tmp_path)
    content = read(tmp_path)
    content["frames"][0]["file_path"] = written
    save(tmp_path, "train", content)
    assert load(tmp_path).train.names[0] == "r_0"


def test_a_dot_in_a_name_is_no_extension(tmp_path):
    write_scene(tmp_path)
    (tmp_path / "train/r_0.png").rename(tmp_path / "train/view_0.5.png")
    content = read(tmp_path)
    content["frames"][0]["file_path"] = "./train/view_0.5"
    save(tmp_path, "train", content)
    assert load(tmp_path).train.names[0] == "view_0.5"


def test_poses_of_three_rows(tmp_path):
    write_scene(tmp_path)
    content = read(tmp_path)
    for frame in content["frames"]:
        frame["transform_matrix"] = frame["transform_matrix"][:3]
    save(tmp_path, "train", content)
    torch.testing.assert_close(load(tmp_path).train.cameras.camera_to_world[2], torch.tensor(pose(2))[:3])


# Lenses


def test_each_split_has_its_own_angle(tmp_path):
    write_scene(tmp_path)
    save(tmp_path, "test", read(tmp_path, "test") | {"camera_angle_x": math.pi / 2})
    scene = load(tmp_path)
    assert scene.train.cameras.intrinsics[0, 0, 0] == pytest.approx(8)
    assert scene.test.cameras.intrinsics[0, 0, 0] == pytest.approx(4)


def test_intrinsics_of_frame_and_file(tmp_path):
    """The frame wins over the file, focal lengths over angles; w, h are the size they were measured at."""
    write_scene(tmp_path, fl_x=10, fl_y=12, cx=3.5, cy=2.5)
    content = read(tmp_path)
    content["frames"][1] |= {"fl_x": 40, "fl_y": 20, "cx": 8, "w": 16, "h": 12}
    content["frames"][2] |= {"camera_angle_x": ANGLE}
    save(tmp_path, "train", content)
    lenses = load(tmp_path).train.cameras.intrinsics[:, [0, 1, 0, 1], [0, 1, 2, 2]]
    expected = torch.tensor([[10, 12, 3.5, 2.5], [20, 10, 4, 1.25], [8, 8, 3.5, 2.5]])
    torch.testing.assert_close(lenses, expected)


def test_a_vertical_angle_makes_oblong_pixels(tmp_path):
    scene = load(write_scene(tmp_path, camera_angle_y=math.pi / 2))
    assert scene.train.cameras.intrinsics[0, 1, 1] == pytest.approx(3)


# Size


def test_shrinking_averages_each_channel_by_area():
    """Four pixels to two, and three to two, where the middle one is shared: (a + b / 2) / 1.5."""
    row = np.array([[[0, 200], [10, 0], [30, 50], [50, 70]]], np.uint8)
    assert shrink(row, 2, 1).tolist() == [[[5, 100], [40, 60]]]
    row = np.array([[[30, 0], [60, 90], [120, 0]]], np.uint8)
    assert shrink(row, 2, 1).tolist() == [[[40, 30], [100, 30]]]
    assert shrink(row.swapaxes(0, 1), 1, 2).tolist() == [[[40, 30]], [[100, 30]]]
    assert shrink(np.concatenate([row, row * 0]), 1, 1).tolist() == [[[35, 15]]]


def test_shrinking_keeps_the_mean_for_awkward_ratios():
    image = np.random.default_rng(0).integers(0, 256, (31, 47, 4), dtype=np.uint8)
    for size in ((46, 30), (17, 13), (7, 5), (1, 1)):
        small = shrink(image, *size)
        assert small.shape == (size[1], size[0], 4)
        np.testing.assert_allclose(small.mean((0, 1)), image.mean((0, 1)), atol=0.5)
    constant = np.full((31, 47, 4), 255, np.uint8)
    assert (shrink(constant, 17, 13) == 255).all()


@pytest.mark.parametrize(("hidden", "colour"), [((0, 0, 0, 0), [100, 50, 20]), ((100, 0, 0, 0), [200, 100, 40])])
def test_black_under_alpha_is_averaged_as_stored_and_hidden_colours_do_not_count(tmp_path, hidden, colour):
    """The original averages straight RGBA, which is black where alpha is 0; a cut-out's background must not be averaged in."""
    write_scene(tmp_path, {"train": 1, "test": 1}, size=(24, 24))
    pixels = np.array([[(200, 100, 40, 255), hidden]] * 2, np.uint8)
    for split in ("train", "test"):
        Image.fromarray(np.tile(pixels, (12, 12, 1))).save(tmp_path / split / "r_0.png")
    train = load(tmp_path, img_s=12).train
    assert train.images[0, 5, 5].tolist() == colour and train.alpha[0, 5, 5] in (127, 128)


@pytest.mark.parametrize(("bright", "stored"), [(0, True), (11, True), (12, False), (600, False)])
def test_a_rim_that_became_transparent_does_not_make_a_cut_out(tmp_path, bright, stored):
    """Of 576 pixels under alpha 0, 11 bright ones are fewer than 2 %: shrunk pictures have such rims."""
    write_scene(tmp_path, {"train": 1, "test": 1}, size=(24, 48))
    pixels = np.zeros((48, 24, 4), np.uint8)
    pixels[:24] = 200, 100, 40, 255
    pixels[24:].reshape(-1, 4)[:bright] = 90, 90, 90, 0
    for split in ("train", "test"):
        Image.fromarray(pixels).save(tmp_path / split / "r_0.png")
    assert load(tmp_path, recipe="paper").train.stored_over_black == stored


def test_images_of_several_sizes_keep_their_own_and_their_lens(tmp_path):
    """One field of view for the file: the focal length follows each image's width. All are shrunk alike."""
    write_scene(tmp_path, size=(80, 60))
    picture(60, 80).save(tmp_path / "train/r_1.png")
    picture(40, 30).save(tmp_path / "test/r_1.png")
    scene = load(tmp_path, img_s=40)
    assert [image.shape for image in scene.train.images] == [(30, 40, 3), (40, 30, 3), (30, 40, 3)]
    assert [mask.shape for mask in scene.test.alpha] == [(30, 40), (15, 20)]
    assert scene.train.cameras.size(1) == (30, 40) and not scene.train.cameras.same_size
    assert scene.train.cameras.intrinsics[:, 0, 0].tolist() == [40, 30, 40] and scene.test.cameras.intrinsics[1, 0, 0] == 20
    assert scene.train.picture(1, "white").shape == (40, 30, 3)


def test_over_black_is_the_stored_colour_or_colour_times_alpha(tmp_path):
    """Rims keep their stored colours in recipe and protocol paper, if the files are black where alpha is 0; else never."""
    write_scene(tmp_path, {"train": 1, "test": 1}, size=(24, 24))
    rim, hidden = (200, 100, 40, 128), [(0, 0, 0, 0), (90, 90, 90, 0)]
    stored, product = [200, 100, 40], [100, 50, 20]
    runs = {"recipe": "paper"}, {"recipe": "paper", "protocol": "standard"}, {"recipe": "default"}, {"method": "nerf"}
    for transparent, expected in zip(hidden, ((stored, product, product, product), (product,) * 4), strict=True):
        for split in ("train", "test"):
            Image.fromarray(np.tile(np.array([[rim, transparent]], np.uint8), (24, 12, 1))).save(tmp_path / split / "r_0.png")
        for settings, colour in zip(runs, expected, strict=True):
            train = load(tmp_path, **settings).train
            assert train.over_black(0)[3, 4].tolist() == colour and train.over_black(0)[3, 5].tolist() == [0, 0, 0]
            white = train.picture(0, "white")
            torch.testing.assert_close(255 * white[3, 4], torch.tensor([227.39, 177.20, 147.08]), atol=0.01, rtol=0)
            assert (white[3, 5] == 1).all()


@pytest.mark.parametrize(
    ("settings", "size"),
    [
        ({}, (400, 300)),
        ({"img_s": 0}, (800, 600)),
        ({"img_s": 100}, (100, 75)),
        ({"img_s": 101}, (101, 76)),
        ({"half_res": True}, (400, 300)),
        ({"protocol": "standard"}, (800, 600)),
    ],
)
def test_working_size(tmp_path, settings, size):
    scene = load(write_scene(tmp_path, {"train": 1, "test": 1}, size=(800, 600)), **settings)
    assert (scene.train.cameras.width, scene.train.cameras.height) == size
    assert scene.train.images.shape[1:3] == size[::-1]
    fx, fy = scene.train.cameras.intrinsics[0, 0, 0], scene.train.cameras.intrinsics[0, 1, 1]
    assert fx == pytest.approx(size[0]) and fy == pytest.approx(800 * size[1] / 600)


def test_a_small_scene_is_not_enlarged(tmp_path):
    write_scene(tmp_path, size=(20, 12))
    assert load(tmp_path).train.cameras.width == 20
    assert "--img_s 30 is larger than the photographs, which are 20x12 px" in refusal(tmp_path, img_s=30)
    first = tmp_path / "train/r_0.png"
    Image.open(first).resize((10, 6)).save(first)
    assert "--img_s 30 is larger than the photographs, of which the widest is 20x12 px" in refusal(tmp_path, img_s=30)


# Splits, protocols, background


def test_only_the_splits_that_are_needed_are_read(tmp_path):
    write_scene(tmp_path, {"train": 1, "val": 40, "test": 2})
    sizes = {"paper": (1, 40, 0), "standard": (1, 0, 2)}
    for protocol, size in sizes.items():
        scene = load(tmp_path, protocol=protocol)
        assert (len(scene.train), len(scene.val), len(scene.test)) == size
    assert len(load(tmp_path, render_only=True, render_test=True).test) == 2
    (tmp_path / "transforms_test.json").unlink()
    assert len(load(tmp_path).val) == 40  # an absent split that nobody needs is fine
    assert "protocol standard measures on its views" in refusal(tmp_path, protocol="standard")
    assert "--render_test renders its views" in refusal(tmp_path, render_only=True, render_test=True)


def test_validation_views_that_are_not_used_are_not_looked_at(tmp_path):
    write_scene(tmp_path)  # its two validation views are too few for protocol paper
    (tmp_path / "val/r_1.png").unlink()
    assert len(load(tmp_path).test) == 2
    save(tmp_path, "val", {"camera_angle_x": ANGLE, "frames": []})
    assert len(load(tmp_path).test) == 2


def test_one_odd_pose_does_not_move_the_box(tmp_path, capsys):
    """Five of six cameras look at the origin from 4 units, which gives the cube [-2, 2]^3; the sixth stands 4000 away."""
    write_scene(tmp_path, {"train": 6, "test": 2})
    assert load(tmp_path, protocol="standard").bounds.tolist() == [[-2.0] * 3, [2.0] * 3]
    assert "unlike" not in capsys.readouterr().err
    content = read(tmp_path)
    content["frames"][4]["transform_matrix"] = pose(4, 4000.0)
    content["frames"][0]["time"] = 0.5
    save(tmp_path, "train", content)
    scene = load(tmp_path, protocol="standard")
    said = capsys.readouterr().err
    assert "the pose of r_4 is unlike the others'" in said and "time: the file has times" in said
    assert scene.bounds.tolist() == [[-2.0] * 3, [2.0] * 3] and scene.far < 10


def test_the_paper_views_are_15_to_37(tmp_path):
    scene = load(write_scene(tmp_path, {"train": 1, "val": 40}))
    views, label = evaluation_views(scene, "paper")
    assert views.names == [f"r_{k}" for k in range(15, 38)]
    assert label == "paper (at 8 px; colour times alpha)"


def test_the_paper_views_keep_their_numbers_when_views_are_skipped(tmp_path):
    write_scene(tmp_path, {"train": 3, "val": 40})
    scene = load(tmp_path, testskip=8)
    views, label = evaluation_views(scene, "paper")
    assert views.names == ["r_16", "r_24", "r_32"] and len(scene.train) == 3
    assert views.images[:, 0, 0, 2].tolist() == [16, 24, 32]
    assert label == "paper (3 views: one in 8; at 8 px; colour times alpha)"
    assert "--testskip 50 leaves none of the validation views" in refusal(tmp_path, testskip=50)


@pytest.mark.parametrize("counts", [{"train": 1, "val": 37, "test": 3}, {"train": 1, "test": 3}])
def test_without_the_paper_views_all_test_views_are_used(tmp_path, counts):
    views, label = evaluation_views(load(write_scene(tmp_path, counts)), "paper")
    assert len(views) == 3 and "all 3 test views, as there are no validation views 15 to 37" in label


def test_neither_validation_nor_test_views(tmp_path):
    write_scene(tmp_path, {"train": 1, "val": 5})
    assert "if there are no validation views 15 to 37" in refusal(tmp_path)


def test_the_standard_protocol_is_white_and_whole(tmp_path):
    write_scene(tmp_path)
    scene = load(tmp_path, protocol="standard")
    assert scene.background == "white" and evaluation_views(scene, "standard")[1] == "standard"
    assert scene.test.picture(0, "white")[2, 7].tolist() == [1, 1, 1]  # alpha is 0 there
    half = load(tmp_path, protocol="standard", half_res=True)
    assert evaluation_views(half, "standard")[1] == "standard (at 4 px)"
    scene = load(tmp_path, white_bkgd=True)
    assert scene.background == "white" and evaluation_views(scene, "paper")[1].endswith("on white)")
    with pytest.raises(ValueError, match="unknown protocol"):
        evaluation_views(scene, "nerf")


# Where the scene is looked for


def test_the_folder_itself_its_parent_and_the_usual_folders(tmp_path, monkeypatch):
    write_scene(tmp_path / "nerf_synthetic/mug")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RADIANCE_DATA", raising=False)
    for given in (
        PointOptions(datadir="nerf_synthetic/mug"),
        PointOptions(datadir="./nerf_synthetic/", dataname="mug"),
        PointOptions(dataname="mug"),
        PointOptions(datadir="nerf_synthetic/mug", dataname="mug"),
    ):
        assert datasets.load(given).name == "mug"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"looked in data/nerf_synthetic/mug, nerf_synthetic/mug"):
        datasets.load(PointOptions(dataname="mug"))
    monkeypatch.setenv("RADIANCE_DATA", str(tmp_path))
    assert datasets.load(PointOptions(dataname="mug")).name == "mug"


def test_a_folder_of_scenes_lists_them(tmp_path):
    write_scene(tmp_path / "mug")
    write_scene(tmp_path / "cup")
    assert "holds the scenes cup, mug: name one by --dataname" in refusal(tmp_path)
    assert f"looked in {tmp_path / 'nope'}" in refusal(tmp_path / "nope")


def test_a_scene_named_demo_on_disk_is_taken_as_it_is(tmp_path):
    write_scene(tmp_path / "demo")
    assert load(tmp_path, dataname="demo").extras["folder"] == str(tmp_path / "demo")


# Real photographs' format, where it is at hand


@pytest.mark.skipif(not REAL.is_dir(), reason=f"{REAL} does not exist: set RADIANCE_DATA to another folder")
def test_lego_in_small():
    scene = load(REAL, recipe="paper")
    views, label = evaluation_views(scene, "paper")
    assert (len(scene.train), len(scene.val), len(views)) == (100, 100, 23)
    assert views.names[0] == "r_15" and views.names[-1] == "r_37" and label == "paper (at 100 px)"
    assert evaluation_views(load(REAL), "paper")[1] == "paper (at 100 px; colour times alpha)"
    focal = 50 / math.tan(0.6911112070083618 / 2)
    assert scene.train.cameras.intrinsics[0, 0, 0] == pytest.approx(focal, rel=1e-5)
    assert scene.bounds.tolist() == [[-2, -2, -2], [2, 2, 2]] and 0 < scene.near < 2 and 6 < scene.far < 8
    radii = scene.train.cameras.centers.norm(dim=-1)
    torch.testing.assert_close(radii, torch.full_like(radii, 4.0311), atol=1e-3, rtol=0)
    for view in range(0, 100, 9):  # the model stands about the origin: every view shows it there
        (column, row), _ = (value[0] for value in scene.train.cameras.project(torch.zeros(1, 3), view))
        assert scene.train.alpha[view, int(row), int(column)] == 255
    half = load(REAL, half_res=True).train.images[0]
    np.testing.assert_allclose(half.mean((0, 1)), scene.train.images[0].mean((0, 1)), atol=0.3)
