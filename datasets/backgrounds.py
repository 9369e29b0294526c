"""Compositing over a background: one function for photographs, one for renderings, and the rule for stored colours."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from datasets.scene import Scene

_STORED = (
    "Over black, pictures are their stored colours, as the 2022 program has it: these files are black where alpha is 0, "
    "and rims keep their full colours."
)
_MULTIPLIED = "Over black, pictures are colour times alpha."
_HIDDEN = "Over black, pictures are colour times alpha: these files store colours where alpha is 0, which are not used."


def photograph_over(
    colours: Tensor, alpha: Tensor | None, background: str | Tensor, *, stored_over_black: bool = False, in_bytes: bool = False
) -> Tensor:
    """Photographed pixels over a background: colour * alpha + background * (1 - alpha), float32 (..., 3) in [0, 1].

    colours (..., 3) uint8: straight, not multiplied by alpha. alpha (...) uint8, or None for opaque pixels. background: `black`,
    `white`, or colours (..., 3) in [0, 1]. stored_over_black: over `black` the result is the stored colours, the rule of the
    2022 program (Zhang et al.). in_bytes: the result is rounded to uint8, 0 to 255.
    """
    if alpha is None or (stored_over_black and isinstance(background, str) and background == "black"):
        return colours if in_bytes else colours.float() / 255
    cover = alpha.float()[..., None] / 255
    behind = float(background == "white") if isinstance(background, str) else background
    over = (colours.float() / 255).mul_(cover).add_(behind * (1 - cover))
    return (255 * over).round().byte() if in_bytes else over


def rendering_over(image: Tensor, transmittance: Tensor, background: str | Tensor) -> Tensor:
    """A rendering over a background: image + background * transmittance, (..., 3); differentiable.

    image (..., 3): colours multiplied by alpha. transmittance (...): 1 - alpha. background: `black`, `white`, or colours
    (..., 3) in [0, 1].
    """
    if isinstance(background, str):
        return image + transmittance[..., None] if background == "white" else image
    return image + transmittance[..., None] * background


def with_stored_colours(scene: Scene, wanted: bool) -> Scene:
    """The scene with its rule for pictures over black (`Split.stored_over_black`), and a note that names the rule.

    The rule of the 2022 program, stored colours, holds if it is wanted and all files are black wherever alpha is 0
    (`Split.black_if_transparent`). Otherwise pictures over black are colour * alpha.
    """
    splits = {name: getattr(scene, name) for name in ("train", "val", "test")}
    with_alpha = [split for split in splits.values() if len(split) and split.alpha is not None]
    if not with_alpha:
        return scene
    black = all(split.black_if_transparent for split in with_alpha)
    stored = black and wanted
    note = _STORED if stored else _MULTIPLIED if black or scene.cut_out else _HIDDEN
    notes = [note] if scene.background == "black" else []
    carving = None if scene.carving is None else replace(scene.carving, stored_over_black=stored)
    splits = {name: replace(split, stored_over_black=stored) for name, split in splits.items()}
    return replace(scene, **splits, carving=carving, notes=[*scene.notes, *notes])
