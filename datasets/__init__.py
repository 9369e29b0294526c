"""Files on disk -> Scene. One loader a file format, and one camera convention: that of `Cameras`."""

import math
from pathlib import Path

from datasets.backgrounds import with_stored_colours
from datasets.blender import load_blender
from datasets.cameras import Cameras
from datasets.colmap import load_colmap
from datasets.find import find_scene
from datasets.llff import load_llff
from datasets.nerfstudio import load_nerfstudio
from datasets.scene import Scene
from datasets.staging import staged
from settings.errors import InputError
from settings.options import Options
from system.reading import reading

__all__ = ["load"]

_LOADERS = {"blender": load_blender, "llff": load_llff, "nerfstudio": load_nerfstudio, "colmap": load_colmap}
_SHORTEST, _LONGEST = 1e-3, 1e5  # a lens' focal length, in sides of its picture, and how far off its middle may be at most
_PHOTOGRAPHS = ("llff", "nerfstudio", "colmap")
_MEANT_FOR = {"factor": _PHOTOGRAPHS, "llffhold": _PHOTOGRAPHS, "no_ndc": ("llff",), "spherify": ("llff",)}


def load(options: Options) -> Scene:
    """The scene that the options name, at the size and with the splits that they ask for.

    The built-in scene is made first where it is not there yet. Raises InputError, in one sentence, for
    whatever is missing or wrong in the files, and for flags that mean nothing to the scene's format.
    """
    folder, kind = (_demo_folder(options), "blender") if options.is_demo else _found(options)
    for flag, kinds in _MEANT_FOR.items():
        if kind not in kinds and getattr(options, flag) != getattr(Options, flag):
            raise InputError(
                f"--{flag} is for scenes of --dataset_type {' or '.join(kinds)}, and {folder} holds one of type "
                f"{kind}: drop the flag"
            )
    if options.no_masks and not options.carves and kind != "nerfstudio":
        raise InputError(
            f"--no_masks with --method {options.method} is about masks that a transforms.json names, and {folder} "
            f"holds a scene of type {kind}: drop the flag"
        )
    return with_stored_colours(_checked(_loaded(folder, kind, options), folder), options.stored_colours)


def _found(options: Options) -> tuple[Path, str]:
    with reading(options.datadir or options.scene_name, "cannot be looked for"):  # names too long, folders that are closed
        return find_scene(options)


def _loaded(folder: Path, kind: str, options: Options) -> Scene:
    place = staged(folder)
    try:
        with reading(place, "cannot be loaded"):  # what its readers say of single files is told as it is
            return _LOADERS[kind](place, options, options.scene_name)
    except InputError as problem:
        if place == folder:
            raise
        raise InputError(
            f"{problem}; this is {folder}'s copy: where the scene needs files outside its folder, unset RADIANCE_SCRATCH"
        ) from problem


def _checked(scene: Scene, folder: Path) -> Scene:
    """The scene, if its numbers are such as can be learned from. Raises InputError for what is not finite, or empty."""
    for name in ("train", "val", "test"):
        cameras, names = getattr(scene, name).cameras, getattr(scene, name).names
        for what, values in (("pose", cameras.camera_to_world), ("lens", cameras.intrinsics)):
            finite = values.flatten(1).isfinite().all(1) if len(names) else values.new_ones(0, dtype=bool)
            if not finite.all():
                raise InputError(
                    f"{folder}: the {what} of the view {names[int(finite.int().argmin())]} has numbers too large "
                    "for 32 bits: look at the scale in its files"
                )
        for view in range(len(names)):
            _check_lens(cameras, view, f"{folder}: the lens of the view {names[view]}")
    low, high = scene.bounds
    if not (scene.bounds.isfinite().all() and (low < high).all()):
        raise InputError(
            f"{folder}: the box from {low.tolist()} to {high.tolist()} that holds the scene is infinite or empty: "
            "look at the poses, the bounds and the scale in its files"
        )
    if not 0 < scene.near < scene.far < math.inf:
        raise InputError(
            f"{folder}: the scene lies between the depths {scene.near:g} and {scene.far:g}, which are not two "
            "finite ones, the nearest above 0: look at the poses and the bounds in its files"
        )
    return scene


def _check_lens(cameras: Cameras, view: int, lens: str) -> None:
    """Raise InputError for a lens that no picture of this size has been taken by."""
    (fx, _, cx), (_, fy, cy), _ = cameras.intrinsics[view].tolist()
    for side, focal, middle in zip(cameras.size(view), (fx, fy), (cx, cy), strict=True):
        if not _SHORTEST * side <= focal <= _LONGEST * side or not abs(middle - side / 2) <= _LONGEST * side:
            raise InputError(
                f"{lens} has the focal length {focal:g} px and the middle {middle:g} px in a picture of {side} px: "
                "look at the lens in its files"
            )


def _demo_folder(options: Options) -> Path:
    """The built-in scene's folder, under --datadir or ./data; it is made --img_s wide and high on first use.

    A --datadir that holds a scene already, itself or in a folder `demo`, is taken as it is.
    """
    root = Path(options.datadir or "data").expanduser()
    for folder in (root / "demo", root):
        if (folder / "transforms_train.json").is_file():
            return folder
    from datasets.demo import DemoSettings, ensure_demo  # needs Taichi, which photographs on disk do not

    size = {"width": options.img_s, "height": options.img_s} if options.img_s else {}
    return ensure_demo(root, DemoSettings(**size))
