"""Flags of Enigmatisms/NeRF about rays and precision, in the words of --method nerf."""

from typing import Any

from settings.errors import InputError
from settings.setting import REFNERF, setting
from settings.translations import Translation, named

_MODES = ("none", "native", "O1", "O2")
_CROP = 0.5  # there, of a side that is not given


def _precision(own: dict[str, Any]) -> dict[str, Any]:
    if own["opt_mode"] not in _MODES:
        raise InputError(f"--opt_mode {own['opt_mode']} is not known: choose one of {', '.join(_MODES)}")
    return {"mixed_precision": own["opt_mode"] != "none"}


def _middle(own: dict[str, Any]) -> dict[str, Any]:
    x, y = own.get("center_crop_x", _CROP), own.get("center_crop_y", _CROP)
    if x != y:
        raise InputError(
            f"--center_crop_x {x:g} and --center_crop_y {y:g} differ (a side that is not given has {_CROP:g}): the middle of the "
            "pictures is the same fraction of both sides here: give both the same number, or --precrop_frac"
        )
    return {"precrop_frac": x}


def _crop(side: str, name: str) -> Any:
    return named(
        name,
        float,
        setting(
            "rays",
            None,
            f"--precrop_frac, the fraction of the {side}; both must be the same",
            source=REFNERF,
            form="X",
            absent="0.5 if the other is given",
        ),
    )


OPT_MODE = Translation(
    {
        "opt_mode": named(
            "opt_mode",
            str,
            setting(
                "rays",
                None,
                "native, O1, O2: --mixed_precision True, the same for all three: networks multiply in bfloat16, weights and sums "
                "stay in single precision; none: --mixed_precision False",
                source=REFNERF,
                also=("--opt_level",),
                choices=_MODES,
                absent="see --mixed_precision",
            ),
        )
    },
    ("mixed_precision",),
    _precision,
)
CENTER_CROP = Translation(
    {"center_crop_x": _crop("width", "center_crop_x"), "center_crop_y": _crop("height", "center_crop_y")},
    ("precrop_frac",),
    _middle,
)
