"""EXIF orientation: pictures are read as their cameras need them, in every format; unclear cases are reported."""

import numpy as np
import pytest
from PIL import Image, ImageOps

from datasets.image_files import read_header
from datasets.orientation import turns
from datasets.pictures import PictureFile, read_picture
from datasets.pixels import turned
from methods.command_line import parse
from settings.errors import InputError
from tests.datasets import written_photos
from tests.datasets.written_pictures import png, tiff
from tests.datasets.written_scene import load, refusal, write_scene

# By EXIF's definition: where the stored picture's first row and first column are in the upright one.
PIXELS = {
    1: ("top", "left"),
    2: ("top", "right"),
    3: ("bottom", "right"),
    4: ("bottom", "left"),
    5: ("left", "top"),
    6: ("right", "top"),
    7: ("right", "bottom"),
    8: ("left", "bottom"),
}
STORED = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)


def edge(picture, side):
    """The pixels along one side, from the left or from the top."""
    return {"top": picture[0], "bottom": picture[-1], "left": picture[:, 0], "right": picture[:, -1]}[side]


def exif(orientation):
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


def stored_for(upright: np.ndarray, orientation: int) -> np.ndarray:
    """What a camera stores of an upright picture, found by trying: Pillow's own reading of it is upright."""
    for turn in range(1, 9):
        stored = turned(upright, turn)
        image = Image.fromarray(np.ascontiguousarray(stored))
        image.getexif()[0x0112] = orientation
        if np.array_equal(np.asarray(ImageOps.exif_transpose(image)), upright):
            return np.ascontiguousarray(stored)
    raise AssertionError(orientation)


@pytest.mark.parametrize("turn", PIXELS)
def test_turns_are_those_of_exif(turn):
    upright = turned(STORED, turn)
    row, column = PIXELS[turn]
    row_there, column_there = edge(upright, row), edge(upright, column)
    assert sorted(map(tuple, row_there)) == sorted(map(tuple, STORED[0]))
    assert sorted(map(tuple, column_there)) == sorted(map(tuple, STORED[:, 0]))


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("name", ["a.png", "late.png", "a.webp", "raw.tif", "packed.tif", "a.jpg"])
def test_both_readings_of_every_format(tmp_path, name, turn):
    path = tmp_path / name
    smooth = np.stack(np.broadcast_arrays(np.arange(24)[:, None] * 8, np.arange(32) * 6, 90), -1).astype(np.uint8)
    if name == "late.png":
        png(path, smooth, late={b"eXIf": exif(turn).tobytes()[6:]})
    elif path.suffix == ".tif":
        tiff(path, smooth, deflated=name == "packed.tif", orientation=turn)
    else:
        options = {"a.webp": {"lossless": True}, "a.jpg": {"quality": 100, "subsampling": 0}}.get(name, {})
        Image.fromarray(smooth).save(path, exif=exif(turn), **options)
    header = read_header(path)
    assert (header.width, header.height, header.orientation) == (32, 24, turn)
    for way in (1, turn):
        upright = turned(smooth, way)
        for divisor in (1, 2):
            size = header.size(way)[0] // divisor, header.size(way)[1] // divisor
            expected = upright.reshape(size[1], divisor, size[0], divisor, 3).mean((1, 3))
            found = read_picture(PictureFile(path, *size, turn=way), "RGB")[0]
            np.testing.assert_allclose(found, expected, atol=3 if name == "a.jpg" else 0.51, err_msg=f"{way} {divisor}")


def test_xmp_says_it_too(tmp_path):
    Image.fromarray(STORED).save(tmp_path / "a.webp", xmp=b'<x xmlns:tiff="t" tiff:Orientation="8"/>')
    assert read_header(tmp_path / "a.webp").orientation == 8


def headers(tmp_path, *orientations, size=(32, 24)):
    found = []
    for k, orientation in enumerate(orientations):
        Image.new("RGB", size).save(tmp_path / f"{k}.png", exif=exif(orientation))
        found.append(read_header(tmp_path / f"{k}.png"))
    return found


def test_the_cameras_tell(tmp_path, capsys):
    found = headers(tmp_path, 6, 8, 1)
    assert turns(found, [(24, 32), (32, 24), (32, 24)], None, "here") == [6, 1, 1]
    assert turns(found, [(48, 64), (64, 48), (64, 48)], None, "here") == [6, 1, 1]  # stated for larger ones
    assert capsys.readouterr().err == ""
    with pytest.raises(InputError, match=r"--orientation stored: .*0\.png is 32x24 px then, but its camera is stated for 24x32"):
        turns(found, [(24, 32), None, None], "stored", "here")


def test_what_nothing_tells_is_said(tmp_path, capsys):
    found = headers(tmp_path, 3, 1, 2, 4)
    assert turns(found, [(32, 24)] * 4, None, "here") == [1, 1, 1, 1]
    said = capsys.readouterr().err
    assert said.startswith("here: 3 of 4 pictures have an EXIF orientation") and said.count("\n") == 1
    assert "read as they are stored" in said and "give --orientation upright" in said
    assert turns(found, [(32, 24)] * 4, "upright", "here") == [3, 1, 2, 4]
    assert capsys.readouterr().err == ""
    assert turns(headers(tmp_path, 6), [None], None, "here") == [1]  # no stated size
    assert turns(headers(tmp_path, 6, size=(24, 24)), [(24, 24)], "upright", "here") == [6]
    assert "1 of 1 pictures" in capsys.readouterr().err


def test_the_scenes_other_pictures_tell(tmp_path, capsys):
    assert turns(headers(tmp_path, 6, 3), [(24, 32), (32, 24)], None, "here") == [6, 3]
    said = capsys.readouterr().err
    assert "turned upright, like the scene's others" in said and "give --orientation stored" in said


# In the loaders


def test_copies_of_photographs_do_not_bring_the_line_twice(tmp_path, capsys):
    turn_files(written_photos.write_transforms(tmp_path), 3)
    (tmp_path / "images_2").mkdir()
    for path in (tmp_path / "images").iterdir():
        Image.open(path).reduce(2).save(tmp_path / "images_2" / path.name, exif=exif(3))
    scene = load(tmp_path, factor=2, no_masks=True)
    said = capsys.readouterr().err
    assert said.count("EXIF orientation") == 1, said
    upright = load(tmp_path, factor=2, no_masks=True, orientation="upright")
    assert (upright.train.images == scene.train.images[:, ::-1, ::-1]).all()


def test_nerf_synthetic(tmp_path, capsys):
    write_scene(tmp_path, mode="RGB", w=8, h=6)
    expected = load(tmp_path, method="nerf").train.images
    for path in tmp_path.glob("*/*.png"):
        Image.fromarray(stored_for(np.asarray(Image.open(path)), 6)).save(path, exif=exif(6))
    assert (load(tmp_path, method="nerf").train.images == expected).all()
    assert "--orientation stored: " in refusal(tmp_path, method="nerf", orientation="stored")
    for path in tmp_path.glob("*/*.png"):
        upright = np.asarray(ImageOps.exif_transpose(Image.open(path)))
        Image.fromarray(stored_for(upright, 3)).save(path, exif=exif(3))
    capsys.readouterr()
    assert (load(tmp_path, method="nerf").train.images == expected[:, ::-1, ::-1]).all()
    assert "EXIF orientation" in capsys.readouterr().err
    assert (load(tmp_path, method="nerf", orientation="upright").train.images == expected).all()


def turn_files(folder, orientation):
    for path in folder.rglob("*.png"):
        Image.fromarray(stored_for(np.asarray(Image.open(path).convert("RGB")), orientation)).save(path, exif=exif(orientation))


@pytest.mark.parametrize(("orientation", "flag"), [(6, None), (8, None), (5, None), (3, "upright"), (2, "upright")])
@pytest.mark.parametrize("scene_format", ["llff", "nerfstudio", "colmap"])
def test_photographs(tmp_path, scene_format, orientation, flag):
    """Points are seen where they were photographed, from the pictures and from copies that the program makes; twice."""
    write = {
        "llff": written_photos.write_llff,
        "nerfstudio": written_photos.write_transforms,
        "colmap": written_photos.write_colmap,
    }[scene_format]
    turn_files(write(tmp_path), orientation)
    for _ in range(2):
        scene = load(tmp_path, factor=2, no_masks=True, orientation=flag)
        assert scene.train.images.shape[1:] == (108, 160, 3)
        written_photos.check_dots(scene.train, written_photos.world_points(scene), 0.2)
    assert (tmp_path / "images_2").is_dir() == (scene_format == "llff")


def test_without_a_stated_size_the_picture_is_read_as_stored_and_that_is_said(tmp_path, capsys):
    written_photos.write_transforms(tmp_path)
    content = written_photos.read_json(tmp_path)
    written_photos.write_json(tmp_path, {key: value for key, value in content.items() if key not in ("w", "h")})
    turn_files(tmp_path, 6)
    assert load(tmp_path, factor=1, no_masks=True).train.images.shape[1:] == (320, 216, 3)
    assert "7 of 7 pictures" in (said := capsys.readouterr().err) or "9 of 9 pictures" in said
    scene = load(tmp_path, factor=1, no_masks=True, orientation="upright")
    written_photos.check_dots(scene.train, written_photos.POINTS, 0.2)


@pytest.mark.parametrize("drawn_on", ["upright", "stored", "tagged"])
def test_masks_beside_turned_photographs(tmp_path, drawn_on):
    """A mask without an orientation, drawn on the upright picture or on the stored one; and one with its picture's."""
    written_photos.write_transforms(tmp_path)
    for path in (tmp_path / "images").glob("*.png"):
        upright = np.asarray(Image.open(path))
        mask = np.uint8(255) * (upright > 60)
        target = tmp_path / "masks/images" / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask if drawn_on == "upright" else stored_for(mask, 6)).save(
            target, **({"exif": exif(6)} if drawn_on == "tagged" else {})
        )
        Image.fromarray(stored_for(upright, 6)).save(path, exif=exif(6))
    split = load(tmp_path, factor=1, maskdir=str(tmp_path / "masks")).train
    assert ((split.alpha > 0) == (split.images.max(-1) > 60)).all() and (split.alpha > 0).any()


def test_masks_of_stored_pictures_drawn_on_upright_ones(tmp_path):
    written_photos.write_transforms(tmp_path)
    for path in (tmp_path / "images").glob("*.png"):
        image = Image.open(path).convert("RGB")
        image.save(path, exif=exif(6))
        mask = np.uint8(255) * (turned(np.asarray(image), 6) > 60)
        target = tmp_path / "masks/images" / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.ascontiguousarray(mask)).save(target)
    split = load(tmp_path, factor=1, maskdir=str(tmp_path / "masks")).train
    assert ((split.alpha > 0) == (split.images.max(-1) > 60)).all() and (split.alpha > 0).any()


def test_the_flag(tmp_path):
    assert parse(["--dataname", "demo", "--orientation", "upright"]).orientation == "upright"
    with pytest.raises(InputError, match="--orientation left is not known: choose one of stored, upright"):
        parse(["--dataname", "demo", "--orientation", "left"])
