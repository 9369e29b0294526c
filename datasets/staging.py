"""A scene's copy on the machine's own disk, $RADIANCE_SCRATCH, which is faster than a disk that all machines share."""

import hashlib
import os
import shutil
import time
from pathlib import Path

from settings.errors import InputError
from system import signals


def staged(folder: Path) -> Path:
    """The folder from which the scene in `folder` is read: its copy in $RADIANCE_SCRATCH if that is set, else `folder` itself.

    Processes of one machine share a copy, which one of them makes while the others wait. If the size or time of a file changed,
    the scene gets a new copy beside the old one, which others may still read; old copies are not removed. A copy that lacks a
    file, or has one of another size, is made again: clusters clean such disks. Raises InputError if it cannot be made.
    """
    scratch = os.environ.get("RADIANCE_SCRATCH", "")
    if not scratch:
        return folder

    source = folder.resolve()
    root = Path(scratch).expanduser()
    try:
        root.mkdir(parents=True, exist_ok=True)
        files = _files(source)
        copy = root / f"{source.name}_{hashlib.sha256(repr((str(source), list(files.items()))).encode()).hexdigest()[:12]}"
        with copy.with_name(f"{copy.name}.lock").open("w") as lock:
            while not _locked(lock):
                signals.check()
                time.sleep(0.2)
            if not _is_whole(copy, files):
                shutil.rmtree(copy, ignore_errors=True)
                _copy(source, copy)
                if _files(source) != files:
                    shutil.rmtree(copy, ignore_errors=True)
                    raise InputError(f"{folder} was changed while it was copied to {root}: start again when it is complete")
    except (OSError, shutil.Error) as problem:
        why = problem.args[0][0][2] if isinstance(problem, shutil.Error) else problem.strerror  # of many files, the first
        raise InputError(
            f"RADIANCE_SCRATCH={scratch}: cannot copy {folder} there ({why}): name another folder, or unset it"
        ) from problem
    return copy


def _files(folder: Path) -> dict[str, tuple[int, int]]:
    """The sizes (bytes) and times (ns) of all files in a folder, by their paths below it, sorted."""
    paths = (Path(parent, name) for parent, _, names in os.walk(folder, followlinks=True) for name in names)
    facts = ((str(path.relative_to(folder)), path.stat()) for path in paths if path.is_file())
    return {name: (found.st_size, found.st_mtime_ns) for name, found in sorted(facts)}


def _is_whole(copy: Path, files: dict[str, tuple[int, int]]) -> bool:
    """Whether a copy has each of these files with its size. Loaders may have added more files."""
    try:
        return all((copy / name).stat().st_size == size for name, (size, _) in files.items()) and copy.is_dir()
    except OSError:
        return False


def _locked(file) -> bool:
    import fcntl  # here, because Windows does not have it

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _copy_file(source: str, copy: str) -> None:
    signals.check()
    shutil.copy2(source, copy)


def _copy(source: Path, copy: Path) -> None:
    partial = copy.with_name(f"{copy.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # of a process that was killed
    try:
        shutil.copytree(source, partial, ignore_dangling_symlinks=True, copy_function=_copy_file)
        partial.rename(copy)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
