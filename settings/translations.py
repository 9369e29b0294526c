"""Flags of other programs that say in another way what flags of this one say: they are converted, and not kept."""

from collections.abc import Callable
from dataclasses import Field, dataclass
from typing import Any

from settings.errors import InputError
from settings.setting import REFNERF, setting


@dataclass(frozen=True, eq=False)
class Translation:
    """Flags, and the flags of this program that they become."""

    flags: dict[str, Field]
    targets: tuple[str, ...]  # all that `convert` may give, and others that it excludes
    convert: Callable[[dict[str, Any]], dict[str, Any]]  # {flag: value} -> {target: value}; raises InputError

    def applied(
        self, values: dict[str, Any], typed: set[str], spelled: dict[str, str]
    ) -> tuple[dict[str, Any], set[str], dict[str, str]]:
        """The values, the names on the command line, and other words for names, with these flags converted.

        The command line wins over the config file. Raises InputError if both a flag and a target are on the same of the two.
        """
        own = {name: value for name, value in values.items() if name in self.flags}
        if not own:
            return values, typed, spelled
        rest = {name: value for name, value in values.items() if name not in own}
        ours, theirs = [[name for name in found if name in typed] for found in (self.targets, own)]
        if ours and not theirs:
            return rest, typed, spelled
        made, first = self.convert(own), next(iter(own))
        word = spelled.get(first, f"--{first}")
        others = [name for name in self.targets if name in rest and rest[name] != made.get(name)]
        if others and (ours or not theirs):
            raise InputError(f"{word} {own[first]} and --{others[0]} {rest[others[0]]} contradict each other: give one of them")
        rest = {name: value for name, value in rest.items() if name not in self.targets}
        return rest | made, typed | made.keys() if theirs else typed, spelled | dict.fromkeys(made, word)


def named(name: str, value_type: type, field: Field) -> Field:
    """A setting outside of a dataclass."""
    field.name, field.type = name, value_type
    return field


def _size(own: dict[str, Any]) -> dict[str, Any]:
    sizes: dict[float, dict[str, Any]] = {1.0: {"img_s": 0}, 0.5: {"half_res": True}}
    if own["img_scale"] not in sizes:
        raise InputError(
            f"--img_scale {own['img_scale']:g} is neither 1 nor 0.5: give the width in pixels, --img_s N, or, for photographs "
            "that are not of the NeRF-synthetic format, --factor N"
        )
    return sizes[own["img_scale"]]


IMG_SCALE = Translation(
    {
        "img_scale": named(
            "img_scale",
            float,
            setting("scene", None, "1: --img_s 0; 0.5: --half_res", source=REFNERF, form="1|0.5", absent="see --img_s"),
        )
    },
    ("img_s", "half_res", "factor"),
    _size,
)
