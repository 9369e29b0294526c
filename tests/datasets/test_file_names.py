"""Which file a name means, and the names of views."""

import unicodedata

import pytest

from datasets.file_names import find_files, similar_names, view_names
from settings.errors import InputError


def files_in(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return folder


@pytest.mark.parametrize(
    ("stored", "name"),
    [
        ("images/a.png", "images/a.png"),
        ("images/a.png", "./images//a.png"),
        ("images/a.png", "images\\a.png"),
        ("images/a.png", "images/a"),
        ("images/a.JPG", "images/a.jpg"),
        ("images/a.JPG", "images/a"),
        ("images/a.webp", "images/a.jpg"),
        ("images/a.jpg.png", "images/a.jpg"),
        ("Images/A.PNG", "images/a.png"),
        ("images/r_0.5.png", "images/r_0.5"),
        ("images/left 1/a.png", "images/left 1/a.png"),
        ("images/a.png", "/home/me/scene_1/images/a.png"),
        ("images/a.png", "C:\\data\\images\\a.png"),
        ("images/a.png", "data/scene/images/a.png"),
        ("images/a.png", "../images/a.png"),
        (unicodedata.normalize("NFD", "images/é.png"), unicodedata.normalize("NFC", "images/é.png")),
        ("images/é.png", b"images/\xe9.png".decode("utf-8", "surrogateescape")),
    ],
)
def test_a_name_means_the_file_however_it_is_written(tmp_path, stored, name):
    folder = files_in(tmp_path / "scene", stored)
    assert find_files(folder, [name]) == [folder / stored]


@pytest.mark.parametrize(
    ("stored", "name"),
    [
        ("a.png", "b.png"),
        ("r_0.png", "r_0.5"),
        ("a/b.png", "b.png"),
        ("b.png", "a/b.png"),
        ("a.txt", "a"),
        ("a.png", "x" * 400),
        ("a.png", "a\0.png"),
    ],
)
def test_other_files_are_not_meant(tmp_path, stored, name):
    assert find_files(files_in(tmp_path / "scene", stored), [name]) == [None]


def test_an_exact_name_wins_and_keeps_its_file(tmp_path):
    files_in(tmp_path, "a.png", "a.jpg", "A.png", "b.png")
    names = ["a.jpg", "a.png", "A.png", "b.png", "b.jpg", "a.webp"]
    found = find_files(tmp_path, names)
    assert [path and path.name for path in found] == ["a.jpg", "a.png", "A.png", "b.png", None, None]
    with pytest.raises(InputError, match=r"c\.jpg and c\.jpeg would both be the file .*c\.png"):
        find_files(files_in(tmp_path, "c.png"), ["c.jpg", "c.jpeg"])


def test_views_are_told_apart():
    assert view_names(["images/a.png", "images/b.JPG", "r_0.5", "c.tif"]) == ["a", "b", "r_0.5", "c"]
    assert view_names(["x/cam0/0.png", "x/cam1/0.png", "y/cam1/0.png"]) == ["cam0/0", "x/cam1/0", "y/cam1/0"]
    assert view_names(["a.jpg", "a.png", "b.png"]) == ["a.jpg", "a.png", "b"]
    assert view_names(["cam0\\0.png", "./cam1/0.png"]) == ["cam0/0", "cam1/0"]
    assert view_names([b"\xe9.png".decode("utf-8", "surrogateescape")]) == ["é"]


def test_names_in_lists():
    names = ["images/a.png", "images/b.png", "other/b.png"]
    assert similar_names("images/A.PNG", names) == ["images/a.png"] and similar_names("a", names) == ["images/a.png"]
    assert similar_names("b.png", names) == ["images/b.png", "other/b.png"] and similar_names("c.png", names) == []
