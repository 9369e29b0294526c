"""Smaller copies record their photographs: they are made again if these changed, and left alone otherwise."""

import errno
import os
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets import smaller_copies
from datasets.file_names import holds_images, images_below
from datasets.smaller_copies import MANIFEST, check_names, make_copies, usable
from settings.errors import InputError
from system.files import writing
from tests.datasets import written_photos
from tests.datasets.written_scene import load


@pytest.fixture()
def photographs(tmp_path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for k in range(4):
        Image.new("RGB", (16, 12), (40 * k, 100, 7)).save(folder / f"{k}.png")
    return folder


def make(photographs: Path, threads: int = 1) -> Path:
    folder = photographs.parent / "images_2"
    assert make_copies(sorted(photographs.iterdir()), folder, 8, 6, threads)
    return folder


def colours(folder: Path) -> list[list[int]]:
    return [np.asarray(Image.open(path))[2, 2].tolist() for path in sorted(folder.glob("*.png"))]


def test_copies_are_made_once(photographs):
    folder = make(photographs)
    assert colours(folder) == [[40 * k, 100, 7] for k in range(4)]
    before = folder.stat().st_ino, (folder / MANIFEST).read_text()
    assert usable(folder, photographs)
    for path in photographs.iterdir():  # other times, the same content
        os.utime(path, (1, 1))
    assert usable(folder, photographs)
    assert (folder.stat().st_ino, (folder / MANIFEST).read_text()) == before
    assert sorted(path.name for path in folder.parent.iterdir()) == ["images", "images_2"]


@pytest.mark.parametrize("name", ["@eaDir", "thumbs", ".thumbnails"])
def test_a_folder_with_pictures_beside_the_photographs_is_not_theirs(photographs, name):
    folder = make(photographs)
    (photographs / name).mkdir()
    Image.new("RGB", (4, 3)).save(photographs / name / "0.png")
    assert usable(folder, photographs)


def test_previews_of_a_nas_are_no_images(tmp_path):
    for name in ("images_4/@eaDir", "images_4/.thumbnails"):
        (tmp_path / name).mkdir(parents=True)
        Image.new("RGB", (4, 3)).save(tmp_path / name / "0.png")
    assert not holds_images(tmp_path / "images_4")
    Image.new("RGB", (4, 3)).save(tmp_path / "images_4" / "0.png")
    assert [path.name for path in images_below(tmp_path)] == ["0.png"]


def change(photographs: Path, folder: Path, what: str) -> None:
    if what == "a photograph":
        Image.new("RGB", (16, 12), (200, 200, 200)).save(photographs / "1.png")
    elif what == "a photograph of the same size in bytes":
        content = (photographs / "1.png").read_bytes()
        Image.new("RGB", (16, 12), (41, 100, 7)).save(photographs / "1.png")
        assert len((photographs / "1.png").read_bytes()) == len(content)
    elif what == "one photograph more":
        Image.new("RGB", (16, 12), (200, 200, 200)).save(photographs / "9.png")
    elif what == "one photograph less":
        (photographs / "3.png").unlink()
    elif what == "another name":
        (photographs / "3.png").rename(photographs / "4.png")
    elif what == "a copy is missing":
        (folder / "2.png").unlink()
    elif what == "a copy is cut off":
        (folder / "2.png").write_bytes((folder / "2.png").read_bytes()[:-9])
    else:
        (folder / MANIFEST).write_text("{")


CHANGES = [
    "a photograph",
    "a photograph of the same size in bytes",
    "one photograph more",
    "one photograph less",
    "another name",
    "a copy is missing",
    "a copy is cut off",
    "the manifest is damaged",
]


@pytest.mark.parametrize("what", CHANGES)
def test_they_are_made_again_when_something_changed(photographs, what):
    folder = make(photographs)
    change(photographs, folder, what)
    assert not usable(folder, photographs)
    assert colours(make(photographs)) == colours(photographs)
    assert usable(folder, photographs)


def test_a_folder_of_the_users_is_never_replaced(photographs, capsys):
    folder = photographs.parent / "images_2"
    folder.mkdir()
    for k in range(4):
        Image.new("RGB", (8, 6), (1, 2, 3)).save(folder / f"{k}.jpg")
    assert not make_copies(sorted(photographs.iterdir()), folder, 8, 6, 1)
    check_names(folder, photographs)
    assert usable(folder, photographs) and capsys.readouterr().err == ""
    (folder / "3.jpg").rename(folder / "other.jpg")
    check_names(folder, photographs)
    assert usable(folder, photographs) and "has other names than" in capsys.readouterr().err
    (folder / "other.jpg").unlink()
    check_names(folder, photographs)
    assert usable(folder, photographs) and "holds 3 pictures, but" in capsys.readouterr().err
    assert sorted(path.name for path in folder.iterdir()) == ["0.jpg", "1.jpg", "2.jpg"]


def test_an_interruption_leaves_what_was_there(photographs, monkeypatch):
    folder = make(photographs)
    (folder / "2.png").unlink()

    def breaks(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(smaller_copies, "read_picture", breaks)
    with pytest.raises(KeyboardInterrupt):
        make_copies(sorted(photographs.iterdir()), folder, 8, 6, 1)
    assert sorted(path.name for path in folder.iterdir()) == [MANIFEST, "0.png", "1.png", "3.png"]
    assert sorted(path.name for path in folder.parent.iterdir()) == ["images", "images_2"]


def test_many_at_once_make_one_folder(photographs):
    made = []
    threads = [threading.Thread(target=lambda: made.append(make(photographs))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 6 and usable(made[0], photographs) and colours(made[0]) == colours(photographs)
    assert sorted(path.name for path in photographs.parent.iterdir()) == ["images", "images_2"]


def test_a_folder_that_cannot_be_written(photographs, monkeypatch, capsys):
    def denied(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", denied)
    assert not make_copies(sorted(photographs.iterdir()), photographs.parent / "images_2", 8, 6, 1)
    assert "cannot be written (Permission denied): the photographs are shrunk in memory" in capsys.readouterr().err


def test_a_full_disk_is_told_in_one_sentence(photographs, monkeypatch, capsys):
    def full(path, _):
        with writing(path):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(smaller_copies, "write_json", full)
    folder = photographs.parent / "images_2"
    assert not make_copies(sorted(photographs.iterdir()), folder, 8, 6, 1)
    said = capsys.readouterr().err.splitlines()[-1]
    assert said == f"{folder} cannot be written (No space left on device): the photographs are shrunk in memory"


def test_a_photograph_that_cannot_be_read_is_named(photographs, monkeypatch):
    def broken(_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(smaller_copies, "_digest", broken)
    with pytest.raises(InputError, match=r"images/0\.png cannot be read \(Input/output error\)"):
        make_copies(sorted(photographs.iterdir()), photographs.parent / "images_2", 8, 6, 1)
    assert sorted(path.name for path in photographs.parent.iterdir()) == ["images"]


def test_a_scene_whose_photographs_change_is_loaded_as_it_is_now(tmp_path):
    written_photos.write_llff(tmp_path, size=(32, 24), focal=26.0)
    before = load(tmp_path, factor=2, no_masks=True).train.images
    for path in (tmp_path / "images").iterdir():
        Image.fromarray(255 - np.asarray(Image.open(path))).save(path)
    after = load(tmp_path, factor=2, no_masks=True).train.images
    np.testing.assert_allclose(after, 255.0 - before, atol=1)
    copies = sorted((tmp_path / "images_2").glob("*.png"))
    assert (np.asarray(Image.open(copies[1])) == after[0]).all()
