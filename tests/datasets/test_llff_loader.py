"""LLFF scenes: known points, images_N, worlds and paths, and every kind of damaged file; the real fern if it is present."""

import os
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from scipy.spatial.transform import Rotation

from datasets import smaller_copies
from datasets.llff import read_poses_bounds
from datasets.pictures import shrink
from datasets.protocols import evaluation_views
from methods.points.options import PointOptions
from tests.datasets import written_scene
from tests.datasets.written_photos import HEIGHT, WIDTH, around, check_dots, colmap_binaries, facing, world_points, write_llff

DATA = Path(os.environ.get("RADIANCE_DATA", Path(__file__).parents[3] / "shared/data"))
FERN = DATA / "nerf_llff_data/fern"
needs_fern = pytest.mark.skipif(not FERN.is_dir(), reason=f"{FERN} does not exist: set RADIANCE_DATA to another folder")


def load(folder, **settings):
    return written_scene.load(folder, **{"factor": 2, "no_masks": True} | settings)


def refusal(folder, **settings) -> str:
    return written_scene.refusal(folder, **{"factor": 2, "no_masks": True} | settings)


# Where points are seen


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


# images_N


def test_smaller_copies_are_made_once_and_are_means(tmp_path):
    write_llff(tmp_path)
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "images/image003.png")
    scene = load(tmp_path, factor=4)
    expected = noise.reshape(54, 4, 80, 4, 3).mean((1, 3))
    np.testing.assert_allclose(np.asarray(Image.open(tmp_path / "images_4/image003.png")), expected, atol=0.501)
    assert np.array_equal(scene.train.images[scene.train.names.index("image003")], shrink(noise, 80, 54))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "images_4", "poses_bounds.npy"]
    made = (tmp_path / "images_4/image003.png").stat().st_mtime_ns
    for path in (tmp_path / "images").iterdir():
        path.unlink()  # the remaining files are enough
    (tmp_path / "images").rmdir()
    again = load(tmp_path, factor=4)
    assert np.array_equal(scene.train.images, again.train.images)
    assert (tmp_path / "images_4/image003.png").stat().st_mtime_ns == made
    assert load(tmp_path, factor=8).train.images.shape == (7, 27, 40, 3)  # from the copies, in memory
    assert not (tmp_path / "images_8").exists()


@pytest.mark.parametrize("ending", ["tif", "TIFF", "bmp"])
def test_photographs_that_are_tiff_or_bmp(tmp_path, ending):
    write_llff(tmp_path)
    as_png = load(tmp_path, factor=2)
    shutil.rmtree(tmp_path / "images_2")
    for path in (tmp_path / "images").iterdir():
        Image.open(path).save(path.with_suffix(f".{ending}"))
        path.unlink()
    scene = load(tmp_path, factor=2)
    assert scene.train.names == as_png.train.names and np.array_equal(scene.train.images, as_png.train.images)


def test_where_nothing_can_be_written_pictures_are_shrunk_in_memory(tmp_path, monkeypatch, capsys):
    write_llff(tmp_path)
    written = load(tmp_path, factor=4).train.images
    for path in (tmp_path / "images_4").iterdir():
        path.unlink()
    (tmp_path / "images_4").rmdir()

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(smaller_copies.Path, "mkdir", refuse)
    assert np.array_equal(load(tmp_path, factor=4).train.images, written)
    assert "images_4 cannot be written (Permission denied): the photographs are shrunk in memory" in capsys.readouterr().err
    assert not (tmp_path / "images_4").exists()


def test_a_photograph_that_cannot_be_decoded_leaves_no_half_made_folder(tmp_path):
    write_llff(tmp_path)
    whole = (tmp_path / "images/image004.png").read_bytes()
    (tmp_path / "images/image004.png").write_bytes(whole[: len(whole) // 2])
    assert f"{tmp_path / 'images/image004.png'} cannot be decoded: the file is damaged" in refusal(tmp_path)
    (tmp_path / "images/image004.png").write_text("no picture")
    assert "image004.png cannot be decoded as an image" in refusal(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "poses_bounds.npy"]


def test_copies_of_other_programs_with_another_rounding(tmp_path):
    """321 px at 1/2 are 161 here and 160 elsewhere: the folder's pictures are taken as they are, and so are their intrinsics."""
    write_llff(tmp_path, size=(321, 217))
    (tmp_path / "images").rename(tmp_path / "full")
    (tmp_path / "images_2").mkdir()
    for path in (tmp_path / "full").iterdir():
        Image.fromarray(shrink(np.asarray(Image.open(path)), 160, 108)).save(tmp_path / "images_2" / path.name)
    scene = load(tmp_path)
    assert scene.train.images.shape[1:3] == (108, 160)
    check_dots(scene.train, world_points(scene))


def test_masks_from_files(tmp_path):
    """Masks lie in --maskdir by the names of the photographs, at the photographs' size or the copies'."""
    write_llff(tmp_path / "scene")
    (tmp_path / "masks").mkdir()
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[: HEIGHT // 2] = 255
    for path in (tmp_path / "scene/images").iterdir():
        Image.fromarray(mask).save(tmp_path / "masks" / path.name)
    scene = load(tmp_path / "scene", no_masks=False, maskdir=str(tmp_path / "masks"))
    assert scene.cut_out and (scene.train.alpha[:, :54] == 255).all() and (scene.test.alpha[:, 54:] == 0).all()
    assert "image001.png has no alpha channel" in refusal(tmp_path / "scene", no_masks=False)


# What is wrong with a scene


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


def test_copies_of_some_are_no_copies(tmp_path, capsys):
    scene = load(write_llff(tmp_path))
    (tmp_path / "images_2/image003.png").unlink()
    (tmp_path / "images_2" / smaller_copies.MANIFEST).unlink()  # they are the user's
    assert np.array_equal(load(tmp_path).train.images, scene.train.images)
    assert "images_2 holds 8 images" in capsys.readouterr().err
    for path in (tmp_path / "images_2").iterdir():
        path.unlink()
    load(tmp_path)  # an empty folder is filled
    assert len(list((tmp_path / "images_2").glob("*.png"))) == 9


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


def test_a_scene_is_found_by_its_collection(tmp_path, monkeypatch, capsys):
    write_llff(tmp_path / "nerf_llff_data/fern")
    monkeypatch.setenv("RADIANCE_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert len(written_scene.datasets.load(PointOptions(dataname="fern", factor=2, no_masks=True)).train) == 7
    assert "is read, and not" not in capsys.readouterr().err  # the folder is the same
    write_llff(tmp_path / "data/nerf_llff_data/fern", facing(5))
    assert len(written_scene.datasets.load(PointOptions(dataname="fern", factor=2, no_masks=True)).train) == 7
    assert f"{tmp_path}/nerf_llff_data/fern is read, and not data/nerf_llff_data/fern" in capsys.readouterr().err


# The real fern: COLMAP's points, seen by the cameras that poses_bounds.npy has of the same model


def fern_points() -> tuple[np.ndarray, np.ndarray, list]:
    """Points (P, 3), colours (P, 3) and the images that see each, from the sparse model."""
    data = (FERN / "sparse/0/points3D.bin").read_bytes()
    offset, points, colours, seen = 8, [], [], []
    for _ in range(struct.unpack_from("<Q", data)[0]):
        _, x, y, z, r, g, b, _, length = struct.unpack_from("<Q3d3BdQ", data, offset)
        seen.append(set(struct.unpack_from(f"<{2 * length}i", data, offset + 51)[::2]))
        offset += 51 + 8 * length
        points.append((x, y, z))
        colours.append((r, g, b))
    return np.array(points), np.array(colours, float), seen


def colour_errors(scene, points, colours, seen, number, shifts, k1=0.0) -> dict:
    """Mean distance (0 to 255) of the points' colours from the pictures' at their projections, for shifts in px."""
    world = np.array(scene.extras["world_from_file"])
    points = torch.from_numpy(points @ world[:3, :3].T + world[:3, 3]).float()
    errors = {shift: [] for shift in shifts}
    for split in (scene.train, scene.test):
        for view, name in enumerate(split.names):
            mine = np.array([number(name) in images for images in seen])
            pixels, depth = split.cameras.project(points[mine], view)
            assert (depth > 0).all()
            k = split.cameras.intrinsics[view].numpy()
            x = (pixels.numpy() - k[:2, 2]) / k[0, 0]
            columns, rows = (x * (1 + k1 * (x**2).sum(1, keepdims=True)) * k[0, 0] + k[:2, 2]).T
            for shift in shifts:
                found = np.stack(
                    [
                        ndimage.map_coordinates(
                            split.images[view, ..., channel].astype(float),
                            [rows - 0.5 + shift[1], columns - 0.5 + shift[0]],
                            order=1,
                            mode="nearest",
                        )
                        for channel in range(3)
                    ],
                    1,
                )
                errors[shift].append(np.abs(found - colours[mine]).mean(1))
    return {shift: np.concatenate(values).mean() for shift, values in errors.items()}


SHIFTS = [(0.0, 0.0), (0.5, 0.0), (-0.5, 0.0), (0.0, 0.5), (0.0, -0.5), (9.0, 9.0)]
FERN_K1 = 0.019750463822896944  # of the model's SIMPLE_RADIAL camera; poses_bounds.npy does not hold it


def check_fern(errors: dict) -> None:
    """The colours agree best at the points' projections, to less than half a pixel, and not at all elsewhere."""
    here = errors[0.0, 0.0]
    assert all(here < 0.93 * error for shift, error in errors.items() if shift != (0, 0)), errors
    assert here < 0.45 * errors[9.0, 9.0]


@needs_fern
def test_fern():
    scene = load(FERN, factor=8)
    assert (len(scene.train), scene.test.names) == (17, ["image000", "image008", "image016"])
    assert scene.train.images.shape == (17, 378, 504, 3) and scene.forward_facing
    assert scene.train.cameras.intrinsics[0, 0, 0] == pytest.approx(3260.52633 / 8)
    assert scene.near == pytest.approx(1.2) and scene.far == pytest.approx(80.0020974 / 16.98529618 / 0.75)
    points, colours, seen = fern_points()
    check_fern(colour_errors(scene, points, colours, seen, lambda name: int(name[-3:]) + 1, SHIFTS, FERN_K1))
    world = np.array(scene.extras["world_from_file"])
    bounds = np.load(FERN / "poses_bounds.npy")[1:8, 15:] * np.cbrt(np.linalg.det(world[:3, :3]))
    moved = torch.from_numpy(points @ world[:3, :3].T + world[:3, 3]).float()
    for view in range(7):  # LLFF's bounds are percentiles 0.1 and 99.9 of the depths of what a view sees
        mine = np.array([view + 2 in images for images in seen])
        depths = scene.train.cameras.project(moved[mine], view)[1]
        np.testing.assert_allclose(np.percentile(depths, [0.1, 99.9]), bounds[view], rtol=1e-5)


@needs_fern
def test_fern_by_its_colmap_model(tmp_path):
    """The model lacks images.bin: it is made from the poses, and the distortion in cameras.bin is undone."""
    poses = read_poses_bounds(FERN / "poses_bounds.npy")[0] * [1, -1, -1, 1]
    pictures = []
    for k, pose in enumerate(poses):
        x, y, z, w = Rotation.from_matrix(pose[:, :3].T).as_quat()
        pictures.append((k + 1, [w, x, y, z, *(-pose[:, :3].T @ pose[:, 3])], f"image{k:03d}.png", [], []))
    (tmp_path / "sparse/0").mkdir(parents=True)
    colmap_binaries(tmp_path / "sparse/0", [], pictures, [], [], camera=1)
    for name in ("cameras", "points3D"):
        (tmp_path / f"sparse/0/{name}.bin").write_bytes((FERN / f"sparse/0/{name}.bin").read_bytes())
    (tmp_path / "images_8").symlink_to(FERN / "images_8")
    scene = load(tmp_path, factor=8)
    assert scene.extras["format"] == "COLMAP" and scene.train.images.shape == (17, 378, 504, 3)
    points, colours, seen = fern_points()
    check_fern(colour_errors(scene, points, colours, seen, lambda name: int(name[-3:]) + 1, SHIFTS))
    depth = scene.train.cameras.centers.norm(dim=1)
    assert depth.min() > 2 and depth.max() < 6 and 0 < scene.near < scene.far < 40
