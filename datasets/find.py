"""Where a scene is, and in which format its files are."""

import os
from pathlib import Path

from settings.errors import InputError
from settings.options import Options

# What shows a format, in the order in which a folder that holds several of them is read: any one of these files.
_COLMAP = [Path(place, f"cameras.{kind}") for place in ("sparse/0", "sparse", "") for kind in ("bin", "txt")]
MARKS = {
    "blender": [Path("transforms_train.json")],
    "llff": [Path("poses_bounds.npy")],
    "nerfstudio": [Path("transforms.json")],
    "colmap": _COLMAP,
}
_COLLECTIONS = ("nerf_synthetic", "nerf_llff_data")


def find_scene(options: Options) -> tuple[Path, str]:
    """(the scene's folder, its format: a key of `MARKS`).

    --datadir is the scene's folder or, with --dataname, the one above it. Without --datadir the scene is looked for in
    $RADIANCE_DATA, ./data and . by the name of its collection (nerf_synthetic/lego). --dataset_type names the format; without
    it the files tell. Raises InputError that lists what was tried.
    """
    if options.datadir is not None:
        given = Path(options.datadir).expanduser()
        tried = [given / options.dataname, given] if options.dataname else [given]
    else:
        shared = os.environ.get("RADIANCE_DATA")
        roots = [*([Path(shared).expanduser()] if shared else []), Path("data"), Path()]
        tried = [root / collection / (options.dataname or "") for collection in _COLLECTIONS for root in roots]
    for folder in tried:
        if kind := format_of(folder, options.dataset_type):
            return folder, kind
    if options.datadir is not None and tried[-1].is_dir():
        inside = sorted(path for path in tried[-1].iterdir() if path.is_dir() and format_of(path, options.dataset_type))
        if inside:
            scenes = ", ".join(path.name for path in inside)
            raise InputError(f"{tried[-1]} holds the scenes {scenes}: name one by --dataname")
    names = {kind: str(marks[0]) for kind, marks in MARKS.items()} | {"colmap": f"COLMAP model ({_COLMAP[0]})"}
    what = names[options.dataset_type] if options.dataset_type else "scene (" + ", ".join(names.values()) + ")"
    places = ", ".join(str(folder) for folder in tried)
    raise InputError(f"no {what} was found (looked in {places}): give the scene's --datadir")


def format_of(folder: Path, wanted: str | None = None) -> str | None:
    """The format of a folder's scene, or None where it holds none; with `wanted`, only of that format."""
    kinds = MARKS if wanted is None else [wanted]
    return next((kind for kind in kinds if any((folder / mark).is_file() for mark in MARKS[kind])), None)


def colmap_folder(folder: Path) -> Path:
    """The folder of a scene's COLMAP model: sparse/0, sparse, or the folder itself. The scene is of that format."""
    return next((folder / mark).parent for mark in _COLMAP if (folder / mark).is_file())
