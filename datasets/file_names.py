"""Which file a name in a data set means, and the names of views: one rule for all loaders and for masks."""

import os
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from settings.errors import InputError

EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
# Endings of photographs that smaller copies and exports of other programs replace.
_REPLACED = (*EXTENSIONS, ".gif", ".heic", ".heif", ".dng", ".cr2", ".nef", ".arw", ".exr")


def normalised(name: str) -> str:
    """A path as data sets write it: with single slashes and without `./`."""
    return PurePosixPath(name.strip().replace("\\", "/")).as_posix()


def is_image(path: Path) -> bool:
    """Whether a path ends like an image's, in any letter case; hidden files do not count."""
    return path.suffix.lower() in EXTENSIONS and not path.name.startswith(".")


def holds_images(folder: Path) -> bool:
    """Whether there is an image in a folder or below it (`images_below`)."""
    return next(images_below(folder), None) is not None


def image_files(folder: Path) -> list[Path]:
    """The image files of a folder, sorted by name; [] if it does not exist. Hidden files do not count."""
    return sorted(path for path in folder.iterdir() if is_image(path)) if folder.is_dir() else []


def images_below(folder: Path) -> Iterator[Path]:
    """The image files in a folder and below it, except in hidden folders and those in which a NAS keeps previews (@eaDir)."""
    for here, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith((".", "@"))]
        yield from (path for path in (Path(here, name) for name in files) if is_image(path))


class Folder:
    """The files below a folder, found by names whose letter case, Unicode form and ending need not be the stored ones."""

    def __init__(self, root: Path) -> None:
        self.root, self._listed = root, {}

    def exact(self, name: str) -> Path | None:
        """The file of exactly this name; of its last parts, if the path begins outside the folder (`_spellings`)."""
        return next((path for path in (self.root / spelling for spelling in _spellings(name, self.root)) if _is_file(path)), None)

    def like(self, name: str) -> list[Path]:
        """Files with this name in another letter case or Unicode form; then with an image's ending added; then with another
        image's ending instead of its own."""
        found = []
        for spelling in _spellings(name, self.root):
            *folders, last = spelling.split("/")
            stem, ending = PurePosixPath(last).stem, PurePosixPath(last).suffix.lower()
            wanted = [last, *(last + extension for extension in EXTENSIONS)]
            wanted += [stem + extension for extension in EXTENSIONS] if ending in _REPLACED else []
            for folder in self._folders(folders):
                found += [path for entry in wanted for path in self._entries(folder).get(_key(entry), []) if _is_file(path)]
        return list(dict.fromkeys(found))

    def same(self, name: str) -> Path | None:
        """The file of this name, or the one with this name in another letter case or Unicode form."""
        key = _key(name)
        return self.exact(name) or next((path for path in self.like(name) if _key(path.name) == key.rsplit("/", 1)[-1]), None)

    def _folders(self, parts: Sequence[str]) -> list[Path]:
        """The folders of a path below the root; letter case and Unicode form of each part may differ."""
        folders = [self.root]
        for part in parts:
            if all((folder / part).is_dir() for folder in folders):
                folders = [folder / part for folder in folders]
            else:
                folders = [entry for folder in folders for entry in self._entries(folder).get(_key(part), []) if entry.is_dir()]
        return folders

    def _entries(self, folder: Path) -> dict[str, list[Path]]:
        if folder not in self._listed:
            entries = self._listed[folder] = {}
            for path in sorted(folder.iterdir()) if folder.is_dir() else []:
                entries.setdefault(_key(path.name), []).append(path)
        return self._listed[folder]


def find_files(folder: Path, names: Sequence[str]) -> list[Path | None]:
    """The file below a folder that each name means, or None.

    A file of exactly that name wins. Else letter case, Unicode form and ending may differ, and the ending may be missing or
    added (a.jpg.png); but a file whose exact name is in the list belongs to that name. Raises InputError if two names then mean
    one file.
    """
    listed = Folder(folder)
    names = [normalised(name) for name in names]
    found = [listed.exact(name) for name in names]
    taken, meant = {path for path in found if path is not None}, {}
    for k, name in enumerate(names):
        if found[k] is None:
            found[k] = next((path for path in listed.like(name) if path not in taken), None)
            other = meant.setdefault(found[k], name)
            if found[k] is not None and other != name:
                raise InputError(
                    f"{printable(other)} and {printable(name)} would both be the file {found[k]}: give the files the listed names"
                )
    return found


def similar_names(name: str, names: Sequence[str]) -> list[str]:
    """Those of `names` that `name` may mean: in another letter case or Unicode form, or without ending, or without folders."""
    for part in (
        lambda path: path,
        lambda path: path.with_suffix(""),
        lambda path: PurePosixPath(path.name),
        lambda path: PurePosixPath(path.stem),
    ):
        wanted = _key(str(part(PurePosixPath(name))))
        found = [other for other in dict.fromkeys(names) if _key(str(part(PurePosixPath(other)))) == wanted]
        if found:
            return found
    return []


def _spellings(name: str, root: Path) -> list[str]:
    """The name and its possible forms below the root: for paths of another machine or the folder above, and old encodings."""
    parts = [part for part in name.split("/") if part != ".."]
    found, here = [name], root.resolve().name
    if "../" in name:
        found.append("/".join(parts))
    if here in parts[:-1]:
        found.append("/".join(parts[len(parts) - parts[::-1].index(here) :]))
    if name.startswith("/") or name[1:2] == ":":
        found += ["/".join(parts[k:]) for k in range(1, len(parts))]
    if printable(name) != name:
        found.append(printable(name))
    return list(dict.fromkeys(spelling for spelling in found if spelling))


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def printable(name: str) -> str:
    """A name that can be printed: bytes that are not UTF-8 are decoded as Western European (Windows) ones."""
    try:
        name.encode()
    except UnicodeEncodeError:
        try:
            return name.encode("utf-8", "surrogateescape").decode("cp1252", "replace")
        except UnicodeEncodeError:
            return name.encode("utf-8", "replace").decode()
    return name


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long
        return False


def view_names(files: Sequence[str]) -> list[str]:
    """The names of views: those of their files without ending and folder, but with as much of both as makes them different.

    cam0/000.png and cam1/000.png are cam0/000 and cam1/000; a.jpg and a.png keep their endings.
    """
    files = [printable(normalised(file)) for file in files]
    stems = [file[: -len(ending)] if (ending := PurePosixPath(file).suffix).lower() in _REPLACED else file for file in files]
    kept = Counter(map(_key, stems))
    whole = [file if kept[_key(stem)] > 1 else stem for file, stem in zip(files, stems, strict=True)]
    parts, lengths = [name.split("/") for name in whole], [1] * len(whole)
    while True:
        names = ["/".join(part[-length:]) for part, length in zip(parts, lengths, strict=True)]
        counts = Counter(map(_key, names))
        longer = [
            min(len(part), length + (counts[_key(name)] > 1)) for part, length, name in zip(parts, lengths, names, strict=True)
        ]
        if longer == lengths:
            return names
        lengths = longer
