"""What the loaders of real photographs share: which files, at which size, held out how, read into splits."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from datasets.cameras import Cameras
from datasets.image_files import tell
from datasets.lenses import Lens
from datasets.mask_files import require_masks, with_mask_files
from datasets.orientation import turns
from datasets.pictures import PictureFile, read_header, read_pictures
from datasets.scene import Split
from datasets.smaller_copies import usable
from datasets.transforms import EXTENSIONS
from settings.errors import InputError
from settings.options import Options
from settings.validation import SMALLEST_IMAGE

_COPIES = re.compile(r"images_([1-9]\d*)")  # a folder of copies at 1/N of the size


@dataclass(frozen=True)
class Photo:
    """One photograph, before it is read."""

    path: Path  # the file that is read: the photograph, or a smaller copy of it
    name: str
    camera_to_world: np.ndarray  # (3, 4) float64: [R | t], OpenGL axes, world units
    lens: Lens  # for the photograph at its full size
    turn: int | None = None  # EXIF's, by which the file is read; None: not decided yet


def image_files(folder: Path) -> list[Path]:
    """The image files of a folder, sorted by name; none if there is no such folder. Hidden files do not count."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir()
                  if path.suffix.lower() in EXTENSIONS and not path.name.startswith("."))


def working_size(options: Options, width: int, height: int) -> tuple[int, int]:
    """Width and height (px) to work at for photographs of width x height px: 1/factor of them, rounded.

    --half_res means a factor of 2, --img_s a width (0: the photographs' own). Raises InputError for a larger width and for
    a factor that leaves next to nothing.
    """
    if options.img_s is not None and not options.half_res:
        wanted = options.img_s or width
        if wanted > width:
            raise InputError(f"--img_s {wanted} is larger than the photographs, which are {width}x{height} px: give at most "
                             f"{width}, or 0 for their own size")
        return wanted, max(1, int(height * wanted / width + 0.5))
    factor = 2 if options.half_res else options.factor
    small = int(width / factor + 0.5), int(height / factor + 0.5)
    if min(small) < SMALLEST_IMAGE:
        raise InputError(f"the photographs are {width}x{height} px, and --factor {factor} leaves {small[0]}x{small[1]} of them: "
                         "give a smaller one")
    return small


def choose_folder(root: Path, width: int, size: tuple[int, int]) -> Path | None:
    """The folder with the files to read for photographs of `width` px at the working size: images_N or images.

    images_N where 1/N of the width is the working width; else `images`, which are shrunk while they are read; else the
    smallest of the images_N that are not too small. None if there is no such folder.
    """
    shrunk = _copies(root)
    exact = [n for n in shrunk if int(width / n + 0.5) == size[0] and usable(shrunk[n], root / "images")]
    if exact:
        return shrunk[exact[0]]
    if (root / "images").is_dir():
        return root / "images"
    large_enough = [n for n in shrunk if width / n > size[0]]
    return shrunk[max(large_enough)] if large_enough else None


def missing_pictures(root: Path, size: tuple[int, int]) -> InputError:
    """The mistake of a scene without the pictures that `choose_folder` looked for."""
    there = min(_copies(root), default=None)
    hint = f": images_{there} is smaller: give --factor {there}" if there else ""
    return InputError(f"{root} has no folder `images` with photographs to make pictures of {size[0]}x{size[1]} px from{hint}")


def _copies(root: Path) -> dict[int, Path]:
    """{N: folder} of a scene's folders images_N that are not empty."""
    names = ((path, _COPIES.fullmatch(path.name)) for path in root.glob("images_*") if path.is_dir())
    return {int(name[1]): path for path, name in names if name and any(path.iterdir())}


def matching(folder: Path, names: Sequence[str]) -> list[Path]:
    """The files of a folder with these names, or with the same names and other extensions, as smaller copies have.

    Where a file is missing its path is the name's own.
    """
    found = []
    for name in names:
        path = folder / name
        if not path.is_file():
            others = [path.with_suffix(kind) for extension in EXTENSIONS for kind in (extension, extension.upper())]
            path = next((other for other in others if other.is_file()), path)
        found.append(path)
    return found


def common_lens_size(photos: Sequence[Photo], where: str) -> tuple[int, int]:
    """Width and height (px) of all photographs at their full size; InputError names the first that has another."""
    first = photos[0]
    for photo in photos:
        if (photo.lens.width, photo.lens.height) != (first.lens.width, first.lens.height):
            raise InputError(f"{where}: the image {photo.path.name} is {photo.lens.width}x{photo.lens.height} px, but "
                             f"{first.path.name} is {first.lens.width}x{first.lens.height} px: all images of a scene must have "
                             "one size")
    return first.lens.width, first.lens.height


def hold_out(count: int, every: int) -> tuple[list[int], list[int]]:
    """(training views, test views) of `count`: every n-th, from the first, is kept for testing (nerf-pytorch's --llffhold)."""
    test = list(range(0, count, every))
    return [view for view in range(count) if view % every], test


def read_splits(
    photos: dict[str, list[Photo]], size: tuple[int, int], options: Options, root: Path, name: str,
) -> tuple[dict[str, Split], Split | None]:
    """The splits of {"train": …, "val": …, "test": …}, and the training views for carving where masks come from files.

    Pictures are shrunk to `size` (width, height in px) and undistorted on the way. `root` is the folder that --maskdir
    mirrors. Raises InputError for pictures that are missing, unreadable, of different sizes, out of the photographs'
    proportion or only in part with an alpha channel, and where there are no training or no test views.
    """
    everything = [photo for split in photos.values() for photo in split]
    for split, what in (("train", "training"), ("test", "test")):
        if not photos[split]:
            raise InputError(f"{root} has no {what} views among its {len(everything)} photographs: there must be at least two")
    full = everything[0].lens.width, everything[0].lens.height
    photos = _with_turns(photos, options)
    everything = [photo for split in photos.values() for photo in split]
    stored, with_alpha = _checked_files(everything, full)
    if _COPIES.fullmatch(everything[0].path.parent.name) and max(abs(a - b) for a, b in zip(stored, size, strict=True)) == 1:
        size = stored  # other programs round the size of smaller copies in other ways
    if size[0] > stored[0] or size[1] > stored[1]:
        raise InputError(f"{everything[0].path} is {stored[0]}x{stored[1]} px, smaller than the {size[0]}x{size[1]} px to work "
                         "at: give a larger --factor, or a smaller --img_s")
    if options.maskdir is None:
        require_masks(options, with_alpha, photos["train"][0].path)
    splits = {split: _read_split(views, with_alpha, size, full, options.threads, f"{name} {split}")
              for split, views in photos.items()}
    if options.maskdir is None:
        return splits, None
    pictures = {split: [photo.path for photo in views] for split, views in photos.items()}
    lenses = {split: [photo.lens for photo in views] for split, views in photos.items()}
    maskdir = Path(options.maskdir).expanduser()
    sizes = {split: [stored] * len(views) for split, views in photos.items()}
    turn = {split: [photo.turn for photo in views] for split, views in photos.items()}
    return with_mask_files(splits, pictures, root, maskdir, sizes, options.threads, lenses, turn)


def _with_turns(photos: dict[str, list[Photo]], options: Options) -> dict[str, list[Photo]]:
    """The photographs with the EXIF turns that fit their cameras. Says on stderr what is done with their pixels."""
    everything = [photo for split in photos.values() for photo in split]
    headers, where = [read_header(photo.path) for photo in everything], everything[0].path.parent
    tell(headers, where)
    if any(photo.turn is None for photo in everything):
        found = turns(headers, [(photo.lens.width, photo.lens.height) for photo in everything], options.orientation, where)
        everything = [replace(photo, turn=turn) if photo.turn is None else photo
                      for photo, turn in zip(everything, found, strict=True)]
    rest = iter(everything)
    return {split: [next(rest) for _ in views] for split, views in photos.items()}


def _checked_files(photos: Sequence[Photo], full: tuple[int, int]) -> tuple[tuple[int, int], bool]:
    """Size (px) of all picture files, and whether they have an alpha channel."""
    first, stored, with_alpha = photos[0].path, None, None
    for photo in photos:
        header = read_header(photo.path)
        (width, height), alpha = header.size(photo.turn), header.alpha
        if stored is None:
            stored, with_alpha = (width, height), alpha
            if abs(width * full[1] - height * full[0]) > max(*full, width, height):  # more than the rounding of one pixel
                raise InputError(f"{first} is {width}x{height} px, out of proportion with the {full[0]}x{full[1]} px that its "
                                 "camera is stated for")
        if (width, height) != stored:
            raise InputError(f"{photo.path} is {width}x{height} px, but {first} is {stored[0]}x{stored[1]} px: all images of a "
                             "scene must have one size")
        if alpha != with_alpha:
            one, other = (photo.path, first) if with_alpha else (first, photo.path)
            raise InputError(f"{one} has no alpha channel, but {other} has: save all of them as RGBA, or none")
    return stored, with_alpha


def _read_split(photos: list[Photo], alpha: bool, size: tuple[int, int], full: tuple[int, int], threads: int,
                title: str) -> Split:
    lenses = [photo.lens for photo in photos]
    read = read_pictures([PictureFile(photo.path, *size, photo.lens, photo.turn) for photo in photos], alpha, threads, title)
    k = np.array([lens.matrix for lens in lenses]).reshape(-1, 3, 3)
    poses = np.array([photo.camera_to_world for photo in photos]).reshape(-1, 3, 4)
    cameras = Cameras(torch.from_numpy(k).float(), torch.from_numpy(poses).float(), *full)
    return Split(read.images, read.alpha, cameras.scaled(*size), [photo.name for photo in photos], read.black_if_transparent)


def with_poses(photos: Sequence[Photo], poses: np.ndarray) -> list[Photo]:
    """The same photographs taken from the poses (V, 3, 4)."""
    return [replace(photo, camera_to_world=pose) for photo, pose in zip(photos, poses, strict=True)]
