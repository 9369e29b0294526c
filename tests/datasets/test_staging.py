"""Scenes are read from a copy on the machine's own disk, if $RADIANCE_SCRATCH is set."""

import os
import threading
from dataclasses import replace

import pytest

import datasets
from datasets import staging
from datasets.staging import staged
from methods.points.options import PointOptions
from settings.errors import InputError


@pytest.fixture()
def scene(tmp_path):
    folder = tmp_path / "lego"
    (folder / "train").mkdir(parents=True)
    (folder / "transforms_train.json").write_text("{}")
    (folder / "train" / "r_0.png").write_bytes(b"picture")
    return folder


def names(folder):
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*"))


def test_without_a_scratch_folder_the_scene_itself_is_read(scene, monkeypatch):
    monkeypatch.delenv("RADIANCE_SCRATCH", raising=False)
    assert staged(scene) == scene


def test_a_copy_is_made_once_and_again_where_the_scene_changed(scene, tmp_path, monkeypatch):
    monkeypatch.setenv("RADIANCE_SCRATCH", str(tmp_path / "disk" / "own"))
    copy = staged(scene)
    assert copy.parent == tmp_path / "disk" / "own" and names(copy) == names(scene)
    (copy / "made_by_a_loader").write_text("")
    made = copy.stat().st_ino
    assert staged(scene) == copy and copy.stat().st_ino == made and (copy / "made_by_a_loader").exists()
    (scene / "train" / "r_0.png").write_bytes(b"another picture")
    (scene / "gone").symlink_to("nowhere")
    assert (staged(scene) / "train" / "r_0.png").read_bytes() == b"another picture"
    assert (copy / "train" / "r_0.png").read_bytes() == b"picture"  # which others may be reading
    (tmp_path / "other").mkdir()
    assert staged(scene.rename(tmp_path / "other" / "lego")) != copy  # the same name, another scene


def test_what_is_behind_a_link_counts_too(scene, tmp_path, monkeypatch):
    monkeypatch.setenv("RADIANCE_SCRATCH", str(tmp_path / "disk"))
    (scene / "train").rename(tmp_path / "elsewhere")
    (scene / "train").symlink_to(tmp_path / "elsewhere")
    staged(scene)
    (tmp_path / "elsewhere" / "r_0.png").write_bytes(b"another picture")
    assert (staged(scene) / "train" / "r_0.png").read_bytes() == b"another picture"


def test_a_disk_that_is_full_is_told(scene, tmp_path, monkeypatch):
    monkeypatch.setenv("RADIANCE_SCRATCH", str(tmp_path / "disk"))

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", full)
    with pytest.raises(InputError, match="No space left on device"):
        staged(scene)
    assert all(name.endswith(".lock") for name in os.listdir(tmp_path / "disk"))


def test_a_copy_that_lacks_files_is_named(scene, tmp_path, monkeypatch):
    monkeypatch.setenv("RADIANCE_SCRATCH", str(tmp_path / "disk"))
    with pytest.raises(InputError, match=r"this is .*lego's copy: .* unset RADIANCE_SCRATCH"):
        datasets.load(replace(PointOptions(), datadir=str(scene), dataset_type="blender"))


def test_many_at_once_make_one_copy(scene, tmp_path, monkeypatch):
    monkeypatch.setenv("RADIANCE_SCRATCH", str(tmp_path / "disk"))
    found = []
    threads = [threading.Thread(target=lambda: found.append(staged(scene))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8 and len(set(found)) == 1 and names(found[0]) == names(scene)
    assert sorted(os.listdir(tmp_path / "disk")) == sorted([found[0].name, f"{found[0].name}.lock"])


def test_a_scratch_folder_that_cannot_be_made_is_named(scene, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RADIANCE_SCRATCH", str(tmp_path / "file"))
    with pytest.raises(InputError, match=r"RADIANCE_SCRATCH=.*cannot copy .*lego there"):
        staged(scene)


@pytest.mark.parametrize("damage", ["missing", "cut off", "a folder missing"])
def test_a_copy_that_was_swept_in_part_is_made_again(scene, tmp_path, monkeypatch, damage):
    monkeypatch.setenv("RADIANCE_SCRATCH", str(tmp_path / "disk"))
    copy = staged(scene)
    if damage == "cut off":
        (copy / "train" / "r_0.png").write_bytes(b"pic")
    else:
        (copy / "train" / "r_0.png").unlink()
    if damage == "a folder missing":
        (copy / "train").rmdir()
    assert staged(scene) == copy and (copy / "train" / "r_0.png").read_bytes() == b"picture"
    assert sorted(os.listdir(tmp_path / "disk")) == [copy.name, f"{copy.name}.lock"]


def test_a_scene_that_changes_while_it_is_copied_is_told(scene, tmp_path, monkeypatch):
    monkeypatch.setenv("RADIANCE_SCRATCH", str(tmp_path / "disk"))
    copytree = staging.shutil.copytree

    def slow(source, *rest, **more):
        copytree(source, *rest, **more)
        (scene / "train" / "r_0.png").write_bytes(b"a new picture")

    monkeypatch.setattr("shutil.copytree", slow)
    with pytest.raises(InputError, match="was changed while it was copied"):
        staged(scene)
    monkeypatch.undo()
    monkeypatch.setenv("RADIANCE_SCRATCH", str(tmp_path / "disk"))
    assert (staged(scene) / "train" / "r_0.png").read_bytes() == b"a new picture"
