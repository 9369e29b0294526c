"""Large pictures are read without a warning; absurdly large ones raise an error before memory is reserved."""

import threading
import time
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from datasets import image_files, pictures
from datasets.pictures import PictureFile, for_each, read_header, read_picture, read_pictures
from settings.errors import InputError
from tests.datasets.written_pictures import png, tiff


def test_a_photograph_of_108_megapixels_is_read_quietly(tmp_path, capfd):
    Image.new("L", (12000, 9000), 90).save(tmp_path / "a.jpg", quality=30)
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        found = read_picture(PictureFile(tmp_path / "a.jpg", 187, 140), "RGB")[0]
    np.testing.assert_allclose(found, 90, atol=2)
    assert not heard and capfd.readouterr().err == ""


def test_60000_by_60000_pixels_are_told(tmp_path):
    path = png(tmp_path / "a.png", np.zeros((1, 1, 3), np.uint8), {b"tEXt": b"n\0" + b"x" * 1_000_000}, size=(60_000, 60_000))
    with pytest.raises(InputError, match=r"a\.png says that it is 60000x60000 px, but at most 1000 million px are allowed"):
        read_header(path)


def test_more_pixels_than_a_file_can_hold_are_told(tmp_path):
    for path in (
        png(tmp_path / "a.png", np.zeros((1, 1, 3), np.uint8), size=(30_000, 30_000)),
        tiff(tmp_path / "a.tif", np.zeros((1, 1, 3), np.uint8), size=(3000, 3000)),
    ):
        with pytest.raises(InputError, match=r"px, which its \d+ bytes cannot hold: it is damaged"):
            read_header(path)


def test_blank_pictures_are_small_and_sound(tmp_path):
    for name in ("a.png", "a.tif", "a.bmp", "a.webp"):
        Image.new("1", (3000, 2000)).save(tmp_path / name, **({"compression": "group4"} if name == "a.tif" else {}))
        assert (read_picture(PictureFile(tmp_path / name, 30, 20), "RGB")[0] == 0).all()


def test_a_picture_that_the_memory_does_not_hold_is_told(tmp_path, monkeypatch):
    """3000 x 2000 px of 3 bytes, twice, are 36 MB."""
    path, small = tmp_path / "a.png", tmp_path / "small.png"
    Image.new("RGB", (3000, 2000)).save(path)
    Image.new("RGB", (20, 20)).save(small)
    monkeypatch.setattr(image_files.memory, "available", lambda: 35_900_000)
    with pytest.raises(InputError, match=r"a\.png is 3000x2000 px and needs 0\.0 GiB of memory, but only 0\.0 GiB are free"):
        read_picture(PictureFile(path, 10, 10), "RGB")
    monkeypatch.setattr(image_files.memory, "available", lambda: 36_000_000)
    assert read_picture(PictureFile(path, 10, 10), "RGB")[0].shape == (10, 10, 3)
    monkeypatch.setattr(image_files.memory, "available", lambda: 0)  # a small one is read all the same
    assert read_picture(PictureFile(small, 10, 10), "RGB")[0].shape == (10, 10, 3)


def test_a_text_that_unpacks_to_a_lot_is_told(tmp_path):
    text = b"note\0\0" + zlib.compress(b"x" * 3_000_000)
    path = png(tmp_path / "a.png", np.zeros((4, 4, 3), np.uint8), {b"zTXt": text})
    with pytest.raises(InputError, match=r"a\.png: a text or a colour profile in it unpacks to more than 1 MiB"):
        read_header(path)


def test_large_pictures_wait_for_each_other(tmp_path, monkeypatch):
    """The budget holds 1000 px: of four pictures of 400 px two are read at a time, and one of 1600 px alone."""
    monkeypatch.setattr(pictures, "_BUDGET", pictures._Budget(1000))
    files, inside, most, lock = [], [], [], threading.Lock()
    for k, side in enumerate((20, 20, 40, 20, 20)):
        Image.new("RGB", (side, side)).save(tmp_path / f"{k}.png")
        files.append(PictureFile(tmp_path / f"{k}.png", 10, 10))
    shrink = pictures.shrink

    def slow(image, *rest):
        with lock:
            inside.append(len(image))
            most.append(sorted(inside))
        time.sleep(0.05)
        with lock:
            inside.remove(len(image))
        return shrink(image, *rest)

    monkeypatch.setattr(pictures, "shrink", slow)
    read_pictures(files, False, threads=5)
    assert max(map(len, most)) == 2 and [20, 20] in most
    assert all(40 not in found or found == [40] for found in most)


def test_the_first_error_ends_the_work():
    done = []

    def read(k):
        if k == 1:
            raise InputError("broken")
        done.append(k)

    with pytest.raises(InputError, match="broken"):
        for_each(read, 1000, 1, "")
    assert len(done) < 1000
