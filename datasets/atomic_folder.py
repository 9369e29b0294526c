"""Folders that the program makes: completely or not at all, also if several processes make one at the same time."""

import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

STALE_SECONDS = 24 * 3600  # a half-made folder that is older was left by a process that has ended


@contextmanager
def atomic_folder(folder: Path, is_whole: Callable[[], bool]) -> Iterator[Path]:
    """Yields a hidden folder beside `folder`, to be filled; at the end it is renamed to `folder`, and replaces an older one.

    If `is_whole()` is true at the end, because another process was faster, that folder is kept. After an exception the hidden
    folder is removed, and an older `folder` stays. Raises OSError if it cannot be written.
    """
    prefix = f".{folder.name}.making-"
    making = folder.parent / f"{prefix}{uuid.uuid4().hex[:12]}"
    try:
        for left in folder.parent.glob(f"{prefix}*"):
            if time.time() - left.stat().st_mtime > STALE_SECONDS:
                shutil.rmtree(left, ignore_errors=True)
        making.mkdir(parents=True)
        yield making
        try:
            if not is_whole():
                _move(making, folder)
        except OSError:
            if not is_whole():  # true if another process put its own there in between
                raise
    finally:
        shutil.rmtree(making, ignore_errors=True)


def _move(making: Path, folder: Path) -> None:
    if not folder.exists():
        os.rename(making, folder)
        return
    old = making.with_name(making.name + "-old")
    os.rename(folder, old)
    try:
        os.rename(making, folder)
    finally:
        shutil.rmtree(old, ignore_errors=True)
