"""Whether the content of a file can be a model: its parts, their types and shapes, and finite values.

Every function raises ValueError with a sentence that names the first part that is wrong.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from typing import Any, TypeVar, get_args, get_type_hints

import torch
from torch import Tensor

_Record = TypeVar("_Record")
_MOST_LOG_RADIUS = 80.0  # beyond it, exp leaves the range of float32


def is_finite(values: Tensor) -> bool:
    """Whether no value is NaN or infinite; several times faster than isfinite().all()."""
    return not values.numel() or bool(torch.stack(values.detach().aminmax()).isfinite().all())


def check_finite(name: str, values: Tensor) -> None:
    """No value is NaN or infinite."""
    if not is_finite(values):
        _refuse(name, values, ~values.isfinite(), "not a finite number")


def check_range(name: str, values: Tensor, low: float, high: float, what: str) -> None:
    """Every value is finite, at least `low` and at most `high`; what: says what is wrong with others, for the sentence."""
    check_finite(name, values)
    if values.numel() and not (low <= values.min() and values.max() <= high):
        _refuse(name, values, (values < low) | (values > high), what)


def _refuse(name: str, values: Tensor, wrong: Tensor, what: str) -> None:
    index = torch.nonzero(wrong)[0].tolist()
    raise ValueError(f"{name}{index if index else ''} is {values[tuple(index)].item():g}, which is {what}")


@contextmanager
def of_this_version() -> Iterator[None]:
    """A ValueError from within says first that the file holds no field of this version."""
    try:
        yield
    except ValueError as problem:
        raise ValueError(f"it holds no field of this version: {problem}") from problem


def like(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """A tensor for `check_tensors`: its shape and type, without values or memory for them."""
    return torch.empty(shape, dtype=dtype, device="meta")


def check_tensors(found: Any, expected: dict[str, Tensor], optional: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
    """`found` is a dict of tensors with these names, shapes and types (see `like`), and finite; returns it.

    optional: those that may be missing.
    """
    check_mapping("its tensors", found)
    known = expected | (optional or {})
    for name in expected:
        if name not in found:
            raise ValueError(f"its tensor {name} is missing")
    for name, values in found.items():
        if name not in known:
            raise ValueError(f"it has a tensor {name}, which is not part of this model")
        if not isinstance(values, Tensor):
            raise ValueError(f"{name} is {type(values).__name__} instead of a tensor")
        if (values.dtype, values.shape) != (known[name].dtype, known[name].shape):
            raise ValueError(f"{name} is {_in_words(values)} instead of {_in_words(known[name])}")
        if values.is_floating_point():
            check_finite(name, values)
    return found


def _in_words(values: Tensor) -> str:
    return f"{values.dtype} of shape {tuple(values.shape)}".removeprefix("torch.")


def check_mapping(name: str, found: Any, keys: tuple = ()) -> dict:
    """`found` is a dict with text for keys, these among them; returns it."""
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise ValueError(f"{name}: {type(found).__name__} instead of entries with names")
    missing = [key for key in keys if key not in found]
    if missing:
        raise ValueError(f"{name}: the entry {missing[0]!r} is missing")
    return found


def check_number(name: str, value: Any, low: float = -math.inf, high: float = math.inf, *, whole: bool = False) -> Any:
    """`value` is a finite number in this range, and a whole one if `whole`; returns it."""
    fits = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not fits or not low <= value <= high:
        shown = f"{value!r:.60}" if isinstance(value, (int, float, str, type(None))) else type(value).__name__
        span = f" from {low:g} to {high:g}" if math.isfinite(low) and math.isfinite(high) else f" of at least {low:g}"
        raise ValueError(f"{name} is {shown}, and not a {'whole ' if whole else ''}number{span if low > -math.inf else ''}")
    return value


def check_truth(name: str, value: Any) -> bool:
    """`value` is True or False; returns it."""
    if type(value) is not bool:
        raise ValueError(f"{name} is {type(value).__name__}, and not True or False")
    return value


def check_record(record: type[_Record], found: Any, name: str) -> _Record:
    """The dataclass whose fields `found` holds, by name; each has its type, and numbers are finite."""
    check_mapping(name, found)
    types = {f.name: get_type_hints(record)[f.name] for f in fields(record)}  # pyright: ignore[reportArgumentType]  # a dataclass, which a TypeVar cannot say
    for key, value in found.items():
        if key not in types:
            raise ValueError(f"{name} has an entry {key!r}, which this version does not know")
        allowed = get_args(types[key]) or (types[key],)
        if type(value) is float or (type(value) is int and float in allowed):
            check_number(f"{name}, {key}", value)
            fits = float in allowed
        else:
            fits = type(value) in allowed
        if not fits:
            raise ValueError(f"{name}: {key} is {value!r:.60}, which is of the wrong type")
    try:
        return record(**found)
    except TypeError as problem:
        raise ValueError(f"{name} lacks an entry ({problem})") from problem


def check_box(name: str, box: Tensor) -> None:
    """A box (2, 3) is not empty: its lower corner is below its upper one."""
    if not bool((box[0] < box[1]).all()):
        raise ValueError(f"{name} from {box[0].tolist()} to {box[1].tolist()} is empty")


def check_log_radii(name: str, values: Tensor) -> None:
    """They are logarithms of radii."""
    check_range(name, values, -_MOST_LOG_RADIUS, _MOST_LOG_RADIUS, "not the logarithm of a radius")
