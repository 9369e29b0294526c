"""Colour profiles of picture files, and the conversion of their pixels to sRGB, in which the program works.

The first of these decides: a PNG's cICP chunk, an embedded ICC profile, a PNG's sRGB chunk, a PNG's gAMA and cHRM chunks, and the
mark R03 in EXIF data, which means Adobe RGB. Pixels stay as they are without a profile, and with one whose values differ from
sRGB's by at most 2 of 255. They also stay if a PNG's gAMA is 1/2.2 to within 5 %, which programs write for sRGB, and in files
with cHRM alone.
"""

import io
import struct
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

from settings.errors import InputError

SRGB = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))  # x, y of red, green and blue
DISPLAY_P3 = ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06))
ADOBE_RGB = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06))
D65 = (0.3127, 0.3290)
SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)  # linear = (a v + b)^g, below d: c v
_D50 = np.array([0.9642, 1.0, 0.8249])  # XYZ of ICC's white
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_SAME = 2  # of 255
_FOR_THREADS = ImageCms.Flags.NOCACHE  # several threads use one transform at the same time
# The errors that Pillow may raise for damaged EXIF data or profiles.
METADATA_ERRORS = (
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    OSError,
    EOFError,
    ArithmeticError,
    AttributeError,
    struct.error,
)
_USUAL_GAMMA, _NEAR = 1 / 2.2, 0.05  # libpng's threshold


@dataclass(frozen=True)
class Profile:
    """An ICC profile."""

    data: bytes
    name: str
    path: Path  # a file with this profile, for messages

    def __hash__(self) -> int:
        return hash(self.data)

    def __eq__(self, other) -> bool:
        return isinstance(other, Profile) and self.data == other.data


def profile_of(path: Path, file: Image.Image, cicp: bytes | None = None) -> Profile | None:
    """The profile of an opened picture, in the order above; None for sRGB and without a profile. `cicp` is a PNG's chunk.

    Raises InputError for a cICP chunk of colours that are neither sRGB nor Display P3.
    """
    if cicp:
        if tuple(cicp[:2]) == (12, 13):
            return Profile(matrix_profile(DISPLAY_P3, D65, SRGB_CURVE), "Display P3", path)
        if tuple(cicp[:2]) != (1, 13):
            raise InputError(
                f"{path}: its cICP chunk {tuple(cicp)} names colours that are neither sRGB nor Display P3: save it in sRGB"
            )
        return None
    if data := file.info.get("icc_profile"):
        return Profile(bytes(data), _name(bytes(data)), path)
    gamma = file.info.get("gamma") if file.format == "PNG" and "srgb" not in file.info else None
    if gamma and (abs(gamma / _USUAL_GAMMA - 1) > _NEAR or "chromaticity" in file.info):
        curve = SRGB_CURVE if abs(gamma / _USUAL_GAMMA - 1) <= _NEAR else (1 / gamma,)
        white, *primaries = np.reshape(file.info.get("chromaticity", (*D65, *np.ravel(SRGB))), (4, 2)).tolist()
        return Profile(matrix_profile(primaries, white, curve), f"gAMA {gamma:g}", path)
    if _says_adobe_rgb(file):
        return Profile(matrix_profile(ADOBE_RGB, D65, (563 / 256,)), "Adobe RGB by EXIF", path)
    return None


@lru_cache(maxsize=64)
def conversion(profile: Profile, mode: str) -> ImageCms.ImageCmsTransform | None:
    """The transform from a profile to sRGB for pixels of Pillow's `mode`, or None if values stay as they are.

    Its input is L for a grey profile, CMYK for one of inks, else RGB; its output is RGB. A profile for another type of pixels
    than the file's is ignored. Raises InputError, naming a file, for a profile that cannot be used.
    """
    try:
        source, target = ImageCms.ImageCmsProfile(io.BytesIO(profile.data)), ImageCms.createProfile("sRGB")
        space = source.profile.xcolor_space.strip()  # pyright: ignore[reportAttributeAccessIssue]  # littleCMS
        grey, inks = mode in ("1", "L", "LA", "La") or mode.startswith("I;16"), mode == "CMYK"
        if space not in ("RGB", "GRAY", "CMYK") or (space == "CMYK") != inks or (space == "GRAY" and not grey):
            return None
        taken = {"GRAY": "L", "CMYK": "CMYK", "RGB": "RGB"}[space]
        transform = ImageCms.buildTransform(source, target, taken, "RGB", flags=_FOR_THREADS)
        return None if taken != "CMYK" and _changes_nothing(transform, taken) else transform
    except (ImageCms.PyCMSError, *METADATA_ERRORS) as problem:
        raise InputError(
            f"{profile.path}: its colour profile is damaged ({problem}): save it in sRGB, or without a profile"
        ) from problem


def _changes_nothing(transform: ImageCms.ImageCmsTransform, taken: str) -> bool:
    if taken == "L":
        before = np.arange(256, dtype=np.uint8)[None]
        expected = np.repeat(before[..., None], 3, -1)
    else:
        steps = np.arange(0, 256, 15, dtype=np.uint8)
        expected = before = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(1, -1, 3)
    after = np.asarray(ImageCms.applyTransform(Image.fromarray(before), transform))
    return np.abs(after.astype(int) - expected).max() <= _SAME


def from_lab() -> ImageCms.ImageCmsTransform:
    """The transform from CIE L*a*b* of white D50 to sRGB."""
    source, target = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    return ImageCms.buildTransform(source, target, "LAB", "RGB", flags=_FOR_THREADS)


def matrix_profile(primaries, white, curve) -> bytes:
    """An ICC profile of RGB with these primaries and white (x, y) and `curve`: (gamma,) or the five numbers of `SRGB_CURVE`."""
    columns = np.array([_xyz(x, y) for x, y in primaries]).T
    to_xyz = columns * np.linalg.solve(columns, _xyz(*white))
    cones = _BRADFORD @ np.stack([_D50, _xyz(*white)], 1)
    to_xyz = np.linalg.inv(_BRADFORD) @ np.diag(cones[:, 0] / cones[:, 1]) @ _BRADFORD @ to_xyz
    text = "RGB".encode("utf-16-be")
    shape = b"para" + struct.pack(">IHH", 0, {1: 0, 5: 3}[len(curve)], 0) + _fixed(curve)
    tags = {
        b"desc": b"mluc" + struct.pack(">III2s2sII", 0, 1, 12, b"en", b"US", len(text), 28) + text,
        b"wtpt": b"XYZ \0\0\0\0" + _fixed(_D50),
        b"rTRC": shape,
        b"gTRC": shape,
        b"bTRC": shape,
    }
    tags |= {key: b"XYZ \0\0\0\0" + _fixed(to_xyz[:, k]) for k, key in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))}
    table, body = struct.pack(">I", len(tags)), b""
    for key, value in tags.items():
        table += key + struct.pack(">II", 128 + 4 + 12 * len(tags) + len(body), len(value))
        body += value + b"\0" * (-len(value) % 4)
    head = struct.pack(">IIII4s4s12x4s", 132 + 12 * len(tags) + len(body), 0, 0x04300000, 0x6D6E7472, b"RGB ", b"XYZ ", b"acsp")
    return (head + b"\0" * 28 + _fixed(_D50)).ljust(128, b"\0") + table + body


def _xyz(x: float, y: float) -> np.ndarray:
    return np.array([x / y, 1.0, (1 - x - y) / y])


def _fixed(values) -> bytes:
    """Numbers as ICC's s15Fixed16."""
    return b"".join(struct.pack(">i", round(float(value) * 65536)) for value in values)


@lru_cache(maxsize=64)
def _name(data: bytes) -> str:
    try:
        return ImageCms.getProfileDescription(io.BytesIO(data)).strip() or "without a name"
    except (ImageCms.PyCMSError, *METADATA_ERRORS):
        return "without a name"


def _says_adobe_rgb(file: Image.Image) -> bool:
    if "exif" not in file.info:
        return False
    try:
        return Image.Image.getexif(file).get_ifd(0xA005).get(1) in ("R03", b"R03")
    except METADATA_ERRORS:
        return False
