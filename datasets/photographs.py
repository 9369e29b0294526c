"""For the loaders of real photographs: their sizes, the views held out for testing, and reading them into splits."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from datasets.bounds import odd_views
from datasets.camera_models import CameraModel
from datasets.cameras import Cameras
from datasets.image_files import Header, describe_pixels, read_header
from datasets.mask_files import apply_masks, find_masks, masked_splits, require_masks
from datasets.orientation import turns
from datasets.pictures import PictureFile, read_pictures
from datasets.scene import Split
from datasets.sizes import Size, common_size, list_of_sizes
from settings.errors import InputError
from settings.options import Options
from system.progress import tell


@dataclass(frozen=True)
class Photo:
    """One photograph, before it is read."""

    path: Path  # the file that is read: the photograph, or a smaller copy of it
    name: str  # of the view
    camera_to_world: np.ndarray  # (3, 4) float64: [R | t], OpenGL axes, world units
    camera_model: CameraModel  # for the photograph at its full size
    file: str = ""  # the photograph's path below the scene's folder, with slashes; its mask may be named after it
    mask: Path | None = None  # the mask that the scene's own files name
    divisor: int = 1  # the file is a copy at 1/divisor of the photograph's size
    size: Size = (0, 0)  # px, to which it is shrunk
    cut: Size | None = None  # px, from the top left, that are kept of that; None: all
    turn: int | None = None  # EXIF's, by which the file is read; None: not decided yet
    stored: Size = (0, 0)  # px, of the file after its turn
    has_alpha: bool = False

    @property
    def full(self) -> Size:
        """The photograph's width and height, px."""
        return self.camera_model.width, self.camera_model.height

    @property
    def picture_file(self) -> PictureFile:
        return PictureFile(self.path, *self.size, self.camera_model, self.turn or 1, self.cut)


@dataclass(frozen=True)
class PhotosRead:
    """The splits of a scene of photographs."""

    splits: dict[str, Split]  # train, val, test
    carving: Split | None  # the training views for carving, if masks from files differ from the pictures' alpha
    cut_out: bool  # whether pictures are black outside masks from files

    def in_order(self) -> tuple[Split, Split, Split]:
        """train, val, test."""
        return self.splits["train"], self.splits["val"], self.splits["test"]


def hold_out(count: int, every: int, where: Path, listed: int) -> tuple[list[int], list[int]]:
    """(training views, test views), indices: every `every`-th of `count`, from the first, is for testing (--llffhold).

    Raises InputError, with `where` and the number of images `listed` there, if there is only one view.
    """
    if count < 2:
        there = f"of the {listed} images that {where} lists, only 1 exists" if listed > count else f"{where} lists only 1 image"
        raise InputError(f"{there}: at least two are needed, one of them to test")
    test = list(range(0, count, every))
    return [view for view in range(count) if view % every], test


def measured(photos: Sequence[Photo], where: Path, options: Options, turns_told: bool = False) -> list[Photo]:
    """The photographs with facts of their files: EXIF turn, the size at which they are read, and whether there is alpha.

    If another program rounded a copy's size in another way, the copy's size is used. If the photographs' sizes differ by
    rounding only, all are cut to the smallest width and height, at the right and at the bottom; if they differ more, each keeps
    its own. A line on stderr says so. With `turns_told`, the line on EXIF turns was printed already. Raises InputError for files
    that are unreadable, smaller than the working size or out of their camera's proportion, and if only some have alpha.
    """
    headers = [read_header(photo.path) for photo in photos]
    tell(describe_pixels(headers, where))
    if any(photo.turn is None for photo in photos):
        found = turns(headers, [photo.full for photo in photos], options.orientation, where, silent=turns_told)
        photos = [replace(photo, turn=turn) if photo.turn is None else photo for photo, turn in zip(photos, found, strict=True)]
    found = [_measured(photo, header) for photo, header in zip(photos, headers, strict=True)]
    for photo in found:
        if photo.has_alpha != found[0].has_alpha:
            one, other = (photo.path, found[0].path) if found[0].has_alpha else (found[0].path, photo.path)
            raise InputError(f"{one} has no alpha channel, but {other} has: save all of them as RGBA, or none")
    full, sizes = [photo.full for photo in found], [photo.size for photo in found]
    if len(set(sizes)) == 1:
        return found
    common = common_size(full, sizes)
    if common is None:
        tell(f"{where}: the photographs have several sizes, which are kept: {list_of_sizes(sizes)} after shrinking")
        return found
    tell(
        f"{where}: the photographs' sizes differ by a few pixels ({list_of_sizes(sizes)}): all are cut to "
        f"{common[0]}x{common[1]} px, at the right and at the bottom"
    )
    return [replace(photo, cut=None if photo.size == common else common) for photo in found]


def _measured(photo: Photo, header: Header) -> Photo:
    width, height = header.size(photo.turn or 1)
    full, size = photo.full, photo.size
    if abs(width * full[1] - height * full[0]) > max(*full, width, height):  # more than the rounding of one pixel
        raise InputError(
            f"{photo.path} is {width}x{height} px, out of proportion with the {full[0]}x{full[1]} px for which its "
            "camera is stated: correct the camera, or restore the photograph"
        )
    if photo.divisor > 1 and max(abs(width - size[0]), abs(height - size[1])) == 1:
        size = width, height  # other programs round the size of smaller copies in other ways
    if 0 < max(size[0] - width, size[1] - height) <= 1:
        size = min(size[0], width), min(size[1], height)  # a camera stated for one pixel more than the file has
    if size[0] > width or size[1] > height:
        raise InputError(
            f"{photo.path} is {width}x{height} px, smaller than the {size[0]}x{size[1]} px to work at: give a "
            "larger --factor, or a smaller --img_s"
        )
    return replace(photo, size=size, stored=(width, height), has_alpha=header.alpha)


def common_or_largest_size(photos: Sequence[Photo]) -> Size:
    """Width and height (px) of the photographs; of several sizes the largest, or the one to which they are cut."""
    full = [photo.full for photo in photos]
    return common_size(full, full) or max(full)


def read_splits(photos: dict[str, list[Photo]], options: Options, root: Path, name: str) -> PhotosRead:
    """Read the splits {"train": …, "val": …, "test": …} of `measured` photographs.

    Pictures are shrunk and undistorted. Masks are those of --maskdir, else those that the scene's own files name, unless
    --no_masks is given. Raises InputError for pictures and masks that are missing or unreadable.
    """
    first = photos["train"][0]
    named = not options.no_masks and any(photo.mask for split in photos.values() for photo in split)
    if options.maskdir is None and not named:
        require_masks(options, first.has_alpha, first.path)
    splits = {split: _read_split(views, options.threads, f"{name} {split}") for split, views in photos.items()}
    if options.maskdir is None and not named:
        return PhotosRead(splits, None, False)
    if options.maskdir is not None:
        maskdir = Path(options.maskdir).expanduser()
        names = {split: [(photo.path, _names(photo, root)) for photo in photos[split]] for split in masked_splits(splits)}
        masks = find_masks(names, maskdir)
        if named:
            tell(f"--maskdir {maskdir} is used; the masks named in the scene's files are not")
    else:
        masks = {split: [photo.mask for photo in photos[split]] for split in masked_splits(splits)}
    files = {
        split: [replace(photo.picture_file, path=mask) for photo, mask in zip(photos[split], found, strict=True)]
        for split, found in masks.items()
    }
    pictures = {split: [(photo.path, photo.stored) for photo in views] for split, views in photos.items()}
    splits, carving = apply_masks(splits, files, pictures, options.threads)
    return PhotosRead(splits, carving, carving is None)


def _names(photo: Photo, root: Path) -> list[str]:
    """Paths after which a photograph's mask may be named."""
    own = [photo.path.relative_to(root).as_posix()] if photo.path.is_relative_to(root) else [photo.path.name]
    return [photo.file, *own] if photo.file else own


def _read_split(photos: list[Photo], threads: int, title: str) -> Split:
    read = read_pictures([photo.picture_file for photo in photos], any(photo.has_alpha for photo in photos), threads, title)
    kept = torch.tensor([photo.cut or photo.size for photo in photos]).reshape(-1, 2).T
    cameras = cameras_of(photos).scaled(*torch.tensor([photo.size for photo in photos]).reshape(-1, 2).T)
    cameras = Cameras(cameras.intrinsics, cameras.camera_to_world, *kept)
    return Split(read.images, read.alpha, cameras, [photo.name for photo in photos], read.black_if_transparent)


def cameras_of(photos: Sequence[Photo]) -> Cameras:
    """The pinholes of photographs at their full size."""
    k = np.array([photo.camera_model.matrix for photo in photos]).reshape(-1, 3, 3)
    poses = np.array([photo.camera_to_world for photo in photos]).reshape(-1, 3, 4)
    return Cameras(
        torch.from_numpy(k).float(),
        torch.from_numpy(poses).float(),
        *torch.tensor([photo.full for photo in photos]).reshape(-1, 2).T,
    )


def tell_odd_views(cameras: Cameras, names: Sequence[str], where: Path) -> None:
    """A line on stderr with the views whose poses are unlike the others' (`odd_views`)."""
    odd = odd_views(cameras)
    if odd:
        tell(
            f"{where}: the pose of {', '.join(names[view] for view in odd)} is unlike the others': the scene's box, scale and "
            "directions are found without it"
        )


def with_poses(photos: Sequence[Photo], poses: np.ndarray) -> list[Photo]:
    """The same photographs taken from the poses (V, 3, 4)."""
    return [replace(photo, camera_to_world=pose) for photo, pose in zip(photos, poses, strict=True)]
