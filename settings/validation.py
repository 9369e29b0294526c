"""Whether options make sense, value by value and together."""

import math
from dataclasses import Field
from pathlib import Path
from typing import Any

from settings.errors import InputError
from settings.options import Options, settings_of
from settings.setting import plain_type

LARGEST_WHOLE = 2**31 - 1  # the largest number that kernels count to


def validate(options: Options) -> None:
    """Raise InputError, naming the flag, where a value is out of range, a flag means nothing, or two contradict each other."""
    for name, field in settings_of(options).items():
        value = getattr(options, name)
        if value is not None or field.default is not None:
            _check_type(field, value)
            _check_value(field, value)
    for name in sorted(options.given):
        field = settings_of(options)[name]
        if not is_used(field, options):
            other, words = field.metadata["needs"]
            if words == (True,):
                raise InputError(f"--{name} applies only with --{other}: give that too, or remove --{name}")
            raise InputError(
                f"--{name} applies only to --{other} {' or '.join(words)} (this run uses {getattr(options, other)}): remove it"
            )
        _check_home(name, getattr(options, name))
    options.check()


def is_used(field: Field, options: Options) -> bool:
    """Whether a run with these options looks at a flag, see `needs` of `settings.setting.setting`."""
    return field.metadata["needs"] is None or getattr(options, field.metadata["needs"][0]) in field.metadata["needs"][1]


def _check_home(name: str, value: Any) -> None:
    """A path may begin with ~ or ~user, if there is such a home folder."""
    try:
        Path(str(value)).expanduser()
    except RuntimeError as problem:
        raise InputError(
            f"--{name} {value}: {value.partition('/')[0]} is not known as a home folder: write the whole path"
        ) from problem


def _check_type(setting: Field, value: Any) -> None:
    wanted = plain_type(setting)
    allowed = (int, float) if wanted is float else wanted
    if not isinstance(value, allowed) or (isinstance(value, bool) and wanted is not bool):
        raise InputError(f"--{setting.name} {value!r} is not of type {wanted.__name__}")
    if isinstance(value, str) and (not value.strip() or not value.isprintable()):
        raise InputError(f"--{setting.name} {value!r} is empty or holds unprintable characters")


def _check_value(setting: Field, value: Any) -> None:
    flag, story = f"--{setting.name} {value}", setting.metadata
    low, above, high = story["low"], story["above"], story["high"]
    if isinstance(value, int) and high is None:
        high = LARGEST_WHOLE
    if story["choices"] and value not in story["choices"]:
        raise InputError(f"{flag} is not known: choose one of {', '.join(story['choices'])}")
    if isinstance(value, (bool, str)):
        return
    inside = (low is None or value >= low) and (above is None or value > above) and (high is None or value <= high)
    if not (inside and math.isfinite(value)):  # in this order: some whole numbers are too large for a float
        start = f"above {above}" if above is not None else f"of at least {low}"
        end = f" and at most {high}" if high is not None else ""
        raise InputError(f"{flag} is out of range: give a number {start}{end}")
