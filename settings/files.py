"""Writing a file so that it is either the old one or the complete new one, whatever interrupts."""

import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from settings.errors import InputError


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yields a temporary name beside `path` (same suffix); on success it takes the place of `path`, else it
    is removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def check_writable(folder: Path, flag: str = "--basedir") -> None:
    """Raises InputError, about the flag that names the folder, unless `folder` is a folder that can be written to, or can be
    made; makes nothing."""
    nearest = next(place for place in (folder, *folder.absolute().parents) if os.path.lexists(place))
    if not nearest.is_dir():
        raise InputError(f"{flag} {folder}: {nearest} is not a folder; choose another place")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise InputError(f"{flag} {folder}: {nearest} cannot be written to; choose another place")


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Writes `plain(value)` as indented JSON, atomically."""
    write_text(path, json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def plain(value: Any) -> Any:
    """The value in JSON's own types: tensors become lists, paths text, and numbers that are not finite None.

    JSON has no infinity and no NaN; whoever records such a figure adds a note that says what happened.
    """
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):  # torch and numpy, scalars and arrays
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    return str(value)
