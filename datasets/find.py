"""Where a scene is, and in which format its files are."""

import os
import re
from pathlib import Path

from settings.errors import InputError
from settings.options import Options
from system.progress import tell

# The file that shows a format, in the order in which a folder that holds several of them is read; for COLMAP `colmap_models`.
MARKS = {
    "blender": "transforms_train.json",
    "llff": "poses_bounds.npy",
    "nerfstudio": "transforms.json",
    "colmap": "sparse/0/cameras.bin",
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
    found = [(folder, kind) for folder in tried if (kind := format_of(folder, options.dataset_type))]
    if found:
        _tell_others(*found[0], options)
        others = list(dict.fromkeys(str(folder) for folder, _ in found if folder.resolve() != found[0][0].resolve()))
        if others and options.datadir is None:
            tell(f"{found[0][0]} is read, and not {', '.join(others)}: --datadir names another")
        return found[0]
    if options.datadir is not None and tried[-1].is_dir():
        inside = sorted(path for path in tried[-1].iterdir() if path.is_dir() and format_of(path, options.dataset_type))
        if inside:
            scenes = ", ".join(path.name for path in inside)
            raise InputError(f"{tried[-1]} holds the scenes {scenes}: name one by --dataname")
    names = MARKS | {"colmap": f"COLMAP model ({MARKS['colmap']})"}
    what = names[options.dataset_type] if options.dataset_type else "scene (" + ", ".join(names.values()) + ")"
    places = ", ".join(str(folder) for folder in tried)
    raise InputError(f"no {what} was found (looked in {places}): give the scene's --datadir")


def format_of(folder: Path, wanted: str | None = None) -> str | None:
    """The format of a folder's scene, or None where it holds none; with `wanted`, only of that format."""
    return next((kind for kind in (MARKS if wanted is None else [wanted]) if _holds(folder, kind)), None)


def colmap_models(folder: Path) -> list[tuple[Path, str]]:
    """(folder, ending of its files) of each COLMAP model of a scene, whole ones first: in sparse/0, sparse/1, ..., in sparse, or
    in the folder itself, .bin files before .txt files. Without a transforms.json, which is made from them, also those in
    colmap/sparse, where nerfstudio has them."""
    roots = [folder / "sparse"] if (folder / "transforms.json").is_file() else [folder / "sparse", folder / "colmap" / "sparse"]
    numbered = [path for root in roots for path in root.glob("*") if re.fullmatch(r"\d+", path.name) and path.is_dir()]
    places = [*sorted(numbered, key=lambda path: (roots.index(path.parent), int(path.name))), *roots, folder]
    found = [(place, ending) for place in places for ending in ("bin", "txt") if (place / f"cameras.{ending}").is_file()]
    return sorted(found, key=lambda model: not _is_whole(*model))


def _is_whole(folder: Path, ending: str) -> bool:
    """Whether a COLMAP model has its images, too."""
    return (folder / f"images.{ending}").is_file()


def _holds(folder: Path, kind: str) -> bool:
    return bool(colmap_models(folder)) if kind == "colmap" else (folder / MARKS[kind]).is_file()


def _tell_others(folder: Path, kind: str, options: Options) -> None:
    """A line on stderr if the folder holds the scene in other formats, too, and none was asked for."""
    others = [] if options.dataset_type else [other for other in MARKS if other != kind and _holds(folder, other)]
    if "colmap" in others and not _is_whole(*colmap_models(folder)[0]):
        others.remove("colmap")
    if others:
        places = {"colmap": str(colmap_models(folder)[0][0].relative_to(folder)) if "colmap" in others else ""}
        named = " and ".join(f"{places.get(other) or MARKS[other]} (--dataset_type {other})" for other in others)
        tell(f"{folder}: {MARKS[kind]} is read, and not {named}")
