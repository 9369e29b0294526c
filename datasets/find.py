"""Finding a scene's folder and the format of its files."""

import os
import re
from pathlib import Path

from settings.errors import InputError
from settings.options import Options
from system.progress import tell

# The file that marks a format. If a folder holds several formats, the first in this order is read. COLMAP: see `colmap_models`.
MARKS = {
    "blender": "transforms_train.json",
    "llff": "poses_bounds.npy",
    "nerfstudio": "transforms.json",
    "colmap": "sparse/0/cameras.bin",
    "multiscale": "metadata.json",
}
_COLLECTIONS = ("nerf_synthetic", "nerf_llff_data")


def find_scene(options: Options) -> tuple[Path, str]:
    """(the scene's folder, its format: a key of `MARKS`).

    --datadir is the scene's folder or, with --dataname, the one above it. Without --datadir the scene is looked for in
    $RADIANCE_DATA, ./data and . by the name of its collection (nerf_synthetic/lego). --dataset_type names the format; without it
    the files decide. Raises InputError, which lists the folders that were tried.
    """
    if options.datadir is not None:
        given = Path(options.datadir).expanduser()
        tried = [given / options.dataname, given] if options.dataname else [given]
    else:
        shared = os.environ.get("RADIANCE_DATA")
        roots = [*([Path(shared).expanduser()] if shared else []), Path("data"), Path()]
        tried = [root / collection / (options.dataname or "") for collection in _COLLECTIONS for root in roots]
    found = [(folder, its_format) for folder in tried if (its_format := format_of(folder, options.dataset_type))]
    if found:
        _tell_others(*found[0], options)
        others = list(dict.fromkeys(str(folder) for folder, _ in found if folder.resolve() != found[0][0].resolve()))
        if others and options.datadir is None:
            tell(f"{found[0][0]} is read, and not {', '.join(others)}: choose another one by --datadir")
        return found[0]
    if options.datadir is not None and tried[-1].is_dir():
        inside = sorted(path for path in tried[-1].iterdir() if path.is_dir() and format_of(path, options.dataset_type))
        if inside:
            scenes = ", ".join(path.name for path in inside)
            raise InputError(f"{tried[-1]} holds the scenes {scenes}: name one by --dataname")
    names = MARKS | {"colmap": f"COLMAP model ({MARKS['colmap']})"}
    what = names[options.dataset_type] if options.dataset_type else "scene (" + ", ".join(names.values()) + ")"
    folders = ", ".join(str(folder) for folder in tried)
    raise InputError(f"no {what} was found (looked in {folders}): give the scene's --datadir")


def format_of(folder: Path, wanted: str | None = None) -> str | None:
    """The format of a folder's scene, None if it holds no scene; with `wanted`, only that format counts."""
    if wanted is not None:
        return wanted if _holds(folder, wanted) else None
    return next((one for one in MARKS if _is_of_format(folder, one)), None)


def colmap_models(folder: Path) -> list[tuple[Path, str]]:
    """(folder, ending of its files) of each COLMAP model of a scene, complete ones first: in sparse/0, sparse/1, ..., in sparse,
    or in the folder itself; .bin files before .txt files. Models in colmap/sparse, where nerfstudio keeps them, count only if
    there is no transforms.json, which nerfstudio makes from them."""
    roots = [folder / "sparse"] if (folder / "transforms.json").is_file() else [folder / "sparse", folder / "colmap" / "sparse"]
    numbered = [path for root in roots for path in root.glob("*") if re.fullmatch(r"\d+", path.name) and path.is_dir()]
    paths = [*sorted(numbered, key=lambda path: (roots.index(path.parent), int(path.name))), *roots, folder]
    found = [(path, ending) for path in paths for ending in ("bin", "txt") if (path / f"cameras.{ending}").is_file()]
    return sorted(found, key=lambda model: not _is_whole(*model))


def _is_whole(folder: Path, ending: str) -> bool:
    """Whether a COLMAP model has its file of images."""
    return (folder / f"images.{ending}").is_file()


def _holds(folder: Path, scene_format: str) -> bool:
    return bool(colmap_models(folder)) if scene_format == "colmap" else (folder / MARKS[scene_format]).is_file()


def _is_of_format(folder: Path, scene_format: str) -> bool:
    """Whether a folder holds a scene of a format. Other programs write files named metadata.json too: its content decides."""
    if not _holds(folder, scene_format) or scene_format != "multiscale":
        return _holds(folder, scene_format)
    try:
        return '"cam2world"' in (folder / MARKS[scene_format]).read_text(errors="replace")
    except OSError:
        return False


def _tell_others(folder: Path, used: str, options: Options) -> None:
    """A line on stderr if the folder holds the scene in other formats than `used` too, and --dataset_type is not given."""
    others = [] if options.dataset_type else [other for other in MARKS if other != used and _is_of_format(folder, other)]
    if "colmap" in others and not _is_whole(*colmap_models(folder)[0]):
        others.remove("colmap")
    if others:
        paths = {"colmap": str(colmap_models(folder)[0][0].relative_to(folder)) if "colmap" in others else ""}
        named = " and ".join(f"{paths.get(other) or MARKS[other]} (--dataset_type {other})" for other in others)
        tell(f"{folder}: {MARKS[used]} is read, and not {named}")
