"""The smaller copies (images_N) and the masks of LLFF scenes."""

import shutil

import numpy as np
import pytest
from PIL import Image

from datasets import smaller_copies
from datasets.pictures import shrink
from tests.datasets.half_size import load, refusal
from tests.datasets.written_photos import HEIGHT, WIDTH, check_dots, world_points, write_llff


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
