"""One transforms.json for all photographs: known points, lenses, splits, boxes, and every kind of damaged file."""

import math
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

import datasets
from datasets.nerfstudio import ngp_box
from datasets.pictures import shrink
from methods.fields.learn import learn
from methods.fields.options import FieldOptions
from settings.errors import InputError
from tests.datasets import written_scene
from tests.datasets.written_photos import BENT, LENS, POINTS, around, check_dots, opengl, read_json, write_json, write_transforms


def load(folder, **settings):
    return written_scene.load(folder, **{"factor": 2, "no_masks": True} | settings)


def refusal(folder, **settings) -> str:
    return written_scene.refusal(folder, **{"factor": 2, "no_masks": True} | settings)


def change(folder, **top) -> None:
    content = read_json(folder) | top
    write_json(folder, {key: value for key, value in content.items() if value is not None})


def change_frame(folder, k: int, **entries) -> None:
    content = read_json(folder)
    content["frames"][k] |= entries
    write_json(folder, content)


# Where points are seen


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


def test_alpha_is_kept(tmp_path):
    write_transforms(tmp_path, lens=LENS | BENT)
    for path in (tmp_path / "images").iterdir():
        picture = Image.open(path)
        picture.putalpha(Image.fromarray(np.asarray(picture)[..., 0]))
        picture.save(path)
    scene = load(tmp_path, no_masks=False)
    assert np.array_equal(scene.train.alpha, scene.train.images[..., 0])
    path = tmp_path / "images/frame_00008.png"
    Image.open(path).convert("RGB").save(path)
    assert "frame_00008.png has no alpha channel, but" in refusal(tmp_path)


def test_masks_are_undistorted_with_their_pictures(tmp_path):
    write_transforms(tmp_path / "scene", lens=LENS | BENT)
    (tmp_path / "masks/images").mkdir(parents=True)
    for path in (tmp_path / "scene/images").iterdir():
        Image.fromarray(np.uint8(255) * (np.asarray(Image.open(path))[..., 0] > 60)).save(tmp_path / "masks/images" / path.name)
    scene = load(tmp_path / "scene", no_masks=False, maskdir=str(tmp_path / "masks"))
    bright = load(tmp_path / "scene").train.images[..., 0] > 60
    assert ((scene.train.alpha > 127) != bright).mean() < 0.003 and bright.mean() > 0.01


# Which views


def test_views_are_sorted_and_held_out(tmp_path):
    write_transforms(tmp_path)
    content = read_json(tmp_path)
    content["frames"] = content["frames"][::-1]
    write_json(tmp_path, content)
    scene = load(tmp_path)
    assert scene.test.names == ["frame_00000", "frame_00008"] and scene.train.names == [f"frame_{k:05d}" for k in range(1, 8)]
    assert load(tmp_path, llffhold=3, testskip=2).test.names == ["frame_00000", "frame_00006"]
    check_dots(scene.test, POINTS)


def names(numbers) -> list[str]:
    return [f"images/frame_{k:05d}.png" for k in numbers]


def test_the_files_own_splits(tmp_path):
    write_transforms(tmp_path)
    change(tmp_path, train_filenames=names([0, 1, 2, 3]), val_filenames=names([4, 5]), test_filenames=["./" + names([7])[0]])
    scene = load(tmp_path)
    assert [len(scene.train), len(scene.val), scene.test.names] == [4, 2, ["frame_00007"]]
    change(tmp_path, test_filenames=None)
    scene = load(tmp_path)
    assert [len(scene.train), len(scene.val), len(scene.test)] == [4, 0, 2]
    change(tmp_path, val_filenames=None)
    assert [len(load(tmp_path).train), len(load(tmp_path).test)] == [4, 5]
    change(tmp_path, test_filenames=names([3, 4]))
    assert "images/frame_00003.png is both a training view and one to evaluate on" in refusal(tmp_path)
    change(tmp_path, test_filenames=names([3, 40]))
    assert "test_filenames names images/frame_00040.png, which is not the file_path of any frame" in refusal(tmp_path)
    change(tmp_path, test_filenames="all")
    assert "test_filenames is not a list of file names" in refusal(tmp_path)


def test_why_there_are_no_views_to_test(tmp_path):
    write_transforms(tmp_path)
    change(tmp_path, train_filenames=names(range(9)), test_filenames=[])
    assert "its train_filenames lists all 9 images, which leaves no test views" in refusal(tmp_path)
    change(tmp_path, train_filenames=names(range(7)), test_filenames=names([7, 8]))
    for k in (7, 8):
        (tmp_path / names([k])[0]).unlink()
    said = refusal(tmp_path)
    assert "its train_filenames and test_filenames give 2 images as test views, and none of them exists" in said
    assert "images/frame_00007.png" in said


def test_empty_entries_are_none(tmp_path, capsys):
    write_transforms(tmp_path, aabb_scale=None, train_filenames=[], val_filenames=[], k1=None)
    content = read_json(tmp_path)
    content["frames"] = [None, *content["frames"]]
    content["frames"][3] |= {"mask_path": "", "fl_x": None}
    write_json(tmp_path, content)
    scene = load(tmp_path)
    assert (len(scene.train), len(scene.test)) == (7, 2) and "axes meet" in scene.extras["bounds_from"]
    check_dots(scene.train, POINTS)
    assert "1 of 10 frames are null and left out, frame 0 first" in capsys.readouterr().err


def test_frames_without_image_are_not_checked(tmp_path):
    write_transforms(tmp_path)
    change_frame(tmp_path, 4, transform_matrix=[[1]], camera_model="FTHETA")
    assert "frame 4: transform_matrix is not" in refusal(tmp_path)
    (tmp_path / names([4])[0]).unlink()
    assert len(load(tmp_path).train) + len(load(tmp_path).test) == 8


def test_copies_alone_are_enough(tmp_path):
    write_transforms(tmp_path)
    (tmp_path / "images").rename(tmp_path / "images_2")
    for path in (tmp_path / "images_2").iterdir():
        Image.open(path).reduce(2).save(path)
    check_dots(load(tmp_path).train, POINTS)
    assert "has no folder `images`" in refusal(tmp_path, factor=1)


def test_copies_alone_are_enough_where_no_size_is_stated(tmp_path):
    """The photographs are then as many times as large as the folder's name says."""
    write_transforms(tmp_path)
    (tmp_path / "images").rename(tmp_path / "images_4")
    for path in (tmp_path / "images_4").iterdir():
        Image.open(path).reduce(4).save(path)
    content = read_json(tmp_path)
    for key in ("w", "h"):
        del content[key]
    write_json(tmp_path, content)
    scene = load(tmp_path, factor=4)
    assert scene.extras["stored_size"] == (320, 216) and scene.train.images.shape[1:3] == (54, 80)
    check_dots(scene.train, POINTS)
    assert "images_4 is smaller: give --factor 4" in refusal(tmp_path, factor=1)


def test_photographs_without_a_pose_are_counted(tmp_path, capsys):
    write_transforms(tmp_path)
    load(tmp_path)
    assert "pose" not in capsys.readouterr().err
    Image.new("RGB", (9, 9)).save(tmp_path / "images/other.png")
    load(tmp_path)
    assert "9 of 10 photographs have a pose, other.png has none" in capsys.readouterr().err


def test_views_of_folders_are_told_apart(tmp_path):
    write_transforms(tmp_path)
    content = read_json(tmp_path)
    for k, frame in enumerate(content["frames"]):
        path = tmp_path / f"cam{k % 2}/{k // 2}.png"
        path.parent.mkdir(exist_ok=True)
        (tmp_path / frame["file_path"]).rename(path)
        frame["file_path"] = f"cam{k % 2}\\{k // 2}.png"
    write_json(tmp_path, content)
    scene = load(tmp_path)
    assert scene.test.names == ["cam0/0", "cam1/3"] and "4" in scene.train.names


# Masks that frames name


def write_masks(folder, count: int = 9) -> None:
    (folder / "masks").mkdir(exist_ok=True)
    content = read_json(folder)
    for k, frame in enumerate(content["frames"]):
        mask = np.asarray(Image.open(folder / frame["file_path"]))[..., 0] > 60
        if k < count:
            Image.fromarray(np.uint8(255) * mask).save(folder / f"masks/{k}.png")
        frame["mask_path"] = f"masks/{k}.png"
    write_json(folder, content)


@pytest.mark.parametrize("method", ["points", "nerf"])
def test_masks_that_frames_name_are_used(tmp_path, method, capsys):
    write_transforms(tmp_path)
    write_masks(tmp_path)
    scene = load(tmp_path, no_masks=False, factor=1, method=method)
    bright = load(tmp_path, factor=1).train.images[..., 0] > 60
    assert scene.cut_out and np.array_equal(scene.train.alpha == 255, bright) and scene.train.images[~bright].max() == 0
    assert "masks that frames name as mask_path say what is learned" in capsys.readouterr().err
    assert load(tmp_path, method=method).train.alpha is None  # --no_masks
    other = tmp_path / "other"
    other.mkdir()
    for path in (tmp_path / "images").iterdir():
        Image.new("L", (320, 216), 255).save(other / f"{path.name}.png")  # COLMAP's names
    assert (load(tmp_path, no_masks=False, method=method, maskdir=str(other)).train.alpha == 255).all()
    assert f"--maskdir {other} is used; the masks named in the scene's files are not" in capsys.readouterr().err


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


def test_a_photograph_that_is_listed_twice_is_one_view(tmp_path, capsys):
    write_transforms(tmp_path)
    names = load(tmp_path).train.names
    content = read_json(tmp_path)
    content["frames"].insert(3, content["frames"][0])
    write_json(tmp_path, content)
    scene = load(tmp_path)
    assert scene.train.names == names and scene.extras["missing_images"] == 0
    said = "1 of 10 frames name a photograph that an earlier frame names, and are left out (frame 3 first"
    assert said in capsys.readouterr().err


def test_masks_that_have_no_name(tmp_path):
    write_transforms(tmp_path)
    write_masks(tmp_path)
    change_frame(tmp_path, 2, mask_path=["masks/2.png"])
    assert "frame 2: mask_path is ['masks/2.png'], not the name of a file" in refusal(tmp_path, no_masks=False, method="nerf")
    assert load(tmp_path, method="nerf").train.alpha is None


def test_fields_of_pictures_with_alpha_and_masks_are_told_how_to_go_on(tmp_path):
    write_transforms(tmp_path)
    write_masks(tmp_path)
    for path in (tmp_path / "images").iterdir():
        picture = Image.open(path).convert("RGBA")
        picture.putpixel((0, 0), (0, 0, 0, 0))
        picture.save(path)
    options = FieldOptions(datadir=str(tmp_path), factor=2)
    scene = datasets.load(options)
    with pytest.raises(InputError, match=r"^mask_path of its frames: these pictures have an alpha channel.*: give --no_masks$"):
        learn(options, scene, scene.test, tmp_path)
    assert load(tmp_path, method="nerf").carving is None


def test_masks_that_are_not_there(tmp_path, capsys):
    write_transforms(tmp_path)
    write_masks(tmp_path, 5)
    assert f"frame 5: its mask {tmp_path / 'masks/5.png'} is missing" in refusal(tmp_path, no_masks=False)
    change_frame(tmp_path, 2, mask_path="")
    assert "frame 2 has no mask_path, and others have" in refusal(tmp_path, no_masks=False)
    change_frame(tmp_path, 2, mask_path="masks/2.png")
    for path in (tmp_path / "masks").iterdir():
        path.unlink()
    assert load(tmp_path, no_masks=False, method="nerf").train.alpha is None
    assert "none of the 9 masks that frames name as mask_path exists" in capsys.readouterr().err


# Entries that are not used


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


def test_missing_images_are_left_out_and_counted(tmp_path, capsys):
    write_transforms(tmp_path)
    for k in (2, 5):
        (tmp_path / f"images/frame_{k:05d}.png").unlink()
    scene = load(tmp_path)
    assert "2 of 9 images are missing and left out" in capsys.readouterr().err
    assert scene.extras["missing_images"] == 2 and (len(scene.train), len(scene.test)) == (6, 1)
    check_dots(scene.train, POINTS)
    for path in (tmp_path / "images").iterdir():
        path.unlink()
    assert "lists 9 images, but none of them exists" in refusal(tmp_path)


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


# What is wrong with a scene


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
