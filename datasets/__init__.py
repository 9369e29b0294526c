"""Files on disk -> Scene. One loader for each file format, and one camera convention: that of `Cameras`."""

import math
from dataclasses import replace
from pathlib import Path

from datasets.backgrounds import with_stored_colours
from datasets.blender import load_blender
from datasets.cameras import Cameras
from datasets.colmap import load_colmap
from datasets.find import find_scene
from datasets.llff import load_llff
from datasets.multiscale import load_multiscale
from datasets.nerfstudio import load_nerfstudio
from datasets.scales import at_scales
from datasets.scene import Scene
from datasets.staging import staged
from settings.errors import InputError
from settings.options import Options
from system.reading import reading

__all__ = ["load"]

_LOADERS = {
    "blender": load_blender,
    "llff": load_llff,
    "nerfstudio": load_nerfstudio,
    "colmap": load_colmap,
    "multiscale": load_multiscale,
}
_SHORTEST, _LONGEST = 1e-3, 1e5  # focal lengths, in sides of the picture; the longest is also the limit of the principal point
_PHOTOGRAPHS = ("llff", "nerfstudio", "colmap")
_FORMATS_OF = {"factor": _PHOTOGRAPHS, "llffhold": _PHOTOGRAPHS, "no_ndc": ("llff",), "spherify": ("llff",)}  # of flags


def load(options: Options) -> Scene:
    """The scene that the options name, at the size and with the splits that they ask for.

    The built-in scene is made first if it does not exist yet. Raises InputError, in one sentence, if something in the files is
    missing or wrong, and for flags that do not apply to the scene's format.
    """
    folder, scene_format = (_demo_folder(options), "blender") if options.is_demo else _found(options)
    for flag, formats in _FORMATS_OF.items():
        if scene_format not in formats and getattr(options, flag) != getattr(Options, flag):
            raise InputError(
                f"--{flag} is for scenes of --dataset_type {' or '.join(formats)}, and {folder} holds one of type "
                f"{scene_format}: drop the flag"
            )
    if options.no_masks and not options.carves and scene_format != "nerfstudio":
        raise InputError(
            f"--no_masks with --method {options.method} is about masks that a transforms.json names, and {folder} "
            f"holds a scene of type {scene_format}: drop the flag"
        )
    scene = with_stored_colours(_checked(_loaded(folder, scene_format, options), folder), options.stored_colours)
    if options.train_scales:
        if scene.train.scales is not None:
            raise InputError(f"--train_scales: the training pictures of {folder} have several scales already: drop the flag")
        scene = replace(scene, train=at_scales(scene.train))
    return scene


def _found(options: Options) -> tuple[Path, str]:
    with reading(options.datadir or options.scene_name, "cannot be looked for"):  # names too long, folders that are closed
        return find_scene(options)


def _loaded(folder: Path, scene_format: str, options: Options) -> Scene:
    copy = staged(folder)
    try:
        with reading(copy, "cannot be loaded"):  # an InputError about a single file passes as it is
            return _LOADERS[scene_format](copy, options, options.scene_name)
    except InputError as problem:
        if copy == folder:
            raise
        raise InputError(
            f"{problem}; this is {folder}'s copy: if the scene needs files outside its folder, unset RADIANCE_SCRATCH"
        ) from problem


def _checked(scene: Scene, folder: Path) -> Scene:
    """The scene. Raises InputError if poses, intrinsics, bounds or depths are not finite or make no sense."""
    for name in ("train", "val", "test"):
        cameras, names = getattr(scene, name).cameras, getattr(scene, name).names
        for what, values in (("pose", cameras.camera_to_world), ("camera", cameras.intrinsics)):
            finite = values.flatten(1).isfinite().all(1) if len(names) else values.new_ones(0, dtype=bool)
            if not finite.all():
                raise InputError(
                    f"{folder}: the {what} of the view {names[int(finite.int().argmin())]} has numbers too large "
                    "for 32 bits: check the scale in its files"
                )
        for view in range(len(names)):
            _check_intrinsics(cameras, view, f"{folder}: the camera of the view {names[view]}")
    low, high = scene.bounds
    if not (scene.bounds.isfinite().all() and (low < high).all()):
        raise InputError(
            f"{folder}: the box from {low.tolist()} to {high.tolist()} that holds the scene is infinite or empty: "
            "check the poses, the bounds and the scale in its files"
        )
    if not 0 < scene.near < scene.far < math.inf:
        raise InputError(
            f"{folder}: the scene lies between the depths {scene.near:g} and {scene.far:g}; both must be finite, and the "
            "nearest above 0: check the poses and the bounds in its files"
        )
    return scene


def _check_intrinsics(cameras: Cameras, view: int, where: str) -> None:
    """Raise InputError, which begins with `where`, for intrinsics that cannot be right for a picture of this size."""
    (fx, _, cx), (_, fy, cy), _ = cameras.intrinsics[view].tolist()
    for side, focal, middle in zip(cameras.size(view), (fx, fy), (cx, cy), strict=True):
        if not _SHORTEST * side <= focal <= _LONGEST * side or not abs(middle - side / 2) <= _LONGEST * side:
            raise InputError(
                f"{where} has the focal length {focal:g} px and the principal point {middle:g} px in a picture of {side} px: "
                "check the intrinsics in its files"
            )


def _demo_folder(options: Options) -> Path:
    """The built-in scene's folder, under --datadir or ./data; it is made on first use, --img_s wide and high.

    If --datadir, or a folder in it with the scene's name, holds a scene already, that one is used as it is.
    """
    root = Path(options.datadir or "data").expanduser()
    for folder in (root / options.scene_name, root):
        if (folder / "transforms_train.json").is_file():
            return folder
    from datasets.demo import DemoSettings, ensure_demo  # here, because it loads Taichi, which photographs do not need

    size = {"width": options.img_s, "height": options.img_s} if options.img_s else {}
    return ensure_demo(root, DemoSettings(**size, scene=options.scene_name))
