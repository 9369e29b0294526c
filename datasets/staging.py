"""A scene's copy on the machine's own disk, $RADIANCE_SCRATCH, which is read faster than a disk that all machines share."""

import hashlib
import os
import shutil
from pathlib import Path

from settings.errors import InputError


def staged(folder: Path) -> Path:
    """Where the scene in `folder` is read from: its copy in $RADIANCE_SCRATCH, where that is set, else the folder itself.

    Processes of one machine share a copy, which one of them makes while the others wait. It is made anew where a file of the
    scene has another size or time. Raises InputError where it cannot be made.
    """
    scratch = os.environ.get("RADIANCE_SCRATCH", "")
    if not scratch:
        return folder
    import fcntl  # not on Windows, where there are no such clusters

    source = folder.resolve()
    name = f"{source.name}_{hashlib.sha256(str(source).encode()).hexdigest()[:12]}"
    place = Path(scratch).expanduser()
    try:
        place.mkdir(parents=True, exist_ok=True)
        with (place / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            return _copied(source, place / name)
    except (OSError, shutil.Error) as problem:
        why = getattr(problem, "strerror", None) or problem
        raise InputError(f"RADIANCE_SCRATCH={scratch}: cannot copy {folder} there ({why}): name another folder, or unset "
                         "it") from problem


def _copied(source: Path, copy: Path) -> Path:
    files = {file.relative_to(source): file.stat() for file in source.rglob("*") if file.is_file()}
    if all(_same(copy / name, facts) for name, facts in files.items()):
        return copy
    partial = copy.with_name(f"{copy.name}.partial")
    for old in (copy, partial):
        if old.exists():
            shutil.rmtree(old)
    try:
        shutil.copytree(source, partial)
        partial.rename(copy)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return copy


def _same(file: Path, wanted: os.stat_result) -> bool:
    if not file.is_file():
        return False
    found = file.stat()
    return (found.st_size, found.st_mtime_ns) == (wanted.st_size, wanted.st_mtime_ns)
