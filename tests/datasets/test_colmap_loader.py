"""COLMAP models: known points through every camera model, the scene's own world, and every kind of damaged file."""

import re
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from datasets.colmap import _plain_points, standard_world
from datasets.colmap_model import ColmapModel, read_model
from settings.errors import InputError
from tests.datasets.half_size import load, refusal
from tests.datasets.written_photos import (
    COLMAP_MODELS,
    HEIGHT,
    POINTS,
    WIDTH,
    around,
    check_dots,
    facing,
    opengl,
    world_points,
    write_colmap,
    write_transforms,
)

# Where points are seen


@pytest.mark.parametrize("ending", ["bin", "txt"])
@pytest.mark.parametrize("model", COLMAP_MODELS)
def test_points_are_seen_where_they_were_photographed(tmp_path, ending, model):
    scene = load(write_colmap(tmp_path, ending, model))
    assert scene.train.images.shape == (7, 108, 160, 3)
    assert scene.train.names == [f"view_{k}" for k in range(1, 8)] and scene.test.names == ["view_0", "view_8"]
    for split in (scene.train, scene.test):
        check_dots(split, world_points(scene), 0.15)


@pytest.mark.parametrize("motions", [around(), facing()])
@pytest.mark.parametrize("size", [{"factor": 1}, {"factor": 3}])
def test_other_sizes_and_cameras_on_one_side(tmp_path, motions, size):
    scene = load(write_colmap(tmp_path, motions=motions), **size)
    check_dots(scene.train, world_points(scene), 0.15)


@pytest.mark.parametrize("folder", ["sparse/0", "sparse", ".", "colmap/sparse/0"])
def test_folders_of_models(tmp_path, folder):
    write_colmap(tmp_path, model_folder=folder)
    assert len(load(tmp_path).train) == 7


def test_binary_files_win_over_text(tmp_path):
    write_colmap(tmp_path, "bin")
    write_colmap(tmp_path, "txt", "SIMPLE_PINHOLE")
    assert load(tmp_path).train.cameras.intrinsics[0, 0, 0] == 130
    (tmp_path / "sparse/0/cameras.bin").unlink()
    assert load(tmp_path).train.cameras.intrinsics[0, 0, 0] == 127.5


def test_features_are_read(tmp_path):
    for ending in ("bin", "txt"):
        write_colmap(tmp_path / ending, ending, "PINHOLE")
        model = read_model(tmp_path / ending / "sparse/0", ending)
        images, ids, points = model.images, model.ids, model.points
        assert list(model.cameras) == [5] and len(images) == 9
        np.testing.assert_allclose(images[2].camera_to_world, opengl(around()[2])[:3], atol=1e-12)
        assert images[3].points.tolist() == [66, 59, 52, 45, 38, -1] and ids[:5].tolist() == [66, 59, 52, 45, 38]
        np.testing.assert_allclose(points[:5], POINTS, atol=1e-12)


def test_a_name_that_is_registered_twice_is_refused(tmp_path):
    write_colmap(tmp_path, ending="txt")
    path = tmp_path / "sparse/0/images.txt"
    lines = path.read_text().splitlines()
    first = next(k for k, line in enumerate(lines) if line and not line.startswith("#"))
    path.write_text("\n".join([*lines, *lines[first : first + 2]]) + "\n")
    assert "more than once: export the model again" in refusal(tmp_path)


def test_names_with_folders_spaces_and_other_extensions(tmp_path):
    write_colmap(tmp_path, "txt")
    path = tmp_path / "sparse/0/images.txt"
    path.write_text(path.read_text().replace("view_", "left side/view_").replace(".png", ".JPG"))
    (tmp_path / "images").rename(tmp_path / "left side")
    (tmp_path / "images_2").mkdir()
    (tmp_path / "left side").rename(tmp_path / "images_2/left side")
    for file in (tmp_path / "images_2/left side").iterdir():
        Image.open(file).reduce(2).save(file)
    scene = load(tmp_path)
    assert scene.train.names[0] == "view_1" and scene.extras["pictures"] == str(tmp_path / "images_2")
    assert len(scene.train) == 7 and scene.train.images.max() > 200


def test_the_model_with_the_most_images_on_disk_is_read(tmp_path, capsys):
    """sparse/0 registers 9 images, of which 3 exist; sparse/1 registers the 9 that exist; sparse/2 is damaged."""
    write_colmap(tmp_path, model_folder="sparse/1")
    write_colmap(tmp_path, "txt", "SIMPLE_PINHOLE")
    names = tmp_path / "sparse/0/images.txt"
    names.write_text(re.sub(r"view_([3-8])", r"gone_\1", names.read_text()))
    (tmp_path / "sparse/2").mkdir()
    for name in ("cameras", "images", "points3D"):
        (tmp_path / f"sparse/2/{name}.bin").write_bytes(b"damaged")
    write_colmap(tmp_path)
    names.with_name("cameras.bin").unlink()
    scene = load(tmp_path)
    assert scene.train.cameras.intrinsics[0, 0, 0] == 130 and len(scene.train) == 7
    said = capsys.readouterr().err
    assert (
        "sparse/1/*.bin: of 3 models it has the most images on disk, 9 (others: sparse/0/*.txt 3, sparse/2/*.bin cannot be read)"
    ) in said
    shutil.rmtree(tmp_path / "sparse/1")
    scene = load(tmp_path)
    assert scene.train.cameras.intrinsics[0, 0, 0] == 127.5 and (len(scene.train), len(scene.test)) == (2, 1)
    said = capsys.readouterr().err
    assert "3 of 9 photographs in images have a pose; 6 of 9 registered images are not in images" in said


@pytest.mark.parametrize("ending", ["bin", "txt"])
def test_an_empty_file_of_points_is_as_good_as_none(tmp_path, ending):
    write_colmap(tmp_path, ending)
    (tmp_path / f"sparse/0/points3D.{ending}").unlink()
    bounds = load(tmp_path).bounds
    (tmp_path / f"sparse/0/points3D.{ending}").write_bytes(b"")
    assert load(tmp_path).bounds.equal(bounds)


@pytest.mark.filterwarnings("error")
def test_a_point_at_the_end_of_the_numbers_is_a_far_one():
    points = np.concatenate([np.random.default_rng(0).normal(size=(50, 3)), [[1e300, 0, 0]]])
    ids, kept = _plain_points(ColmapModel({}, [], np.arange(51), points, Path("images.bin")))
    assert ids.tolist() == list(range(50)) and np.array_equal(kept, points[:50])


def test_texts_with_a_byte_order_mark(tmp_path):
    write_colmap(tmp_path, "txt", "PINHOLE")
    for path in (tmp_path / "sparse/0").iterdir():
        path.write_text(path.read_text(), encoding="utf-8-sig")
    check_dots(load(tmp_path).train, world_points(load(tmp_path)), 0.15)


def test_names_in_an_old_encoding(tmp_path):
    write_colmap(tmp_path)
    path = tmp_path / "sparse/0/images.bin"
    path.write_bytes(path.read_bytes().replace(b"view_", b"vi\xe9w_"))
    for picture in (tmp_path / "images").iterdir():
        picture.rename(picture.with_name(picture.name.replace("e", "é")))
    assert load(tmp_path).test.names == ["viéw_0", "viéw_8"]


def test_the_colmap_model_beside_a_transforms_file_is_named(tmp_path, capsys):
    write_transforms(tmp_path)
    load(tmp_path)
    assert "is read, and not" not in capsys.readouterr().err
    write_colmap(tmp_path)
    load(tmp_path)
    assert "transforms.json is read, and not sparse/0 (--dataset_type colmap)" in capsys.readouterr().err
    load(tmp_path, dataset_type="colmap")
    assert "is read, and not" not in capsys.readouterr().err


# The scene's world


def test_the_cameras_are_four_units_from_what_they_look_at_with_z_up(tmp_path):
    scene = load(write_colmap(tmp_path))
    assert scene.train.cameras.centers.norm(dim=1).median().item() == pytest.approx(4, rel=0.05)
    assert (scene.train.cameras.camera_to_world[:, 2, 1] > 0.85).all()
    np.testing.assert_allclose(world_points(scene)[0], 0, atol=1e-3)
    stored = np.array([opengl(motion)[:3] for motion in around()])
    for turn in (np.eye(3), np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])):  # whatever COLMAP's axes, units and origin are
        other = turn @ stored * [1, 1, 1, 0.01] + np.array([0, 0, 0, 50])
        world = standard_world(other, 0.01 * POINTS @ turn.T + 50)
        moved = world[:3, :3] @ (0.01 * POINTS @ turn.T + 50).T + world[:3, 3:]
        np.testing.assert_allclose(moved[2], world_points(scene)[:, 2], atol=1e-6)
        np.testing.assert_allclose(np.linalg.norm(moved, axis=0), np.linalg.norm(world_points(scene), axis=1), atol=1e-5)


def test_cameras_that_look_outward_are_centred_on_the_points():
    poses = np.array([opengl(motion)[:3] for motion in around()]) * [-1, 1, -1, 0.1]
    points = np.random.default_rng(0).normal(size=(5000, 3)) * 7 + 100
    world = standard_world(poses + np.array([0, 0, 0, 100]), points)
    moved = points @ world[:3, :3].T + world[:3, 3]
    np.testing.assert_allclose(np.median(moved, axis=0), 0, atol=0.2)
    assert 2 < np.median(np.linalg.norm(moved, axis=1)) < 6


@pytest.mark.parametrize("tracks", [True, False])
def test_bounds_and_depths_leave_strays_out(tmp_path, tracks):
    cloud = np.concatenate([np.random.default_rng(1).uniform(-0.5, 0.5, (1000, 3)), [[500.0, 0, 0], [0, -900, 3]]])
    scene = load(write_colmap(tmp_path, cloud=cloud, tracks=tracks))
    points = torch.from_numpy(world_points(scene)).float()
    size = (scene.bounds[1] - scene.bounds[0]).tolist()
    assert all(0.8 < edge < 2.2 for edge in size), size  # the strays at 500 and 900 do not count
    depths = torch.cat([scene.train.cameras.project(points, view)[1] for view in range(7)])
    if tracks:
        assert scene.near == pytest.approx(0.9 * depths.min().item(), rel=0.05)
        assert scene.far == pytest.approx(1.1 * depths.max().item(), rel=0.05)
    else:
        assert 2 < scene.near < 4 < scene.far < 6.5


def test_one_odd_pose_does_not_move_the_scene(tmp_path, capsys):
    sound = load(write_colmap(tmp_path / "sound"))
    far, away = around()[3], around()[3]
    far = np.concatenate([far[:, :3], far[:, 3:] * 500], axis=1)
    away = np.diag([-1.0, 1, -1]) @ away  # looks the other way, from the same position
    for k, motion in enumerate((far, away)):
        motions = around()
        motions[3] = motion
        write_colmap(tmp_path / str(k))
        write_colmap(tmp_path / f"other{k}", motions=motions)
        (tmp_path / str(k) / "sparse/0/images.bin").write_bytes((tmp_path / f"other{k}/sparse/0/images.bin").read_bytes())
        capsys.readouterr()
        scene = load(tmp_path / str(k))
        assert "the pose of view_3 is unlike the others'" in capsys.readouterr().err
        np.testing.assert_allclose(scene.bounds, sound.bounds, atol=0.2)
        assert (scene.near, scene.far) == (pytest.approx(sound.near, rel=0.1), pytest.approx(sound.far, rel=0.1))


def test_few_far_points_do_not_widen_the_box(tmp_path):
    """One point of 60 lies far away: more than the 1 % that percentiles leave out."""
    cloud = np.random.default_rng(2).uniform(-0.5, 0.5, (55, 3))
    sound = load(write_colmap(tmp_path / "a", cloud=cloud))
    cloud[0] = 0, 800, 0
    scene = load(write_colmap(tmp_path / "b", cloud=cloud))
    np.testing.assert_allclose(scene.bounds, sound.bounds, atol=0.2)


def test_cameras_that_do_not_look_at_one_object_need_points(tmp_path):
    write_colmap(tmp_path, "txt", motions=facing()[:1].repeat(9, axis=0) + np.arange(9)[:, None, None] * np.eye(3, 4, 3))
    path = tmp_path / "sparse/0/points3D.txt"
    path.write_text("")
    assert "too few points to find the scene's position, and its cameras do not look at one object" in refusal(tmp_path)


# What is wrong with a scene


@pytest.mark.parametrize("name", ["cameras", "images", "points3D"])
def test_files_that_are_missing_or_cut_off(tmp_path, name):
    write_colmap(tmp_path)
    path = tmp_path / f"sparse/0/{name}.bin"
    whole = path.read_bytes()
    for length in {0, 5, 9, 20, 40, 70, len(whole) // 2, len(whole) - 1} - {len(whole), *([0] if name == "points3D" else [])}:
        path.write_bytes(whole[: min(length, len(whole) - 1)])
        assert f"{path} ends too early" in refusal(tmp_path), length
    path.write_bytes(struct.pack("<Q", 2**63) + whole[8:])  # a count that no file can hold
    assert str(path) in refusal(tmp_path)
    path.unlink()
    if name == "points3D":
        assert len(load(tmp_path).train) == 7
    else:
        assert (f"{path} is missing" if name == "images" else "COLMAP model (sparse/0/cameras.bin)") in refusal(tmp_path)


def test_every_cut_is_noticed(tmp_path):
    """Whatever length a file is cut to, and whatever bytes it holds, it is refused by InputError and nothing else."""
    write_colmap(tmp_path)
    random = np.random.default_rng(0)
    for name in ("cameras", "images", "points3D"):
        path = tmp_path / f"sparse/0/{name}.bin"
        whole = path.read_bytes()
        for trial in range(60):
            data = np.frombuffer(whole[: random.integers(len(whole))], np.uint8).copy()
            if trial % 2:
                data = np.frombuffer(whole, np.uint8).copy()
                data[random.integers(min(len(data), 300), size=4)] = random.integers(256, size=4)
            path.write_bytes(data.tobytes())
            try:
                read_model(path.parent)
            except InputError:
                continue
            assert trial % 2, (name, len(data))
        path.write_bytes(whole)


@pytest.mark.parametrize(
    ("number", "name", "count"), [(11, "RAD_TAN_THIN_PRISM_FISHEYE", 16), (16, "EQUIRECTANGULAR", 2), (99, "number 99", 7)]
)
def test_camera_models_that_are_not_supported_are_named(tmp_path, number, name, count):
    write_colmap(tmp_path)
    path = tmp_path / "sparse/0/cameras.bin"
    camera = struct.pack(f"<iiQQ{count}d", 5, number, WIDTH, HEIGHT, *[1.0] * count)
    path.write_bytes(struct.pack("<Q", 1) + camera)
    assert f"cameras.bin, camera 5: the camera model {name} is not supported" in refusal(tmp_path)
    write_colmap(tmp_path / "b")  # cameras that took no image do not matter, whatever they are
    whole = (tmp_path / "b/sparse/0/cameras.bin").read_bytes()
    path.write_bytes(struct.pack("<Q", 3) + camera.replace(b"\5", b"\6", 1) + whole[8:] + camera.replace(b"\5", b"\7", 1))
    check_dots(load(tmp_path).train, world_points(load(tmp_path)), 0.15)


@pytest.mark.parametrize(
    ("name", "old", "new", "words"),
    [
        ("cameras", "OPENCV", "EQUIRECTANGULAR", "the camera model EQUIRECTANGULAR is not supported"),
        ("cameras", "260.0 250", "260.0 -250", "has parameters that are not valid"),
        ("cameras", "260.0 250", "inf 250", "has parameters that are not valid"),
        ("cameras", "260.0 250 ", "260.0 ", "OPENCV has 8 parameters, but 7 are given"),
        ("cameras", "0.12", "twelve", "is damaged, or not a file of COLMAP"),
        ("cameras", "0.12", "-9", "folds the picture over"),
        ("cameras", "5 OPENCV", "6 OPENCV", "was taken by camera 5, which is not in cameras.txt"),
        ("images", " 5 view_3.png", " 5", "is damaged, or not a file of COLMAP"),
        ("points3D", "0.9 0.5", "0.9 high", "is damaged, or not a file of COLMAP"),
        ("points3D", "0.9 0.5 -0.4 9 9 9 0.5 1 0", "0.9", "is damaged, or not a file of COLMAP (point 59 has 1 coordinates)"),
    ],
)
def test_texts_that_make_no_sense(tmp_path, name, old, new, words):
    path = write_colmap(tmp_path, "txt") / f"sparse/0/{name}.txt"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    assert words in refusal(tmp_path)


def test_copies_that_are_not_read_may_have_unclear_names(tmp_path):
    """images_8/view_1.webp could be the copy of view_1.png and of view_1.jpg."""
    path = write_colmap(tmp_path, "txt") / "sparse/0/images.txt"
    path.write_text(path.read_text().replace("view_2.png", "view_1.jpg"))
    (tmp_path / "images/view_2.png").rename(tmp_path / "images/view_1.jpg")
    (tmp_path / "images_8").mkdir()
    Image.new("RGB", (40, 27)).save(tmp_path / "images_8/view_1.webp")
    scene = load(tmp_path)
    assert len(scene.train) + len(scene.test) == 9 and scene.extras["pictures"] == str(tmp_path / "images")
    (tmp_path / "images/view_1.jpg").unlink()
    (tmp_path / "images/view_1.png").unlink()
    Image.new("RGB", (320, 216)).save(tmp_path / "images/view_1.webp")
    assert "would both be the file" in refusal(tmp_path)


def test_models_with_next_to_nothing_in_them(tmp_path, capsys):
    folder = write_colmap(tmp_path, "txt") / "sparse/0"
    whole = (folder / "points3D.txt").read_text()
    (folder / "points3D.txt").write_text("\n".join(whole.splitlines()[:4]))
    assert load(tmp_path).extras["bounds_from"] == "the cube [-2, 2]^3 of the original program"
    assert "3 points are too few to find the scene's bounds: they are found from the cameras" in capsys.readouterr().err
    (folder / "points3D.txt").write_text(whole)
    (folder / "images.txt").write_text("# nothing\n")
    assert "images.txt holds no registered images" in refusal(tmp_path)


def test_cameras_of_several_sizes(tmp_path):
    write_colmap(tmp_path, "txt")
    folder = tmp_path / "sparse/0"
    same = f"6 PINHOLE {WIDTH} {HEIGHT} 260 250 166 105\n"
    with (folder / "cameras.txt").open("a") as file:
        file.write(same)
    images = (folder / "images.txt").read_text()
    (folder / "images.txt").write_text(images.replace(" 5 view_4.png", " 6 view_4.png"))
    assert len(load(tmp_path).train) == 7  # two cameras of one size
    cameras = (folder / "cameras.txt").read_text()
    (folder / "cameras.txt").write_text(cameras.replace(same, "6 PINHOLE 300 200 260 250 166 105\n"))
    assert "view_4.png is 320x216 px, out of proportion with the 300x200 px for which its camera is stated" in refusal(tmp_path)


def test_images_that_are_missing_or_damaged(tmp_path, capsys):
    write_colmap(tmp_path)
    (tmp_path / "images/view_2.png").write_text("no picture")
    assert f"{tmp_path / 'images/view_2.png'} cannot be decoded" in refusal(tmp_path)
    for k in (2, 5):
        (tmp_path / f"images/view_{k}.png").unlink()
    scene = load(tmp_path)
    assert (len(scene.train), len(scene.test)) == (6, 1) and "view_2" not in scene.train.names
    assert "2 of 9 registered images are not in images and left out (view_2.png first)" in capsys.readouterr().err
    check_dots(scene.train, world_points(scene), 0.15)
    (tmp_path / "images").rename(tmp_path / "pictures")
    assert "has no folder `images` with photographs" in refusal(tmp_path)
    assert "--spherify is for scenes of --dataset_type llff" in refusal(tmp_path, spherify=True)
