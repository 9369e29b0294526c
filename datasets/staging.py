"""A scene's copy on the machine's own disk, $RADIANCE_SCRATCH, which is read faster than a disk that all machines share."""

import hashlib
import os
import shutil
import time
from pathlib import Path

from settings.errors import InputError
from system import signals


def staged(folder: Path) -> Path:
    """Where the scene in `folder` is read from: its copy in $RADIANCE_SCRATCH, where that is set, else the folder itself.

    Processes of one machine share a copy, which one of them makes while the others wait. A scene with a file of another size or
    time gets a new copy, beside the one that others may still read; Old copies are not removed. A copy
    that lacks a file, or has one of another size, is made again: such disks are swept. Raises InputError where it cannot be made.
    """
    scratch = os.environ.get("RADIANCE_SCRATCH", "")
    if not scratch:
        return folder

    source = folder.resolve()
    place = Path(scratch).expanduser()
    try:
        place.mkdir(parents=True, exist_ok=True)
        files = _files(source)
        copy = place / f"{source.name}_{hashlib.sha256(repr((str(source), list(files.items()))).encode()).hexdigest()[:12]}"
        with copy.with_name(f"{copy.name}.lock").open("w") as lock:
            while not _locked(lock):
                signals.check()
                time.sleep(0.2)
            if not _is_whole(copy, files):
                shutil.rmtree(copy, ignore_errors=True)
                _copy(source, copy)
                if _files(source) != files:
                    shutil.rmtree(copy, ignore_errors=True)
                    raise InputError(f"{folder} was changed while it was copied to {place}: start again when it is complete")
    except (OSError, shutil.Error) as problem:
        why = problem.args[0][0][2] if isinstance(problem, shutil.Error) else problem.strerror  # of many files, the first
        raise InputError(
            f"RADIANCE_SCRATCH={scratch}: cannot copy {folder} there ({why}): name another folder, or unset it"
        ) from problem
    return copy


def _files(folder: Path) -> dict[str, tuple[int, int]]:
    """The sizes (bytes) and times (ns) of all files in a folder, by their paths below it, sorted."""
    paths = (Path(place, name) for place, _, names in os.walk(folder, followlinks=True) for name in names)
    facts = ((str(path.relative_to(folder)), path.stat()) for path in paths if path.is_file())
    return {name: (found.st_size, found.st_mtime_ns) for name, found in sorted(facts)}


def _is_whole(copy: Path, files: dict[str, tuple[int, int]]) -> bool:
    """Whether a copy has each of these files, at its size. Loaders may have put more files there."""
    try:
        return all((copy / name).stat().st_size == size for name, (size, _) in files.items()) and copy.is_dir()
    except OSError:
        return False


def _locked(file) -> bool:
    import fcntl  # not on Windows, where there are no such clusters

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
