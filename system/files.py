"""Writing a file so that after an interruption it is either the old one or the complete new one."""

import errno
import json
import math
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from settings.errors import CannotWrite, InputError

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_REMOVED = {errno.ENOENT, errno.ESTALE}
_PARTIAL = re.compile(r"\..+\.\d+\.partial(\..*)?")  # the temporary names of `atomic`
_SUBFOLDERS = re.compile(r"pictures|testset_\d+")  # of a run's folder


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yields a temporary name beside `path` (same suffix); on success it is renamed to `path`, else removed. Raises
    CannotWrite if the file cannot be written."""
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    with writing(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            os.replace(temporary, path)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn a system error while `path` is written into CannotWrite: one sentence with the reason and advice. Errors without a
    system's reason, and those that name a file elsewhere, pass."""
    try:
        yield
    except CannotWrite:
        raise
    except (OSError, RuntimeError) as problem:
        cause = _system_error(problem)
        if cause is None or cause.errno is None or not _is_in(path.parent, cause.filename):
            raise
        raise _cannot_write(path, cause) from problem


@contextmanager
def writing_into(folder: Path) -> Iterator[None]:
    """The same for all files that are written into a folder: for system errors that name a file there, or a full disk. Others
    pass."""
    try:
        yield
    except CannotWrite:
        raise
    except OSError as problem:
        name: Any = problem.filename
        named = name is not None and _is_in(folder, name)
        path = Path(os.fsdecode(name)) if named and name is not None else folder
        if not named and problem.errno not in FULL:
            raise
        raise _cannot_write(path, problem) from problem


def _is_in(folder: Path, filename) -> bool:
    """Whether the file that an error names is in a folder or is one of its parents; True if the error names none."""
    if not isinstance(filename, (str, bytes)):
        return filename is None
    path, folder = Path(os.fsdecode(filename)).absolute(), folder.absolute()
    return path.is_relative_to(folder) or folder.is_relative_to(path)


def _system_error(problem: BaseException | None) -> OSError | None:
    """The OSError that caused a problem, or None: torch.save raises a RuntimeError after one."""
    while problem is not None and not isinstance(problem, OSError):
        problem = problem.__cause__ or problem.__context__
    return problem


def _cannot_write(path: Path, cause: OSError) -> CannotWrite:
    reason = cause.strerror or (str(cause).strip().splitlines() or [type(cause).__name__])[0]
    if cause.errno in FULL:
        advice = "free some space there, and give the same command again"
    elif cause.errno in _REMOVED:
        advice = "its folder cannot be made, or was removed while the program ran; choose another one, or give the command again"
    elif cause.errno == errno.ENAMETOOLONG:
        advice = "choose a folder with a shorter name"
    else:
        advice = "choose another folder, or change its permissions"
    return CannotWrite(f"cannot write {path} ({reason}): {advice}")


def append_text(path: Path, text: str) -> None:
    """Adds UTF-8 text at the end of a file. Raises CannotWrite."""
    with writing(path), path.open("a", encoding="utf-8") as file:
        file.write(text)


def remove_partial(folder: Path) -> None:
    """Removes the temporary files of killed runs in a run's folder. No other process may be writing there."""
    inner = [path for path in folder.iterdir() if _SUBFOLDERS.fullmatch(path.name) and path.is_dir()]
    for parent in (folder, *inner):
        for path in parent.iterdir():
            if _PARTIAL.fullmatch(path.name) and path.is_file():
                with writing(path):
                    path.unlink(missing_ok=True)


def check_writable(folder: Path, flag: str = "--basedir") -> None:
    """Raises InputError, about the flag that names the folder, unless `folder` is a folder that can be written to, or can be
    made. It is not made here."""
    nearest = next(path for path in (folder, *folder.absolute().parents) if os.path.lexists(path))
    if os.path.islink(nearest) and not nearest.exists():
        raise InputError(f"{flag} {folder}: {nearest} is a link to a folder that does not exist; choose another folder")
    if not nearest.is_dir():
        raise InputError(f"{flag} {folder}: {nearest} is not a folder; choose another folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise InputError(f"{flag} {folder}: {nearest} cannot be written to; choose another folder")


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Writes `to_jsonable(value)` as indented JSON, atomically."""
    write_text(path, json.dumps(to_jsonable(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def to_jsonable(value: Any) -> Any:
    """The value in JSON's own types: tensors become lists, paths text, and numbers that are not finite None.

    JSON has no infinity and no NaN: the caller adds a note for such figures.
    """
    if is_dataclass(value) and not isinstance(value, type):
        return to_jsonable(asdict(value))
    if isinstance(value, dict):
        return {str(key): to_jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [to_jsonable(item) for item in value]
    if tolist := getattr(value, "tolist", None):  # torch and numpy, scalars and arrays
        return to_jsonable(tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    return str(value)
