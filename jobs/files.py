"""Reading the files of runs. Any file gives its content, or an InputError of one sentence."""

import json
import stat
from pathlib import Path
from typing import Any

from settings.errors import InputError

LARGEST = 64 << 20  # bytes; runs.json of 10,000 runs and reports of long trainings stay far below
_REMARK = 300  # characters of a line in a table


def read_json_or_none(path: Path) -> Any:
    """The value in a JSON file, None if it does not exist. Raises InputError if the file cannot be read or is not JSON."""
    content = _read(path)
    if content is None:
        return None
    try:
        return json.loads(content.decode("utf-8-sig"), parse_constant=_refuse_constant)
    except UnicodeDecodeError:
        reason = "it is not UTF-8 text"
    except json.JSONDecodeError as problem:
        reason = f"it is not JSON from line {problem.lineno}, column {problem.colno} on" if content.strip() else "it is empty"
    except RecursionError:
        reason = "its brackets are nested too deeply"
    except ValueError as problem:  # a constant, or Python's limit on the digits of a number
        reason = str(problem) if "JSON" in str(problem) else "a number in it has too many digits"
    raise InputError(f"{path} is damaged: {reason}")


def read_tail(path: Path, size: int = 1 << 20) -> list[str]:
    """The lines in the last `size` bytes of a text file, without blank ones; [] if it does not exist. Bytes that are not UTF-8
    are replaced. Raises InputError if the file cannot be read."""
    content = _read(path, last=size)
    lines = (content or b"").decode("utf-8-sig", errors="replace").splitlines()
    return [line for line in lines if line.strip()]


def one_line(text: str) -> str:
    """The text as one line for a terminal or a table: without control characters, and not too long."""
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return text if len(text) <= _REMARK else text[: _REMARK - 1] + "…"


def is_text(value: Any) -> bool:
    """Whether a value of a JSON file is text that can be printed and written."""
    return isinstance(value, str) and value.isprintable()


def is_whole(value: Any) -> bool:
    """Whether a value of a JSON file is a whole number; True and False are not."""
    return isinstance(value, int) and not isinstance(value, bool)


def _read(path: Path, last: int | None = None) -> bytes | None:
    """The content of a file, or its last bytes; None if it does not exist."""
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):  # opening a pipe would wait for ever
            raise InputError(f"{path} is not a file")
        if last is None and facts.st_size > LARGEST:
            raise InputError(f"{path} is damaged: it is larger than {LARGEST >> 20} MB")
        with path.open("rb") as file:
            if last is not None:
                file.seek(max(0, facts.st_size - last))
            return file.read(LARGEST)
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        raise InputError(f"{path.parent} is not a folder") from None
    except OSError as problem:
        raise InputError(f"cannot read {path}: {problem.strerror or problem}") from problem


def _refuse_constant(word: str):
    raise ValueError(f"{word} is not a number in JSON")
