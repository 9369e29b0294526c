"""EXIF orientation: whether a picture is read as it is stored, or turned upright. It has to match the scene's cameras.

Phones and cameras store pictures in the sensor's orientation; EXIF data say how to turn them upright. COLMAP and many others
ignore that; OpenCV, ffmpeg and most programs that export pictures turn them. The width and height of a scene's cameras decide;
but for half turns, mirror images and square pictures they are equal both ways.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datasets.image_files import Header, read_header
from datasets.pixels import inverse_turn
from datasets.sizes import Size
from settings.errors import InputError
from system.progress import tell

_ROUNDING = 1.0  # px by which rounding may change the size of a smaller copy


def turns(
    headers: Sequence[Header], cameras: Sequence[Size | None], choice: str | None, where: Path | str, silent: bool = False
) -> list[int]:
    """The EXIF turn, 1 to 8, by which each picture is read; 1 is as stored.

    `cameras`: the sizes for which the pictures' cameras are stated, at any scale, or None. `choice` is --orientation: stored,
    upright, or None. Without it, the reading that fits the camera is taken. If both fit, it is that of the scene's other
    pictures, else as stored, and a line on stderr says so, unless `silent`. Raises InputError for a choice that contradicts a
    camera.
    """
    fits = [_fits(header, camera) for header, camera in zip(headers, cameras, strict=True)]
    for k, (header, fit) in enumerate(zip(headers, fits, strict=True)):
        if choice is not None and fit not in (None, choice):
            width, height = header.size(header.orientation if choice == "upright" else 1)
            across, down = cameras[k] or (0, 0)  # never (0, 0) here: a camera without a size fits every choice
            raise InputError(
                f"--orientation {choice}: {header.path} is {width}x{height} px then, but its camera is stated for "
                f"{across:g}x{down:g} px: drop the flag"
            )
    told = {fit for fit in fits if fit is not None}
    otherwise = choice or (told.pop() if len(told) == 1 else "stored")
    unclear = sum(fit is None and header.orientation > 1 for header, fit in zip(headers, fits, strict=True))
    if unclear and choice is None and not silent:
        how = "as they are stored, as COLMAP does" if otherwise == "stored" else "turned upright, like the scene's others"
        other = "upright" if otherwise == "stored" else "stored"
        tell(
            f"{where}: {unclear} of {len(headers)} pictures have an EXIF orientation, and the cameras' sizes do not show if "
            f"it counts: they are read {how}; if their cameras are for the {other} pictures, give --orientation {other}"
        )
    return [header.orientation if (fit or otherwise) == "upright" else 1 for header, fit in zip(headers, fits, strict=True)]


def mask_turn(mask: Header, picture: Path, size: Size, turn: int) -> int:
    """The EXIF turn by which a mask's file is read, for a picture that is read by `turn` and then has `size` (at any scale).

    A mask with an orientation of its own is read like its picture, upright or stored; one without is read as it is. If that
    does not have the picture's proportion, the other reading is tried; then that of a mask that was drawn on the stored picture,
    or on the upright one.
    """
    own = mask.orientation if turn > 1 else 1
    tag = turn if turn > 1 else inverse_turn(read_header(picture).orientation) if not _close(mask.size(own), size) else 1
    return next((way for way in (own, 1, mask.orientation, tag) if _close(mask.size(way), size)), 1)


def _fits(header: Header, camera: Size | None) -> str | None:
    """`stored` or `upright` if only that reading fits a camera; None if both fit, or neither, or there is nothing to turn."""
    stored, upright = header.size(), header.size(header.orientation)
    if camera is None or stored == upright:
        return None
    if camera in (stored, upright):
        return "stored" if camera == stored else "upright"
    fit = _close(stored, camera), _close(upright, camera)
    return {(True, False): "stored", (False, True): "upright"}.get(fit)


def _close(size: Size, camera: Size) -> bool:
    """Whether a size has the proportion of a camera's, to rounding."""
    return abs(size[0] * camera[1] - size[1] * camera[0]) <= _ROUNDING * max(*size, *camera)


def stated_size(intrinsics: dict) -> Size | None:
    """w and h of a transforms file's camera, if both are numbers."""
    size: Any = intrinsics.get("w"), intrinsics.get("h")
    return size if all(isinstance(value, (int, float)) and 0 < value < math.inf for value in size) else None
