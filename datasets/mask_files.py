"""Masks from PNG files, as segmentation tools write them: --maskdir."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np

from datasets.file_names import Folder, holds_images, normalised
from datasets.image_files import Header, read_header
from datasets.mask_corruption import as_carved
from datasets.orientation import mask_turn
from datasets.pictures import PictureFile, read_masks
from datasets.scene import Split, joined
from settings.errors import InputError
from settings.options import Options


def require_masks(options: Options, has_alpha: bool, picture: Path) -> None:
    """Raise InputError, naming a picture, if the training views have no alpha channel and the run needs one.

    The default recipe for points needs it to carve its start. The paper's recipe carves all that is not black, like its program.
    """
    if options.needs_masks and not has_alpha:
        raise InputError(
            f"{picture} has no alpha channel: --method {options.method} carves a visual hull from masks: save RGBA "
            "images, name PNG masks by --maskdir, or give --no_masks"
        )


def with_mask_files(
    splits: dict[str, Split],
    pictures: dict[str, list[Path]],
    folder: Path,
    maskdir: Path,
    stored: dict[str, list[tuple[int, int]]],
    threads: int,
    turns: dict[str, list[int]],
) -> tuple[dict[str, Split], Split | None]:
    """(splits with masks, training views for carving; None if those are the training views themselves).

    The masks of a split's `pictures`, which lie in `folder`, are found by `find_masks` and used as in `apply_masks`. A mask must
    have its picture's size in `stored` (px), which is the size after the picture's EXIF turn in `turns`.
    """
    named = {
        split: [
            (path, [path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name])
            for path in pictures[split]
        ]
        for split in masked_splits(splits)
    }
    masks, files = find_masks(named, maskdir), {}
    for name, found in masks.items():
        files[name] = [
            PictureFile(mask, *splits[name].cameras.size(view), turn=turns[name][view]) for view, mask in enumerate(found)
        ]
    sized = {name: list(zip(pictures[name], stored[name], strict=True)) for name in splits}
    return apply_masks(splits, files, sized, threads)


def masked_splits(splits: dict[str, Split]) -> list[str]:
    """The splits that get masks: the training views, and others whose pictures have no alpha channel of their own."""
    return [name for name, split in splits.items() if len(split) and (name == "train" or _is_opaque(split))]


def find_masks(pictures: Mapping[str, Sequence[tuple[Path, Sequence[str]]]], maskdir: Path) -> dict[str, list[Path]]:
    """The path of each picture's mask, for each split; if none is found, a path that does not exist.

    A picture is given as its file and the paths after which its mask may be named: <folder>/<name>.<ext>. Its mask is
    <maskdir>/<folder>/<name>.png, <maskdir>/<name>.png or <maskdir>/<name>.<ext>.png (COLMAP's), in this order; the first parts
    of <folder> may be missing, and the letter case may differ. A path that fits several pictures is used for none of them.
    Raises InputError for a folder without masks, and for a picture whose only mask also fits others.
    """
    if not maskdir.is_dir():
        raise InputError(f"--maskdir {maskdir} is not a folder")
    if not holds_images(maskdir):
        raise InputError(f"--maskdir {maskdir} has no PNG files: put the masks there, or drop the flag")
    listed, candidates = Folder(maskdir), {}
    for views in pictures.values():
        for path, names in views:
            candidates[path] = _candidates(names)
    meant = Counter(name for names in candidates.values() for name in names)

    def mask(path: Path) -> Path:
        names = [name for name in candidates[path] if meant[name] == 1] or candidates[path][:1]
        found = (file for file in map(listed.same, names) if file is not None and not file.samefile(path))
        missing = (maskdir / name for name in names if not (maskdir / name).exists())
        file = next(found, None)
        if file is None:
            check_not_shared(path)
        return file or next(missing, maskdir / f"{path.name}.png")

    def check_not_shared(path: Path) -> None:
        for name in candidates[path]:
            if meant[name] > 1 and listed.same(name) not in (None, *candidates):
                sharing = [names for names in candidates.values() if name in names]
                own = [next((own for own in names if meant[own] == 1), names[0]) for names in sharing]
                raise InputError(
                    f"{maskdir / name} could be the mask of {meant[name]} pictures: name their masks "
                    f"{', '.join(own[:3])}{', ...' if len(own) > 3 else ''} in {maskdir}"
                )

    return {split: [mask(path) for path, _ in views] for split, views in pictures.items()}


def _candidates(names: Sequence[str]) -> list[str]:
    """Possible paths of a picture's mask below --maskdir, the likeliest first."""
    found = {"stem": [], "whole": []}
    for name in map(normalised, names):
        path = PurePosixPath(name)
        folders = [part for part in path.parent.parts if part not in ("/", "..") and ":" not in part]
        for first in range(len(folders) + 1):
            folder = PurePosixPath(*folders[first:])
            found["stem"].append((folder / f"{path.stem}.png").as_posix())
            found["whole"].append((folder / f"{path.name}.png").as_posix())
    return list(dict.fromkeys(found["stem"] + found["whole"]))


def apply_masks(
    splits: dict[str, Split],
    files: dict[str, list[PictureFile]],
    pictures: dict[str, list[tuple[Path, tuple[int, int]]]],
    threads: int,
) -> tuple[dict[str, Split], Split | None]:
    """(splits with masks, training views for carving; None if those are the training views themselves).

    If a split's pictures have no alpha channel, or an opaque one, its masks become the alpha, and pixels outside them black. If
    the training pictures have alpha, the masks are for carving and the pictures stay as they are. `files`: a mask for each view,
    with the EXIF turn of its picture, to which masks are turned (`mask_turn`). `pictures`: these pictures and their sizes (px)
    after the turn. Raises InputError, naming the file, for a mask that is missing, unreadable or of another size.
    """
    carving, masked = None, dict(splits)
    for name in masked_splits(splits):
        split, masks = splits[name], []
        for file, (picture, size) in zip(files[name], pictures[name], strict=True):
            if not file.path.is_file():
                raise InputError(
                    f"the mask {file.path} of {picture} is missing: each picture needs a PNG of its name "
                    "(<name>.png or <name>.<ext>.png), in the same folder; or give --no_masks"
                )
            header = read_header(file.path)
            masks.append(replace(file, turn=mask_turn(header, picture, size, file.turn)))
            _check_size(masks[-1], header, size)
        alpha = read_masks(masks, threads, f"{name} masks")
        if _is_opaque(split):
            masked[name] = replace(
                split,
                alpha=alpha,
                black_if_transparent=False,
                images=joined([np.where(mask[..., None] > 0, image, 0) for image, mask in zip(split.images, alpha, strict=True)]),
            )
        else:
            carving = as_carved(split.images, alpha, split)
    return masked, carving


def _is_opaque(split: Split) -> bool:
    return split.alpha is None or all((mask == 255).all() for mask in split.alpha)


def _check_size(file: PictureFile, header: Header, stored: tuple[int, int]) -> None:
    size, camera = header.size(file.turn), file.camera_model
    if size != stored and (camera is None or size != (camera.width, camera.height)):
        raise InputError(
            f"the mask {file.path} is {size[0]}x{size[1]} px, but its picture is {stored[0]}x{stored[1]} px: save "
            "the mask at the picture's size"
        )
