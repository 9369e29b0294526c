"""log.txt: a line an epoch, for people who watch a run."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from system import run_lock
from system.files import append_text, write_text, writing

LOG = "log.txt"
_NUMBER = re.compile(r"(?:epoch|step) (\d+)\b")


def begin(folder: Path, history: Sequence[Mapping], unit: str) -> None:
    """Keep the lines of the epochs that a checkpoint knows, once each; those of a killed run that it does not know come again.

    unit: `epoch` or `step`, which numbers the lines. Raises CannotWrite.
    """
    path = folder / LOG
    known = {row[unit] for row in history}
    if not known:
        with writing(path):
            path.unlink(missing_ok=True)
        return
    if not path.is_file():
        return
    with writing(path):
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    numbered = {int(found[1]): line for line in lines if (found := _NUMBER.match(line)) and int(found[1]) in known}
    kept = "".join(f"{line}\n" for line in numbered.values())
    write_text(path, kept)


def add(folder: Path, line: str) -> None:
    """Add a line. Raises CannotWrite."""
    run_lock.check(folder)
    append_text(folder / LOG, f"{line}\n")
