"""The folder from which a scene's photographs are read: `images`, or `images_N` with copies at 1/N of their size."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets.file_names import find_files, holds_images, printable
from datasets.image_files import read_header
from datasets.sizes import Size
from datasets.smaller_copies import usable
from settings.errors import InputError

_COPIES = re.compile(r"images_([1-9]\d*)")  # a folder of copies at 1/N of the size


@dataclass(frozen=True)
class ImageFolder:
    """A folder of photographs, or of copies at 1/divisor of their size."""

    path: Path
    divisor: int

    def find(self, names: Sequence[str]) -> tuple[list[Path | None], str]:
        """(the file of each name or None, an error or ""). If two names mean one file, that is the error and no file is found."""
        try:
            return find_files(self.path, names), ""
        except InputError as problem:
            return [None] * len(names), str(problem)

    def wrong_copy(self, paths: Sequence[Path | None], full: Sequence[Size]) -> str:
        """A sentence about the first copy that is not 1/divisor of its photograph, to a pixel; empty if all are."""
        for path, size in zip(paths, full, strict=True):
            if path is not None and self.divisor > 1:
                try:
                    header = read_header(path)
                except InputError as problem:
                    return str(problem)
                wanted = [whole / self.divisor for whole in size]
                if not any(
                    max(abs(side - whole) for side, whole in zip(stored, wanted, strict=True)) <= 1
                    for stored in (header.size(), header.size(header.orientation))
                ):
                    return f"{path} is {header.width}x{header.height} px, not 1/{self.divisor} of {size[0]}x{size[1]} px"
        return ""


def image_folders(root: Path, full: Sequence[Size] = (), sizes: Sequence[Size] = ()) -> list[ImageFolder]:
    """The folders with images, best first, for photographs of the sizes `full` and the working sizes.

    images_N if 1/N of the widths are the working widths; then `images`, which are shrunk while they are read; then the other
    images_N that are not too small, the smallest first. Without sizes all of them, `images` first.
    """
    copies = {folder.divisor: folder for folder in _copies(root)}
    widths = [(whole[0], size[0]) for whole, size in zip(full, sizes, strict=True)]
    copies = {n: folder for n, folder in copies.items() if usable(folder.path, root / "images")}
    exact = [n for n in copies if full and all(int(whole / n + 0.5) == size for whole, size in widths)]
    larger = [n for n in copies if n not in exact and all(whole / n > size for whole, size in widths)]
    whole = [ImageFolder(root / "images", 1)] if (root / "images").is_dir() else []
    return [*(copies[n] for n in sorted(exact)), *whole, *(copies[n] for n in sorted(larger, reverse=True))]


def copies_alone(root: Path) -> list[int]:
    """The N of a scene's folders images_N, if it has no folder `images`."""
    return [] if (root / "images").is_dir() else [folder.divisor for folder in _copies(root)]


def choose_files(
    root: Path, names: Sequence[str], full: Sequence[Size], sizes: Sequence[Size]
) -> tuple[ImageFolder, list[Path | None], str]:
    """(the best folder, its file for each name or None, a remark or "").

    It is the first of `image_folders` with the most of the files. Copies count only if all of them are 1/N of their photographs.
    A folder in which two names mean one file is not read. Raises InputError if no folder has any of the files.
    """
    best, most, wrong, counts, unclear = None, 0, [], [], ""
    for folder in image_folders(root, full, sizes):
        paths, unclear_here = folder.find(names)
        problem, unclear = unclear_here or folder.wrong_copy(paths, full), unclear or unclear_here
        count = 0 if problem else sum(path is not None for path in paths)
        wrong += [problem] if problem else []
        counts += [] if problem else [f"{folder.path.name} has {count}"]
        if count > most:
            best, most = (folder, paths), count
        if count == len(names):
            break
    if best is None:
        raise InputError(unclear) if unclear else _no_files(root, names, sizes, wrong)
    remarks = [f"{problem}, so that {best[0].path.name} is read" for problem in wrong]
    if len(counts) > 1:
        remarks.append(f"{best[0].path.name} is read: of {len(names)} photographs, {', '.join(counts)}")
    return *best, f"{root}: {'; '.join(remarks)}" if remarks else ""


def missing_pictures(root: Path, sizes: Sequence[Size]) -> InputError:
    """The error for a scene without the pictures that `image_folders` looked for."""
    there = min((folder.divisor for folder in _copies(root)), default=None)
    hint = f": images_{there} is smaller: give --factor {there}" if there else ""
    width, height = max(sizes)
    return InputError(f"{root} has no folder `images` with photographs to make pictures of {width}x{height} px from{hint}")


def _no_files(root: Path, names: Sequence[str], sizes: Sequence[Size], wrong: list[str]) -> InputError:
    if wrong:
        return InputError(f"{wrong[0]}: make the copies again, or put the photographs into {root / 'images'}")
    if not (root / "images").is_dir():
        return missing_pictures(root, sizes)
    return InputError(
        f"none of the {len(names)} photographs is in {root / 'images'}: {printable(names[0])} is the first that is missing"
    )


def _copies(root: Path) -> list[ImageFolder]:
    """A scene's folders images_N that hold images."""
    named = ((path, _COPIES.fullmatch(path.name)) for path in sorted(root.glob("images_*")) if path.is_dir())
    return [ImageFolder(path, int(name[1])) for path, name in named if name and holds_images(path)]
