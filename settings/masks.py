"""The values of --mask_corruption: kinds of damage to masks, each with an amount."""

import math
from typing import NamedTuple

from settings.errors import InputError

REFERENCE_WIDTH = 400  # px: lengths are those in a picture of this width and grow with the picture


class Kind(NamedTuple):
    """One kind of damage: what its amount means, and the largest one that makes sense."""

    meaning: str
    highest: float


KINDS = {
    "affine": Kind("moves, turns, scales and shears each mask at random, as --pc_jitter_amount does", 1.0),
    "erode": Kind("takes a rim of so many px off", 200.0),
    "dilate": Kind("adds a rim of so many px", 200.0),
    "ragged": Kind("shifts the outline in and out by about so many px", 100.0),
    "holes": Kind("takes round holes out, of this fraction of the object's pixels together", 1.0),
    "parts": Kind("cuts off one side of the object, this fraction of its pixels", 1.0),
    "blobs": Kind("adds round blobs beside the object, of this fraction of its pixels together", 10.0),
    "coarse": Kind("makes the mask of squares of so many px", 200.0),
    "jpeg": Kind("compresses the mask as a JPEG of quality 100 minus this", 99.0),
    "missing": Kind("makes this fraction of the views' masks all foreground", 1.0),
    "empty": Kind("makes this fraction of the views' masks all background", 1.0),
}


def parse_corruption(text: str | None) -> list[tuple[str, float]]:
    """[(kind, amount), …] from `kind:amount[,kind:amount]`, in the order given; none for None.

    Raises InputError for a kind that is not known and for an amount out of its range.
    """
    steps = []
    for part in (text or "").split(",") if text is not None else []:
        kind, colon, amount = part.strip().partition(":")
        if kind not in KINDS:
            raise InputError(f"--mask_corruption {part.strip()!r}: unknown kind {kind!r}: choose one of {', '.join(KINDS)}")
        try:
            value = float(amount)
        except ValueError:
            value = math.nan
        if not (colon and 0 <= value <= KINDS[kind].highest):  # NaN fails too
            raise InputError(
                f"--mask_corruption {part.strip()!r}: {kind} {KINDS[kind].meaning}: write {kind}:AMOUNT with an amount "
                f"from 0 to {KINDS[kind].highest:g}"
            )
        steps.append((kind, value))
    return steps
