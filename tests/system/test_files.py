"""Files are written completely or not at all, and a failure to write is one sentence."""

import errno
import os
import resource

import pytest
import torch

from settings.errors import CannotWrite, InputError
from system.files import append_text, atomic, check_writable, remove_partial, write_text, writing_into


@pytest.fixture
def small_disk():
    """No file may be larger than 100,000 bytes, which acts like a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def save(path, value):
    with atomic(path) as temporary, temporary.open("wb") as stream:
        torch.save(value, stream)


def test_a_full_disk_keeps_the_old_file(tmp_path, small_disk):
    """torch.save hides the system's error."""
    path = tmp_path / "weights.pt"
    save(path, torch.zeros(10))
    old = path.read_bytes()
    with pytest.raises(CannotWrite, match=r"cannot write .*weights\.pt \(File too large\): free some space") as told:
        save(path, torch.zeros(100_000))
    assert "\n" not in str(told.value) and isinstance(told.value, InputError)
    assert path.read_bytes() == old and [p.name for p in tmp_path.iterdir()] == ["weights.pt"]
    with pytest.raises(CannotWrite, match="free some space"):
        write_text(tmp_path / "log.txt", "x" * 200_000)
    with pytest.raises(CannotWrite, match="free some space"):
        append_text(tmp_path / "more.txt", "x" * 200_000)


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.EDQUOT, "free some space"),
        (errno.EACCES, "another folder"),
        (errno.EROFS, "another folder"),
        (errno.ENOENT, "removed while"),
        (errno.EIO, "another folder"),
    ],
)
def test_a_file_that_cannot_be_renamed_is_named(tmp_path, monkeypatch, code, advice):
    def failing(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("system.files.os.replace", failing)
    with pytest.raises(CannotWrite, match=advice):
        write_text(tmp_path / "a.txt", "text")
    assert list(tmp_path.iterdir()) == []


def test_names_that_are_too_long(tmp_path):
    with pytest.raises(CannotWrite, match="shorter name"):
        write_text(tmp_path / ("a" * 300) / "report.json", "{}")


def test_other_errors_pass(tmp_path):
    with pytest.raises(RuntimeError, match="not of the disk"), atomic(tmp_path / "a"):
        raise RuntimeError("not of the disk")
    with pytest.raises(FileNotFoundError), writing_into(tmp_path / "run"):
        (tmp_path / "elsewhere").open()
    with pytest.raises(CannotWrite, match=r"run/log\.txt"), writing_into(tmp_path / "run"):
        (tmp_path / "run" / "log.txt").open("a")
    with pytest.raises(CannotWrite, match="No space"), writing_into(tmp_path / "run"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_temporary_files_of_killed_runs_are_removed(tmp_path):
    ours = [
        ".checkpoint.123.partial.pt",
        ".log.7.partial.txt",
        "pictures/.000_r_0_30.1dB.99.partial.png",
        "testset_000500/.001_a.5.partial.png",
    ]
    others = ["checkpoint.pt", ".partial", "notes.partial.txt", "mine/.a.3.partial.txt", ".config.txt"]
    for name in ours + others:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    remove_partial(tmp_path)
    assert {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()} == {*others}


def test_a_link_to_nowhere_is_told(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    with pytest.raises(InputError, match=r"^--sweep .*is a link to a folder that does not exist"):
        check_writable(tmp_path / "link" / "run", "--sweep")
