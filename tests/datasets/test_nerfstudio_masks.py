"""One transforms.json for all photographs: alpha channels, and masks that frames name."""

import numpy as np
import pytest
from PIL import Image

import datasets
from methods.fields.learn import learn
from methods.fields.options import FieldOptions
from settings.errors import InputError
from tests.datasets.changed_transforms import change_frame
from tests.datasets.half_size import load, refusal
from tests.datasets.written_photos import BENT, LENS, read_json, write_json, write_transforms


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
