"""Predicted | true | error: one PNG for each view, the error on a fixed colour scale."""

import re
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, PngImagePlugin
from torch import Tensor

from system.files import atomic

# The error, a mean absolute difference of the three channels, at which its colour map ends. Fixed, so that pictures of
# different views and runs can be compared by eye.
ERROR_SCALE = 0.2
ERROR_COLOURS = "magma"  # perceptually uniform: black is no error
_OURS = re.compile(r"\d{3,}_.*dB\.png")


def to_bytes(image: Tensor) -> np.ndarray:
    """A picture (H, W, 3) in [0, 1] as uint8; values outside are clamped, NaN becomes 0."""
    return np.rint(image.detach().float().nan_to_num(0).clamp(0, 1).cpu().numpy() * 255).astype(np.uint8)


def colour_map(values: np.ndarray, name: str) -> np.ndarray:
    """Values (...) in [0, 1] through a matplotlib colour map of 256 steps: uint8 (..., 3). Values outside are
    clamped."""
    table = np.rint(matplotlib.colormaps[name](np.linspace(0, 1, 256))[:, :3] * 255).astype(np.uint8)
    return table[np.rint(np.nan_to_num(values).clip(0, 1) * 255).astype(np.uint8)]


def error_picture(predicted: Tensor, true: Tensor) -> np.ndarray:
    """The mean absolute difference of two pictures (H, W, 3), 0 to `ERROR_SCALE`, as colours: uint8 (H, W,
    3)."""
    difference = (predicted.detach().float().cpu().clamp(0, 1) - true.float().cpu().clamp(0, 1)).abs().mean(-1)
    return colour_map(difference.nan_to_num(1.0).numpy() / ERROR_SCALE, ERROR_COLOURS)


def picture_name(index: int, view_name: str, psnr: float) -> str:
    """The file's name: the view's index in the protocol, its name in safe characters, its PSNR."""
    return f"{_stem(index, view_name)}_{psnr:.2f}dB.png"


def view_file(index: int, view_name: str) -> str:
    """The name of another PNG of a view, without a figure."""
    return f"{_stem(index, view_name)}.png"


def _stem(index: int, view_name: str) -> str:
    safe = re.sub(r"[^\w-]+", "_", view_name).strip("_")[:80] or "view"
    return f"{index:03d}_{safe}"


def save_comparison(folder: Path, index: int, view_name: str, psnr: float, predicted: Tensor, true: Tensor) -> Path:
    """Writes predicted | true | error (each H, W) side by side as one PNG and returns its path; atomically.

    The error's scale is stated in the file's own description (PNG text chunk).
    """
    panels = [to_bytes(predicted), to_bytes(true), error_picture(predicted, true)]
    description = PngImagePlugin.PngInfo()
    description.add_text(
        "Description",
        f"predicted | true | error; error: mean absolute difference, colours {ERROR_COLOURS} from 0 to {ERROR_SCALE}",
    )
    path = folder / picture_name(index, view_name, psnr)
    with atomic(path) as temporary:
        Image.fromarray(np.concatenate(panels, axis=1)).save(temporary, pnginfo=description, compress_level=4)
    return path


def panels_of(path: Path) -> tuple[Image.Image, Image.Image, Image.Image]:
    """The three panels of a picture that `save_comparison` wrote."""
    with Image.open(path) as strip:
        width = strip.width // 3
        one, two, three = (strip.crop((i * width, 0, (i + 1) * width, strip.height)).convert("RGB") for i in range(3))
        return one, two, three


def remove_older(folder: Path, keep: list[Path]) -> None:
    """Removes comparisons of an earlier report: their names hold a PSNR, so they would stay beside the new ones."""
    for path in folder.iterdir():
        if _OURS.fullmatch(path.name) and path not in keep:
            path.unlink()
