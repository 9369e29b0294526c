"""The masks that carve a cloud's start: as they are, damaged on purpose, or none."""

from dataclasses import replace

import numpy as np

from datasets.mask_corruption import corrupt
from datasets.scene import Scene, joined
from methods.points.options import PointOptions
from settings.errors import InputError
from settings.masks import parse_corruption


def with_carving_masks(scene: Scene, options: PointOptions) -> Scene:
    """The scene with `carving` as the options say: everything foreground by --no_masks, masks damaged by --pc_jitter_amount and
    then by --mask_corruption. Raises InputError if there are no masks to damage."""
    if options.no_masks:
        everything = joined([np.full(image.shape[:2], 255, np.uint8) for image in scene.train.images])
        return replace(scene, carving=replace(scene.train, alpha=everything))
    damage = parse_corruption(options.mask_corruption)
    if options.pc_jitter_amount:
        damage.insert(0, ("affine", options.pc_jitter_amount))
    if not damage:
        return scene
    if scene.silhouettes.alpha is None:
        raise InputError(f"scene {scene.name} has no masks to damage: drop --mask_corruption and --pc_jitter_amount")
    return replace(scene, carving=corrupt(scene.silhouettes, damage, options.seed), cut_out=False)
