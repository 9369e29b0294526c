"""Folders that the program makes: whole or not at all, by one process or several at once."""

import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

STALE_SECONDS = 24 * 3600  # a half-made folder that old has no maker any more


@contextmanager
def made(folder: Path, is_whole: Callable[[], bool]) -> Iterator[Path]:
    """A hidden folder beside `folder`, to be filled, which takes its place at the end and replaces what was there.

    Where another process was faster, so that `is_whole()`, what that one made is kept. Nothing is left of a folder that could
    not be filled, and what was there stays. Raises OSError where nothing can be written.
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
            if not is_whole():  # nor did another process put its own there in between
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
