"""One boundary around every reader of a file that a user names: what it raises becomes a sentence."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError

from settings import cut_off, ranks
from settings.errors import InputError

_DAMAGED = "it is damaged, or no file of this program"


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Whatever is wrong with a file's content becomes an InputError of one line that names the file.

    A ValueError has the sentence; other errors come from parts that are missing or of another type.
    """
    try:
        yield
    except (InputError, cut_off.CutOff, ranks.Lost):
        raise
    except OSError as problem:
        raise InputError(f"cannot read {path}: {problem.strerror or _line(problem)}") from problem
    except UnpicklingError as problem:
        objects = "Unsupported" in str(problem) or "GLOBAL" in str(problem)
        what = "it holds objects of a program, and not tensors and plain values alone: save the model's state_dict" if objects \
            else _DAMAGED
        raise InputError(f"cannot read {path}: {what}") from problem
    except ValueError as problem:
        raise InputError(f"{path}: {_line(problem)}") from problem
    except MemoryError as problem:
        raise InputError(f"cannot read {path}: it asks for more memory than there is") from problem
    except Exception as problem:
        raise InputError(f"cannot read {path}: {_DAMAGED} ({type(problem).__name__}: {_line(problem)})") from problem


def _line(problem: Exception) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in str(problem)).split())[:300] or type(problem).__name__
