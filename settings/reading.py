"""One boundary around each reader of a file: whatever it raises becomes one sentence that names the file."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from settings.cut_off import CutOff
from settings.errors import InputError
from settings.ranks import Lost

_LONGEST = 200  # characters of a library's own words
_LONGEST_NUMBER = 300  # digits; a float has at most 309 before the point


@contextmanager
def reading(path: Path | str, wrong: str = "cannot be read", missing: str = "") -> Iterator[None]:
    """Whatever a reader of the file raises becomes an InputError "PATH WRONG (reason)".

    `wrong` says what is wrong if the library says more than an errno; `missing` is added where there is no such file. An
    InputError, and what ends the program (a signal, a lost rank), pass as they are.
    """
    try:
        yield
    except (InputError, CutOff, Lost):
        raise
    except FileNotFoundError as problem:
        raise InputError(f"{path} is missing" + (f": {missing}" if missing else "")) from problem
    except MemoryError as problem:
        raise InputError(f"{path} {wrong} (it needs more memory than there is)") from problem
    except RecursionError as problem:
        raise InputError(f"{path} {wrong} (it is nested too deeply)") from problem
    except OSError as problem:
        raise InputError(f"{path} {'cannot be read' if problem.strerror else wrong} ({in_short(problem)})") from problem
    except Exception as problem:
        raise InputError(f"{path} {wrong} ({in_short(problem)})") from problem


def in_short(problem: BaseException) -> str:
    """What an exception says, in one line that is not long; its name if it says nothing."""
    said = problem.strerror if isinstance(problem, OSError) and problem.strerror else str(problem)
    said = " ".join(said.split()) or type(problem).__name__
    return said if len(said) <= _LONGEST else f"{said[:_LONGEST]}..."


def read_json(path: Path, missing: str = "") -> Any:
    """The content of a JSON file. Whole numbers that no float holds are infinite.

    Raises InputError, naming the file and the line, where it is missing (`missing` says why that is wrong), is not JSON or
    has a key twice in one object.
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
