"""Files on disk -> Scene. One loader a file format, and one camera convention: that of `Cameras`."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from datasets.blender import find_folder, load_blender
from datasets.mask_corruption import corrupt
from datasets.scene import Scene
from settings.masks import parse_corruption
from settings.options import Options

__all__ = ["load"]


def load(options: Options) -> Scene:
    """The scene that the options name, at the size and with the splits that they ask for.

    The built-in scene is made first where it is not there yet. Raises InputError, in one sentence, for
    whatever is missing or wrong in the files.
    """
    folder = _demo_folder(options) if options.is_demo else find_folder(options)
    scene = load_blender(folder, options, options.scene_name)
    if options.no_masks:
        everything = np.full(scene.train.images.shape[:3], 255, np.uint8)
        return replace(scene, carving=replace(scene.train, alpha=everything))
    damage = parse_corruption(options.mask_corruption)
    if options.pc_jitter_amount:
        damage.insert(0, ("affine", options.pc_jitter_amount))
    if not damage:
        return scene
    return replace(scene, carving=corrupt(scene.silhouettes, damage, options.seed), cut_out=False)


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
