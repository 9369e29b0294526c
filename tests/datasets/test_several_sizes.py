"""Photographs of several sizes: each with its own camera, shrunk alike, or cut to one size if they differ by rounding."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.spatial.transform import Rotation

from datasets.pictures import shrink
from datasets.scene import Split
from datasets.sizes import common_size, photograph_sizes, shrink_factor
from methods.points.options import PointOptions
from tests.datasets.half_size import load
from tests.datasets.written_photos import POINTS, around, check_dots, facing, opengl, photograph, project, world_points

FEW = [(320, 216), (323, 215), (321, 218)]
TURNED = [(320, 216), (216, 320)]
TWO = [(320, 216), (480, 324)]


def write(folder, form: str, sizes, focal: float = 230.0):
    """A scene of 9 photographs with alternating sizes, and the principal point a little off the middle (not in LLFF)."""
    (folder / "images").mkdir(parents=True)
    cameras, images, frames, rows = [], [], [], []
    for k, motion in enumerate(facing() if form == "llff" else around()):
        width, height = sizes[k % len(sizes)]
        cx, cy = (width / 2, height / 2) if form == "llff" else (width / 2 + 3, height / 2 - 2)
        photograph(project(POINTS, motion, focal, focal, cx, cy), width, height).save(folder / f"images/{k}.png")
        pose = opengl(motion)
        lens = {"w": width, "h": height, "cx": cx, "cy": cy}
        frames.append({"file_path": f"images/{k}.png", "transform_matrix": pose.tolist(), **lens})
        right, up, backward, center = pose[:3].T
        rows.append([*np.stack([-up, right, backward, center, [height, width, focal]], axis=1).ravel(), 2.5, 6.0])
        x, y, z, w = Rotation.from_matrix(motion[:, :3]).as_quat()
        cameras.append(f"{k} PINHOLE {width} {height} {focal} {focal} {cx} {cy}\n")
        images.append(" ".join(map(str, [k, *map(float, [w, x, y, z, *motion[:, 3]]), k, f"{k}.png\n\n"])))
    if form == "transforms.json":
        (folder / form).write_text(json.dumps({"fl_x": focal, "fl_y": focal, "frames": frames}))
    elif form == "llff":
        np.save(folder / "poses_bounds.npy", np.array(rows))
    else:
        (folder / "sparse/0").mkdir(parents=True)
        points = np.concatenate([POINTS, POINTS / 2, POINTS / 3]).tolist()
        lines = [f"{k} {x} {y} {z} 9 9 9 0.5\n" for k, (x, y, z) in enumerate(points)]
        for name, content in {"cameras": cameras, "images": images, "points3D": lines}.items():
            (folder / f"sparse/0/{name}.txt").write_text("".join(content))
    return folder


def check_each(split: Split, scene) -> None:
    """`check_dots` of every view, one by one."""
    for view in range(len(split)):
        check_dots(split.subset([view]), world_points(scene), 0.15)
        width, height = split.cameras.size(view)
        assert split.images[view].shape == (height, width, 3)


@pytest.mark.parametrize("form", ["colmap", "transforms.json", "llff"])
@pytest.mark.parametrize(
    ("sizes", "factor", "found"),
    [
        (FEW, 1, {(320, 215)}),
        (FEW, 2, {(160, 108)}),
        (TURNED, 1, {(320, 216), (216, 320)}),
        (TURNED, 2, {(160, 108), (108, 160)}),
        (TWO, 2, {(160, 108), (240, 162)}),
    ],
)
def test_points_are_seen_where_they_were_photographed(tmp_path, form, sizes, factor, found, capsys):
    scene = load(write(tmp_path, form, sizes), factor=factor)
    assert {split.cameras.size(view) for split in (scene.train, scene.test) for view in range(len(split))} == found
    for split in (scene.train, scene.test):
        check_each(split, scene)
    said = capsys.readouterr().err
    assert ("are cut to" if sizes is FEW else "have several sizes, which are kept") in said
    assert scene.extras["stored_size"] == {id(FEW): (320, 215), id(TURNED): (320, 216), id(TWO): (480, 324)}[id(sizes)]


def test_a_cut_picture_is_the_top_left_of_the_whole(tmp_path):
    folder = write(tmp_path, "transforms.json", FEW)
    scene = load(folder, factor=1)
    whole = np.asarray(Image.open(folder / "images/1.png"))
    assert whole.shape == (215, 323, 3) and np.array_equal(scene.train.images[0], whole[:215, :320])
    assert scene.train.cameras.intrinsics[0, :2, 2].tolist() == pytest.approx([323 / 2 + 3, 215 / 2 - 2])


def test_a_camera_for_one_pixel_more_than_the_file_has(tmp_path):
    folder = write(tmp_path, "colmap", [(320, 216)])
    for path in (folder / "images").iterdir():
        Image.open(path).crop((0, 0, 320, 215)).save(path)
    scene = load(folder, factor=1)
    assert scene.train.images.shape == (7, 215, 320, 3)


def test_the_width_is_that_of_the_widest():
    options = PointOptions(img_s=100)
    assert photograph_sizes(options, [(200, 100), (100, 200), (150, 90)]) == [(100, 50), (50, 100), (75, 45)]
    assert photograph_sizes(PointOptions(factor=3), [(200, 100), (100, 200)]) == [(67, 33), (33, 67)]
    assert photograph_sizes(PointOptions(half_res=True), [(200, 101)]) == [(100, 51)]


def test_sizes_that_are_meant_to_be_one():
    """4 px, or 1 % of 2694 px, which are 27; of 2700 and 2672 px 28 are more than that."""
    assert common_size([(80, 60), (84, 61)], [(80, 60), (84, 61)]) == (80, 60)
    assert common_size([(80, 60), (85, 60)], [(80, 60), (85, 60)]) is None
    assert common_size([(2694, 2020), (2692, 2019)], [(337, 253), (337, 252)]) == (337, 252)
    assert common_size([(2700, 2000), (2672, 2000)], [(338, 250), (334, 250)]) is None


@pytest.mark.parametrize("form", ["colmap", "transforms.json", "llff"])
def test_copies_of_several_sizes_are_checked_one_by_one(tmp_path, form, capsys):
    folder = write(tmp_path, form, TURNED)
    (folder / "images_2").mkdir()
    for path in (folder / "images").iterdir():
        copy = np.array(Image.open(path))
        copy = shrink(copy, copy.shape[1] // 2, copy.shape[0] // 2)
        copy[:3] = 77
        Image.fromarray(copy).save(folder / "images_2" / path.name)
    assert all((image[:3] == 77).all() for image in load(folder).train.images)
    Image.new("RGB", (160, 108)).save(folder / "images_2/3.png")  # its photograph is upright
    assert not any((image[:3] == 77).all() for image in load(folder).train.images)
    assert "3.png is 160x108 px, not 1/2 of 216x320 px" in capsys.readouterr().err
    for path in (folder / "images_2").iterdir():
        path.unlink()
    scene = load(folder)  # an empty folder is none
    check_each(scene.train, scene)


def test_masks_are_cut_with_their_pictures(tmp_path):
    folder = write(tmp_path / "scene", "transforms.json", FEW)
    (tmp_path / "masks").mkdir()
    for path in (folder / "images").iterdir():
        Image.fromarray(np.uint8(255) * (np.asarray(Image.open(path))[..., 0] > 60)).save(tmp_path / "masks" / path.name)
    scene = load(folder, no_masks=False, factor=1, maskdir=str(tmp_path / "masks"))
    assert scene.train.alpha.shape == (7, 215, 320) and scene.train.alpha.any()
    assert np.array_equal(scene.train.alpha > 0, load(folder, factor=1).train.images[..., 0] > 60)


def test_box_and_depths_hold_the_points_of_all_sizes(tmp_path):
    scene = load(write(tmp_path, "colmap", TURNED))
    points = torch.from_numpy(world_points(scene)).float()
    assert (points > scene.bounds[0]).all() and (points < scene.bounds[1]).all()
    for view in range(len(scene.train)):
        depth = scene.train.cameras.project(points, view)[1]
        assert (depth > scene.near).all() and (depth < scene.far).all()


@pytest.mark.parametrize(
    ("width", "copies", "factor"),
    [
        (640, [], 1),
        (800, [], 1),
        (801, [], 1),
        (1060, [], 1),
        (1070, [], 2),
        (1600, [], 2),
        (4032, [], 5),
        (6000, [], 8),
        (4032, [8, 4], 4),
        (4032, [8], 8),
        (1600, [2], 2),
    ],
)
def test_photographs_are_worked_at_about_800_px(width, copies, factor):
    """Without a flag; of a scene that has smaller copies alone, at the copy that is nearest to that."""
    assert shrink_factor(PointOptions(), [(width, width // 2), (width // 2, width // 4)], copies) == factor
    assert shrink_factor(PointOptions(factor=3), [(width, width // 2)], copies) == 3
    assert shrink_factor(PointOptions(half_res=True), [(width, width // 2)], copies) == 2
