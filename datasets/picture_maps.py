"""Maps beside a scene's pictures, in Shiny Blender's layout: r_0.png, r_0_alpha.png, r_0_normal.png (Verbin et al. 2022)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from datasets.image_files import Header, read_header
from datasets.normal_maps import decoded_normals, encoded_normals
from datasets.pictures import PictureFile, for_each, read_labels
from datasets.scene import Pictures, joined
from datasets.shrinking import shrink
from settings.errors import InputError

_SCALE = 16_000  # of unit vectors as 16-bit integers


def find_maps(pictures: Sequence[Header], ending: str) -> list[Path] | None:
    """The file <name><ending>.png beside each picture; None if no picture has one.

    Raises InputError if some pictures have none, and for one whose size is not its picture's.
    """
    maps = [header.path.with_name(f"{header.path.stem}{ending}.png") for header in pictures]
    there = [path.is_file() for path in maps]
    if not any(there):
        return None
    if not all(there):
        raise InputError(
            f"{maps[there.index(False)]} is missing: {sum(there)} of the {len(maps)} pictures of its split have such a file, "
            "so give it to all, or to none"
        )
    for path, picture in zip(maps, pictures, strict=True):
        header = read_header(path)
        if header.size() != picture.size():
            raise InputError(
                f"{path} is {header.width}x{header.height} px, but its picture {picture.path.name} is "
                f"{picture.width}x{picture.height} px: save it at the picture's size"
            )
    return maps


def read_normals(files: Sequence[PictureFile], threads: int = 0, title: str = "") -> Pictures:
    """Normals (H, W, 3) uint8 of some files, in the encoding of `encoded_normals`, shrunk to the files' sizes.

    A file stores (n + 1) / 2 of world vectors n as its colours, whose profile is not applied. Vectors are averaged over areas,
    then normalised. Raises InputError, naming the file, for one that cannot be decoded.
    """
    found: list[np.ndarray] = [np.empty(0)] * len(files)

    def read(view: int) -> None:
        file = files[view]
        stored = read_labels(file)
        if stored.shape[:2] != file.shape:
            vectors = np.rint(_SCALE * decoded_normals(stored)).astype(np.int16)
            stored = encoded_normals(shrink(vectors, file.width, file.height).astype(np.float32))
        found[view] = stored

    for_each(read, len(files), threads, title)
    return joined(found)
