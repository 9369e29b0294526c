"""NeRF-synthetic scenes, and Shiny Blender's (transforms_{train,val,test}.json beside RGBA images) -> Scene."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from datasets import protocols
from datasets.bounds import near_and_far, scene_box
from datasets.cameras import Cameras
from datasets.image_files import Header, describe_pixels
from datasets.mask_files import require_masks, with_mask_files
from datasets.orientation import stated_size, turns
from datasets.photographs import tell_odd_views
from datasets.picture_maps import find_maps, read_normals
from datasets.pictures import PictureFile, read_header, read_pictures
from datasets.scene import Scene, Split
from datasets.sizes import Size, sizes_for_width
from datasets.transforms import Frame, intrinsics, read_transforms, read_transforms_file
from settings.errors import InputError
from settings.options import Options
from system.progress import tell
from system.reading import reading


def load_blender(folder: Path, options: Options, name: str = "") -> Scene:
    """Read a NeRF-synthetic scene: train always, val and test only if the protocol or a flag needs them.

    Images are shrunk to --img_s or --half_res (`width_by_protocol`), and intrinsics with them. Each split keeps its own
    field of view and each frame its own intrinsics. If images have no alpha channel, but files r_0_alpha.png beside them, those
    are their alpha. Files r_0_normal.png beside val and test images are their normals. `extras`: `folder`, `format`,
    `stored_size` (width, height in px), `val_ids` and `test_ids` (index of each view in its file), `val_count` (views in that
    file), `testskip`, `bounds_from`. Raises InputError, naming the file, for missing and damaged files.
    """
    views = {"train": _read_views(folder, "train"), "val": [], "test": []}
    ids = {"val": [], "test": []}
    counts = {"val": 0, "test": 0}
    for split in _needed(folder, options):
        found = _read_views(folder, split)
        counts[split], ids[split] = len(found), list(range(0, len(found), options.testskip))
        views[split] = [found[view] for view in ids[split]]
    evaluated_by_paper = options.protocol == "paper" and protocols.has_paper_views(counts["val"])
    if evaluated_by_paper and not protocols.paper_indices(ids["val"]):
        raise InputError(
            f"--testskip {options.testskip} leaves none of the validation views 15 to 37, which "
            "protocol paper measures on: give a smaller number"
        )
    counted = {"val_ids": ids["val"], "test_ids": ids["test"], "val_count": counts["val"], "testskip": options.testskip}
    return scene_of_frames(folder, views, options, name, {"format": "NeRF-synthetic", **counted})


def scene_of_frames(folder: Path, views: dict[str, list[Frame]], options: Options, name: str, extras: dict) -> Scene:
    """The scene of frames whose images exist, for each split, as `load_blender` says; `extras` are added to the scene's."""
    name = name or folder.resolve().name
    headers = {split: [read_header(view.path) for view in found] for split, found in views.items()}
    turn = _turns(headers, views, options, folder)
    stored = {split: _sizes(found, turn[split]) for split, found in headers.items()}
    largest = max(size for split in stored.values() for size in split)
    sizes = iter(sizes_for_width([size for split in stored.values() for size in split], width_by_protocol(options, largest[0])))
    sizes = {split: [next(sizes) for _ in found] for split, found in views.items()}
    splits = {
        split: _read_split(found, headers[split], turn[split], sizes[split], options, f"{name} {split}", split != "train")
        for split, found in views.items()
    }
    carving = None
    if options.maskdir is not None:
        pictures = {split: [view.path for view in found] for split, found in views.items()}
        maskdir = Path(options.maskdir).expanduser()
        splits, carving = with_mask_files(splits, pictures, folder, maskdir, stored, options.threads, turn)
    require_masks(options, splits["train"].alpha is not None, views["train"][0].path)
    cameras = splits["train"].cameras
    tell_odd_views(cameras, splits["train"].names, folder)
    bounds, bounds_from = scene_box(cameras)
    ranges = [near_and_far(bounds, split.cameras) for split in splits.values() if len(split)]
    return Scene(
        name,
        splits["train"],
        splits["val"],
        splits["test"],
        bounds=bounds,
        near=min(near for near, _ in ranges),
        far=max(far for _, far in ranges),
        background=options.scene_background,
        carving=carving,
        extras={"folder": str(folder), "stored_size": largest, "bounds_from": bounds_from, **extras},
        cut_out=options.maskdir is not None and carving is None,
    )


def width_by_protocol(options: Options, stored: int) -> int:
    """The width (px) to work at for the widest image of a scene, which is `stored` px wide (the others: `sizes_for_width`).

    --half_res halves it; --img_s is the width, 0 the stored one. Without both it is at most 400 px by protocol paper, and the
    stored width by protocol standard.
    """
    if options.half_res:
        return max(1, stored // 2)
    if options.img_s is None:
        return min(protocols.PAPER_WIDTH, stored) if options.protocol == "paper" else stored
    return options.img_s or stored


def _read_views(folder: Path, split: str) -> list[Frame]:
    with reading(folder / f"transforms_{split}.json", "does not describe a scene"):
        return read_transforms(folder, split)


def _count(folder: Path, split: str) -> int:
    """How many views a split's file lists; 0 is allowed, and their images may be missing."""
    path = folder / f"transforms_{split}.json"
    with reading(path, "does not describe a scene"):
        return len(read_transforms_file(path, "")["frames"])


def _needed(folder: Path, options: Options) -> list[str]:
    """Which of val and test to read: val for protocol paper if it has that protocol's views, else test."""
    needed = []
    if (
        options.protocol == "paper"
        and (folder / "transforms_val.json").is_file()
        and protocols.has_paper_views(_count(folder, "val"))
    ):
        needed.append("val")
    if not needed or options.render_test:
        needed.append("test")
        if not (folder / "transforms_test.json").is_file():
            raise InputError(
                f"{folder / 'transforms_test.json'} is missing: "
                + (
                    "--render_test renders its views"
                    if "val" in needed
                    else f"protocol {options.protocol} measures on its views"
                    if options.protocol != "paper"
                    else "protocol paper measures on it if there are no validation views 15 to 37"
                )
            )
    return needed


def _sizes(headers: list[Header], turn: list[int]) -> list[tuple[int, int]]:
    return [header.size(way) for header, way in zip(headers, turn, strict=True)]


def _turns(
    headers: dict[str, list[Header]], views: dict[str, list[Frame]], options: Options, folder: Path
) -> dict[str, list[int]]:
    """The EXIF turn by which each picture of each split is read. A line on stderr says what is done with their pixels."""
    together = [header for found in headers.values() for header in found]
    tell(describe_pixels(together, folder))
    cameras = [stated_size(view.intrinsics) for found in views.values() for view in found]
    ways = iter(turns(together, cameras, options.orientation, folder))
    return {split: [next(ways) for _ in found] for split, found in headers.items()}


def _read_split(
    views: list[Frame],
    headers: list[Header],
    turn: list[int],
    sizes: list[Size],
    options: Options,
    title: str,
    with_normals: bool,
) -> Split:
    """The views of a split; the files are read with these EXIF turns and shrunk to these sizes (px). Normals only if wanted."""
    with_alpha = [header.alpha for header in headers]
    stored = _sizes(headers, turn)
    if any(with_alpha) and not all(with_alpha):
        raise InputError(
            f"{views[with_alpha.index(False)].path} has no alpha channel, but other images of "
            "its split have: save all of them as RGBA, or none"
        )
    alpha_maps = None if any(with_alpha) else find_maps(headers, "_alpha")
    files = [
        PictureFile(view.path, *size, turn=way, alpha=alpha)
        for view, size, way, alpha in zip(views, sizes, turn, alpha_maps or [None] * len(views), strict=True)
    ]
    read = read_pictures(files, all(with_alpha) or alpha_maps is not None, options.threads, title)
    normals = None
    if with_normals and (maps := find_maps(headers, "_normal")):
        at_sizes = [replace(file, path=path) for file, path in zip(files, maps, strict=True)]
        normals = read_normals(at_sizes, options.threads, f"{title} normals")
    matrices = np.array([intrinsics(view, *size) for view, size in zip(views, stored, strict=True)]).reshape(-1, 3, 3)
    poses = np.array([view.camera_to_world for view in views]).reshape(-1, 3, 4)
    full = torch.tensor(stored).reshape(-1, 2).T
    cameras = Cameras(torch.from_numpy(matrices).float(), torch.from_numpy(poses).float(), *full)
    cameras = cameras.scaled(*torch.tensor(sizes).reshape(-1, 2).T)
    return Split(read.images, read.alpha, cameras, [view.name for view in views], read.black_if_transparent, normals=normals)
