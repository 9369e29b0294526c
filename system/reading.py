"""Around each reader of a file: all its exceptions become one sentence that names the file."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from settings.errors import InputError
from system.ranks import Lost
from system.signals import StopRequested

_UNREADABLE = "cannot be read"
_DAMAGED = "it is damaged, or was not written by this program"
_OBJECTS = "it holds other objects than tensors and plain values: save the model's state_dict"
_LONGEST = 200  # characters of a library's message
_LONGEST_NUMBER = 300  # digits; a float has at most 309 before the point


@contextmanager
def reading(path: Path | str, wrong: str = "", missing: str = "") -> Iterator[None]:
    """All exceptions in the block become an InputError of one line that names the file: "PATH WRONG (reason)".

    `wrong` is the text for errors that are not a system error; `missing` is added if the file does not exist. Without `wrong`
    the file is one of this program's: then a ValueError's message is used, and other errors mean damage. InputError,
    StopRequested and Lost pass as they are.
    """
    try:
        yield
    except (InputError, StopRequested, Lost):
        raise
    except FileNotFoundError as problem:
        raise InputError(f"{_named(problem, path)} is missing" + (f": {missing}" if missing else "")) from problem
    except MemoryError as problem:
        raise InputError(f"{path} {wrong or _UNREADABLE} (it needs more memory than there is)") from problem
    except RecursionError as problem:
        raise InputError(f"{path} {wrong or _UNREADABLE} (it is nested too deeply)") from problem
    except OSError as problem:
        said = _UNREADABLE if problem.strerror else wrong or _UNREADABLE
        raise InputError(f"{_named(problem, path)} {said} ({short_message(problem)})") from problem
    except UnpicklingError as problem:
        objects = "Unsupported" in str(problem) or "GLOBAL" in str(problem)
        raise InputError(f"{path} {_UNREADABLE}: {_OBJECTS if objects else _DAMAGED}") from problem
    except Exception as problem:
        if type(problem).__name__ == "OutOfMemoryError":  # Torch's, of a GPU: the file is not damaged
            raise
        if not wrong and isinstance(problem, ValueError):
            raise InputError(f"{path}: {short_message(problem)}") from problem
        damage = wrong or f"{_UNREADABLE}: {_DAMAGED}"
        raise InputError(f"{path} {damage} ({short_message(problem)})") from problem


def _named(problem: OSError, path: Path | str) -> Path | str:
    """The file that an error names, else `path`."""
    if not isinstance(problem.filename, (str, bytes)) or os.fsdecode(problem.filename) == str(path):
        return path
    return os.fsdecode(problem.filename)


def short_message(problem: BaseException) -> str:
    """An exception's message in one short line; its class name if there is no message."""
    said = problem.strerror if isinstance(problem, OSError) and problem.strerror else str(problem)
    said = " ".join("".join(c if c.isprintable() else " " for c in said).split()) or type(problem).__name__
    return said if len(said) <= _LONGEST else f"{said[:_LONGEST]}..."


def read_json(path: Path, missing: str = "") -> Any:
    """The content of a JSON file. Whole numbers that are too large for a float become infinite.

    Raises InputError, naming the file and the line, if it is missing (`missing` is added to the message), is not JSON or has a
    key twice in one object.
    """
    with reading(path, "is not valid JSON", missing):
        try:
            return json.loads(path.read_text(encoding="utf-8-sig"), parse_int=_whole, object_pairs_hook=_once)
        except json.JSONDecodeError as problem:
            raise InputError(f"{path}, line {problem.lineno}: not valid JSON ({problem.msg})") from None


def _whole(digits: str) -> int | float:
    return int(digits) if len(digits) <= _LONGEST_NUMBER else float(digits)


def _once(pairs: list[tuple[str, Any]]) -> dict:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r} is there twice in one object")
    return found
