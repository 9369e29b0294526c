"""--maskdir: masks from PNG files beside the photographs, as segmentation tools write them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from datasets.lenses import Lens
from datasets.mask_corruption import as_carved
from datasets.pictures import read_header, read_masks
from datasets.scene import Split
from settings.errors import InputError
from settings.options import Options


def require_masks(options: Options, has_alpha: bool, picture: Path) -> None:
    """Raise InputError, naming a picture, where the training views have no alpha channel and the method needs one."""
    if options.method == "points" and not has_alpha and not options.no_masks:
        raise InputError(f"{picture} has no alpha channel: --method points carves a visual hull from masks: save RGBA images, "
                         "name PNG masks by --maskdir, or give --no_masks")


def with_mask_files(
    splits: dict[str, Split], pictures: dict[str, list[Path]], folder: Path, maskdir: Path, stored: Sequence[tuple[int, int]],
    threads: int, lenses: dict[str, list[Lens]] | None = None,
) -> tuple[dict[str, Split], Split | None]:
    """(splits, training views for carving, or None where those are the training views themselves).

    The mask of <folder>/<path>.<ext>, one of a split's `pictures`, is <maskdir>/<path>.png. A split whose pictures have no
    alpha channel, or an opaque one, takes its masks as alpha and turns black outside them; where the training pictures have
    one, the masks carve and the pictures stay as they are. Masks have one of the sizes `stored` (px), and are undistorted as
    their pictures are, where `lenses` are given. Raises InputError, naming the file, for a mask that is missing, unreadable
    or of another size.
    """
    if not maskdir.is_dir():
        raise InputError(f"--maskdir {maskdir} is not a folder")
    carving, masked = None, dict(splits)
    for name, split in splits.items():
        if not len(split) or (name != "train" and not _is_opaque(split)):
            continue
        paths = [_mask_file(picture, folder, maskdir) for picture in pictures[name]]
        for path in paths:
            if (size := read_header(path)[:2]) not in stored:
                raise InputError(
                    f"the mask {path} is {size[0]}x{size[1]} px, but its picture is {stored[0][0]}x{stored[0][1]} px: save the "
                    "mask at the picture's size"
                )
        width, height = split.cameras.width, split.cameras.height
        alpha = read_masks(paths, width, height, threads, f"{name} masks", lenses[name] if lenses else None)
        if _is_opaque(split):
            masked[name] = replace(split, images=np.where(alpha[..., None] > 0, split.images, 0), alpha=alpha)
        else:
            carving = as_carved(split.images, alpha, split)
    return masked, carving


def _is_opaque(split: Split) -> bool:
    return split.alpha is None or bool((split.alpha == 255).all())


def _mask_file(picture: Path, folder: Path, maskdir: Path) -> Path:
    try:
        path = maskdir / picture.relative_to(folder).with_suffix(".png")
    except ValueError:  # a picture outside the scene's folder
        path = maskdir / f"{picture.stem}.png"
    if not path.is_file():
        raise InputError(f"the mask {path} of {picture} is missing: --maskdir holds a PNG for each picture, in the same folders")
    return path
