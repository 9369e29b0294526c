"""The pixels of an opened picture file as 8-bit sRGB, from any format."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from datasets.colours import Profile, conversion, from_lab
from datasets.image_files import has_alpha, opened, orientation, stored_size
from settings.errors import InputError

_TIFF_PHOTOMETRIC, _TIFF_PLANES = 262, 284
_STRAIGHT = {"La": "LA", "RGBa": "RGBA"}  # with colours that are multiplied by alpha
_UNDO = {6: 8, 8: 6}  # the EXIF turns that are not their own inverse


def turned(picture: np.ndarray, turn: int) -> np.ndarray:
    """A picture (H, W, ...) after the EXIF turn 1 to 8: a picture stored with this orientation becomes upright."""
    if turn > 4:  # stored columns are the upright picture's rows
        picture = picture.swapaxes(0, 1)
    rows, columns = {1: (1, 1), 2: (1, -1), 3: (-1, -1), 4: (-1, 1), 5: (1, 1), 6: (1, -1), 7: (-1, -1), 8: (-1, 1)}[turn]
    return picture[::rows, ::columns]


def inverse_turn(turn: int) -> int:
    """The EXIF turn that undoes another one."""
    return _UNDO.get(turn, turn)


def decoded(path: Path, file: Image.Image, mode: str, profile: Profile | None, labels: bool = False) -> np.ndarray:
    """Pixels (H, W, 3 or 4) uint8, as stored, in `mode` RGB or RGBA: sRGB, straight alpha.

    A 16-bit value v becomes round(v / 257). In masks (`labels`), values above 0 stay above 0, and labels up to 255 do not change.
    Without a profile inks become R = (255 - C)(255 - K) / 255, and so on. Raises InputError for 16 bits in separate planes, and
    Pillow's errors for damaged files.
    """
    turn, whole = orientation(file) if file.format == "TIFF" else 1, stored_size(file)
    if ";16" in _raw_mode(file) or file.mode.startswith("I;16"):
        image = _from_sixteen_bits(path, file, labels)
    else:
        image = file
    pixels = _converted(image, mode, None if labels else profile)
    if turn != 1 and pixels.shape[1::-1] != whole[:: -1 if turn > 4 else 1]:
        raise ValueError("its orientation is stated in two ways")
    return turned(pixels, inverse_turn(turn))  # Pillow turns TIFF files upright


def _converted(image: Image.Image, mode: str, profile: Profile | None) -> np.ndarray:
    image = image.convert(_STRAIGHT[image.mode]) if image.mode in _STRAIGHT else image
    transform = from_lab() if image.mode == "LAB" else conversion(profile, image.mode) if profile else None
    if transform is None:
        return np.asarray(image if image.mode == mode else image.convert(mode))
    colours = np.asarray(ImageCms.applyTransform(image.convert(transform.input_mode), transform))
    if mode == "RGB":
        return colours
    alpha = np.asarray(image.convert("RGBA"))[..., 3:] if has_alpha(image) else np.full_like(colours[..., :1], 255)
    return np.concatenate([colours, alpha], -1)


def _raw_mode(file: Any) -> str:
    """Pillow's name for the packing of the file's pixels: RGB;16B is three big-endian values of 16 bits."""
    args = file.tile[0].args if file.tile else None
    return args if isinstance(args, str) else str(args[0]) if args else ""


def _from_sixteen_bits(path: Path, file: Any, labels: bool) -> Image.Image:
    """A picture with 16 bits as 8-bit L, LA, RGB, RGBA or CMYK."""
    raw, key = _raw_mode(file), file.info.get("transparency")
    if file.format == "TIFF" and file.tag_v2.get(_TIFF_PLANES, 1) != 1:
        raise InputError(f"{path} has 16 bits in separate planes: save it as 8-bit RGBA")
    if file.mode.startswith("I;16"):
        inverted = file.format == "TIFF" and file.tag_v2.get(_TIFF_PHOTOMETRIC) == 0  # 0 is white
        values = np.asarray(file).astype(np.uint16)[..., None]
        values = 65535 - values if inverted else values
    else:
        values = _sixteen_bits(path, raw)
    if key is not None:
        alpha = np.where((values == np.array(key, np.uint16)).all(-1, keepdims=True), 0, 65535)
        values = np.concatenate([values, alpha.astype(np.uint16)], -1)
    small = _narrowed(values, 4095 if raw == "I;12" else 65535, labels)
    if small.shape[-1] == 4:
        return Image.fromarray(small, "CMYK" if file.mode == "CMYK" else "RGBA")
    return Image.fromarray(small[..., 0] if small.shape[-1] == 1 else small)


def _sixteen_bits(path: Path, raw: str) -> np.ndarray:
    """All bits (H, W, C) uint16 of a picture with several channels. Pillow keeps the high bytes alone.

    Its unpacker for the other byte order finds the low bytes.
    """
    if raw == "LA;16B":  # four bytes a pixel
        four = _unpacked(path, "RGBA").astype(np.uint16)
        return 256 * four[..., 0::2] + four[..., 1::2]
    channels, order = raw.split(";16")
    first, second = (_unpacked(path, f"{channels.upper()};16{each}").astype(np.uint16) for each in "BL")
    big = order == "B" or (order == "N" and sys.byteorder == "big")
    values = 256 * first + second if big else 256 * second + first
    if "a" in channels:  # colours multiplied by alpha
        straight = np.rint(65535.0 * values[..., :3] / np.maximum(values[..., 3:], 1)).clip(0, 65535)
        values[..., :3] = np.where(values[..., 3:] > 0, straight, 0)
    return values


def _unpacked(path: Path, raw: str) -> np.ndarray:
    """The file's bytes as 8-bit channels, by the Pillow unpacker `raw` instead of the file's own."""
    with opened(path) as opened_file:
        file: Any = opened_file  # Pillow does not declare its tiles
        file.tile = [tile._replace(args=raw if isinstance(tile.args, str) else (raw, *tile.args[1:])) for tile in file.tile]
        return np.asarray(file)


def _narrowed(values: np.ndarray, top: int, labels: bool) -> np.ndarray:
    """Values from 0 to `top` as uint8, rounded; labels as `decoded` says."""
    if labels:
        return (values if values.max(initial=0) < 256 else (values.astype(np.uint32) + 256) // 257).astype(np.uint8)
    return ((values.astype(np.uint32) * 255 + top // 2) // top).astype(np.uint8)
