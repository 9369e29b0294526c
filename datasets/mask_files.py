"""--maskdir: masks from PNG files beside the photographs, as segmentation tools write them."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from datasets.lenses import Lens
from datasets.mask_corruption import as_carved
from datasets.orientation import mask_turn
from datasets.pictures import PictureFile, read_header, read_masks
from datasets.scene import Split, joined
from settings.errors import InputError
from settings.options import Options


def require_masks(options: Options, has_alpha: bool, picture: Path) -> None:
    """Raise InputError, naming a picture, where the training views have no alpha channel and the method needs one."""
    if options.method == "points" and not has_alpha and not options.no_masks:
        raise InputError(f"{picture} has no alpha channel: --method points carves a visual hull from masks: save RGBA images, "
                         "name PNG masks by --maskdir, or give --no_masks")


def with_mask_files(
    splits: dict[str, Split], pictures: dict[str, list[Path]], folder: Path, maskdir: Path,
    stored: dict[str, list[tuple[int, int]]], threads: int, lenses: dict[str, list[Lens]] | None = None,
    turns: dict[str, list[int]] | None = None,
) -> tuple[dict[str, Split], Split | None]:
    """(splits, training views for carving, or None where those are the training views themselves).

    The mask of <folder>/<path>.<ext>, one of a split's `pictures`, is <maskdir>/<path>.png. A split whose pictures have no
    alpha channel, or an opaque one, takes its masks as alpha and turns black outside them; where the training pictures have
    one, the masks carve and the pictures stay as they are. A mask has its picture's size, which is in `stored` (px), or that of
    its lens, and is undistorted as its picture is, where `lenses` are given. `turns` are the EXIF turns of the pictures, to which
    masks are turned (`mask_turn`). Raises InputError, naming the file, for a mask that is missing, unreadable or of another size.
    """
    if not maskdir.is_dir():
        raise InputError(f"--maskdir {maskdir} is not a folder")
    carving, masked = None, dict(splits)
    for name, split in splits.items():
        if not len(split) or (name != "train" and not _is_opaque(split)):
            continue
        files = []
        for view, picture in enumerate(pictures[name]):
            path, lens = _mask_file(picture, folder, maskdir), lenses[name][view] if lenses else None
            header = read_header(path)
            turn = mask_turn(header, picture, stored[name][view], turns[name][view] if turns else 1)
            _check_size(path, header.size(turn), stored[name][view], lens)
            files.append(PictureFile(path, *split.cameras.size(view), lens, turn))
        alpha = read_masks(files, threads, f"{name} masks")
        if _is_opaque(split):
            masked[name] = replace(split, alpha=alpha, stored_over_black=False, images=joined(
                [np.where(mask[..., None] > 0, image, 0) for image, mask in zip(split.images, alpha, strict=True)]))
        else:
            carving = as_carved(split.images, alpha, split)
    return masked, carving


def _is_opaque(split: Split) -> bool:
    return split.alpha is None or all((mask == 255).all() for mask in split.alpha)


def _check_size(path: Path, size: tuple[int, int], stored: tuple[int, int], lens: Lens | None) -> None:
    if size != stored and (lens is None or size != (lens.width, lens.height)):
        raise InputError(f"the mask {path} is {size[0]}x{size[1]} px, but its picture is {stored[0]}x{stored[1]} px: save the "
                         "mask at the picture's size")


def _mask_file(picture: Path, folder: Path, maskdir: Path) -> Path:
    try:
        path = maskdir / picture.relative_to(folder).with_suffix(".png")
    except ValueError:  # a picture outside the scene's folder
        path = maskdir / f"{picture.stem}.png"
    if not path.is_file():
        raise InputError(f"the mask {path} of {picture} is missing: --maskdir holds a PNG for each picture, in the same folders")
    return path
