"""Opening picture files: the formats that are read, the largest size, and the file's own facts about its pixels."""

import contextlib
import math
import os
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from PIL import (  # the plugins: known to Image.open from here on
    BmpImagePlugin,  # noqa: F401
    Image,
    JpegImagePlugin,  # noqa: F401
    PngImagePlugin,  # noqa: F401
    TiffImagePlugin,  # noqa: F401
    UnidentifiedImageError,
    WebPImagePlugin,  # noqa: F401
)
from PIL.TiffImagePlugin import TiffImageFile

from datasets.colours import METADATA_ERRORS, Profile, conversion, profile_of
from settings.errors import InputError
from system import memory
from system.reading import reading

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP")  # recognised by the content, not by the file's ending
LARGEST = 1_000_000_000  # px of one picture; phones make 200 million
ORIENTATION = 0x0112  # EXIF's tag
_EIGHT_BITS = ("RGB", "RGBA", "L", "LA", "P", "PA", "1", "CMYK", "YCbCr", "LAB", "La", "RGBa", "RGBX")
_SIXTEEN_BITS = ("I;16", "I;16B", "I;16L", "I;16N")
_LATE_CHUNKS = (b"eXIf", b"cICP")  # of a PNG: Pillow ignores them, or reads them only after the picture
_LONGEST_CHUNK = 1 << 20  # bytes
_ALWAYS_FITS = 1 << 25  # bytes of a picture for which the free memory is not checked

# Pillow's own limit is global. It is switched off once, so that threads do not change it while others read; `opened` has a limit
# of its own. Pillow's warnings (odd EXIF data, palettes) are hidden, because such files are read nevertheless.
Image.MAX_IMAGE_PIXELS = None
warnings.filterwarnings("ignore", module=r"PIL\.")


@dataclass(frozen=True)
class Header:
    """The facts in a picture file that can be read without decoding it."""

    path: Path
    width: int  # px, as stored
    height: int
    alpha: bool  # whether there is an alpha channel, or a transparent colour
    orientation: int = 1  # EXIF's: the turn, 1 to 8, that makes the stored picture upright
    colours: str = ""  # the name of its colour profile; empty for sRGB
    frames: int = 1

    def size(self, turn: int = 1) -> tuple[int, int]:
        """Width and height (px) after an EXIF turn."""
        return (self.height, self.width) if turn > 4 else (self.width, self.height)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """The picture of a file, not decoded yet. Raises InputError, naming the file, if it is not a picture, or too large."""
    with contextlib.ExitStack() as stack:
        with reading(path, "cannot be decoded as an image"):
            try:
                file = stack.enter_context(Image.open(path, formats=FORMATS))
            except FileNotFoundError:
                raise InputError(f"the image {path} is missing") from None
            except UnidentifiedImageError:
                raise InputError(
                    f"{path} cannot be decoded as an image: it is not a {', '.join(FORMATS[:-1])} or {FORMATS[-1]} file, "
                    "or it is damaged"
                ) from None
            except ValueError as problem:
                if "MAX_TEXT" not in str(problem):
                    raise
                raise InputError(
                    f"{path}: a text or a colour profile in it unpacks to more than 1 MiB: save the image without it"
                ) from None
            _check_content(path, file)
            if file.width * file.height > LARGEST:
                raise InputError(
                    f"{path} says that it is {file.width}x{file.height} px, but at most {LARGEST // 10**6} million px are "
                    "allowed: save it smaller"
                )
            if file.mode not in _EIGHT_BITS + _SIXTEEN_BITS:
                raise InputError(f"{path} has pixels of type {file.mode}: save it as 8-bit RGBA")
        yield file


def _check_content(path: Path, file: Image.Image) -> None:
    """Raise InputError if the file claims more pixels than its bytes can hold, before memory is reserved for them."""
    packed = {"PNG": 1032, "BMP": 128}.get(file.format or "", 1 if file.info.get("compression") == "raw" else math.inf)
    if math.isfinite(packed) and file.width * file.height > 8 * packed * (size := os.fstat(_stream(file).fileno()).st_size):
        raise InputError(
            f"{path} says that it is {file.width}x{file.height} px, which its {size} bytes cannot hold: it is damaged"
        )


def check_memory(path: Path, file: Image.Image) -> None:
    """Raise InputError if the decoded picture does not fit into the free memory."""
    needed = 2 * file.width * file.height * max(3, len(file.getbands()))  # as Pillow's, and as an array
    if needed > _ALWAYS_FITS and needed > (free := memory.available()):
        raise InputError(
            f"{path} is {file.width}x{file.height} px and needs {needed / 2**30:.1f} GiB of memory, but only "
            f"{free / 2**30:.1f} GiB are free: save it smaller"
        )


def read_header(path: Path) -> Header:
    """The header of a picture file; its pixels are not decoded. Raises InputError if it cannot be read."""
    with opened(path) as file, reading(path, "cannot be decoded as an image"):
        width, height = stored_size(file)
        profile = file_profile(path, file)
        return Header(
            path,
            width,
            height,
            has_alpha(file),
            orientation(file),
            profile.name if profile and conversion(profile, file.mode) else "",
            _frames(file),
        )


def _stream(file: Image.Image) -> BinaryIO:
    """The file that an opened picture is read from."""
    return cast(Any, file).fp


def stored_size(file: Image.Image) -> tuple[int, int]:
    """Width and height in px as stored. Pillow states TIFF files at the size that they are turned to."""
    if file.format == "TIFF":
        tags = cast(TiffImageFile, file).tag_v2
        return tags[256], tags[257]
    return file.size


def has_alpha(file: Image.Image) -> bool:
    """Whether a picture has an alpha channel, or a transparent colour."""
    return file.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in file.info


def orientation(file: Image.Image) -> int:
    """EXIF's orientation, 1 to 8; 1, as stored, if the file has none or its EXIF data are damaged."""
    try:
        value = Image.Image.getexif(file).get(ORIENTATION, 1)  # not PNG's own, which decodes the picture to look behind it
    except METADATA_ERRORS:
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def file_profile(path: Path, file: Image.Image) -> Profile | None:
    """The colour profile of a picture; None for sRGB and without a profile.

    It also loads EXIF data that a PNG stores after its pixels: call `orientation` after it.
    """
    late = _png_chunks(_stream(file)) if file.format == "PNG" else {}
    if b"eXIf" in late:
        file.info.setdefault("exif", b"Exif\0\0" + late[b"eXIf"])
    return profile_of(path, file, late.get(b"cICP"))


def describe_pixels(headers: Sequence[Header], where: Path | str) -> str:
    """Lines that say how many pictures' colours are converted, and how many files hold several pictures; empty for none."""
    said = []
    names = Counter(header.colours for header in headers if header.colours)
    if names:
        profiles = ", ".join(name for name, _ in names.most_common(3)) + (", ..." if len(names) > 3 else "")
        said.append(
            f"{where}: the colours of {names.total()} of {len(headers)} pictures are converted to sRGB from their colour "
            f"profile ({profiles})"
        )
    if several := sum(header.frames > 1 for header in headers):
        said.append(
            f"{where}: {several} of {len(headers)} picture files are animated or hold several pictures: the first one is read"
        )
    return "\n".join(said)


def _frames(file: Image.Image) -> int:
    return 1 if file.format == "MPO" else getattr(file, "n_frames", 1)  # the others of a phone's MPO are depths and gain maps


def _png_chunks(file: BinaryIO) -> dict[bytes, bytes]:
    """The chunks of `_LATE_CHUNKS` in a PNG file, found without decoding; the file keeps its position."""
    found, position = {}, file.tell()
    file.seek(8)
    while len(head := file.read(8)) == 8 and head[4:] != b"IEND":
        length = int.from_bytes(head[:4], "big")
        if head[4:] in _LATE_CHUNKS and length < _LONGEST_CHUNK:
            found[head[4:]] = file.read(length)
            length = 0
        file.seek(length + 4, 1)
    file.seek(position)
    return found
