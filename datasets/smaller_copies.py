"""images_N: copies of a scene's photographs at 1/N of their size, made once and kept beside them.

A hidden file in the folder records the photographs from which the copies were made. If these changed, or a copy is missing, the
folder is made again. A folder without that file is the user's own: it is read, and never replaced.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from PIL import Image

from datasets.atomic_folder import atomic_folder
from datasets.file_names import image_files
from datasets.image_files import ORIENTATION
from datasets.pictures import PictureFile, for_each, read_header, read_picture
from settings.errors import CannotWrite
from system.files import write_json
from system.progress import tell
from system.reading import reading, short_message

MANIFEST = ".copies.json"
FORMAT = "taichi-radiance smaller copies"


def make_copies(photographs: list[Path], folder: Path, width: int, height: int, threads: int) -> bool:
    """Write <folder>/<name>.png, width x height px by area averaging, for every photograph; True if the folder exists then.

    It is made in a hidden folder beside it and renamed at the end, so that it exists completely or not at all. If width x height
    is a photograph's size after its EXIF turn, it is shrunk as it is stored, and its copy has the same orientation. Returns False
    for a folder of the user's; and, with a line on stderr, if the folder cannot be written: the photographs are then shrunk in
    memory, by the same averaging. Raises InputError, naming the file, for a photograph that cannot be read.
    """
    if len({path.stem for path in photographs}) < len(photographs):  # a.png and a.jpg would become one
        return False
    if folder.exists() and any(folder.iterdir()) and _manifest(folder) is None:
        return False
    known = {}
    try:
        with atomic_folder(folder, lambda: is_current(folder, photographs)) as making:

            def copy(k: int) -> None:
                with reading(photographs[k], "cannot be read"):
                    known[photographs[k].name] = [*_facts(photographs[k]), _digest(photographs[k])]
                _write_copy(photographs[k], making / f"{photographs[k].stem}.png", width, height)

            for_each(copy, len(photographs), threads, f"Making {folder.name}")
            copies = {path.name: path.stat().st_size for path in making.iterdir()}
            write_json(making / MANIFEST, {"format": FORMAT, "photographs": known, "copies": copies})
    except OSError as problem:
        if is_current(folder, photographs):  # another process was faster
            return True
        reason = short_message(problem.__cause__ if isinstance(problem, CannotWrite) and problem.__cause__ else problem)
        tell(f"{folder} cannot be written ({reason}): the photographs are shrunk in memory")
        return False
    return True


def _write_copy(photograph: Path, copy: Path, width: int, height: int) -> None:
    header = read_header(photograph)
    lies = abs(header.width * height - header.height * width) > abs(header.height * height - header.width * width)
    file = PictureFile(photograph, *((height, width) if header.orientation > 4 and lies else (width, height)))
    picture, _ = read_picture(file, "RGBA" if header.alpha else "RGB")
    tags = Image.Exif()
    tags[ORIENTATION] = header.orientation
    exif: dict[str, Any] = {"exif": tags} if header.orientation > 1 else {}
    Image.fromarray(picture).save(copy, **exif)


def usable(folder: Path, photographs: Path) -> bool:
    """Whether the copies in a folder may be read instead of the files in the folder `photographs`, which may not exist.

    False for copies made by the program if the photographs changed since, or if a copy is missing.
    """
    return not photographs.is_dir() or _manifest(folder) is None or is_current(folder, image_files(photographs))


def check_names(folder: Path, photographs: Path) -> None:
    """A line on stderr if the user's own copies in a folder have other names than the photographs."""
    if folder == photographs or not photographs.is_dir() or _manifest(folder) is not None:
        return
    copies, originals = ([path.stem for path in image_files(parent)] for parent in (folder, photographs))
    if len(copies) != len(originals):
        tell(
            f"{folder} holds {len(copies)} pictures, but {photographs} holds {len(originals)}: check that these are copies of "
            "the same photographs, or remove the folder"
        )
    elif copies != originals:
        one, other = next(pair for pair in zip(copies, originals, strict=True) if pair[0] != pair[1])
        tell(
            f"{folder} has other names than {photographs} ({one}, {other}): check that these are copies of the same "
            "photographs, in the same order"
        )


def is_current(folder: Path, photographs: list[Path]) -> bool:
    """Whether the program made the copies in a folder from exactly these photographs as they are now, and all copies exist."""
    manifest = _manifest(folder)
    if manifest is None or set(manifest["photographs"]) != {path.name for path in photographs}:
        return False
    try:
        return all((folder / name).stat().st_size == size for name, size in manifest["copies"].items()) and all(
            _is_same(path, manifest["photographs"][path.name]) for path in photographs
        )
    except OSError:
        return False


def _is_same(path: Path, known: list) -> bool:
    """Whether a photograph still has the recorded size, and the recorded time or else the recorded content."""
    size, time = _facts(path)
    return size == known[0] and (time == known[1] or _digest(path) == known[2])


def _manifest(folder: Path) -> dict | None:
    """The program's record of the folder's copies; None for a folder that it did not make."""
    try:
        found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        fits = found["format"] == FORMAT and all(len(known) == 3 for known in found["photographs"].values())
        return found if fits and isinstance(found["copies"], dict) else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return {"photographs": {}, "copies": {}}  # the program's record, but damaged


def _facts(path: Path) -> tuple[int, int]:
    facts = path.stat()
    return facts.st_size, facts.st_mtime_ns


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
