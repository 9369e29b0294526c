"""What a picture with transparent pixels is over black: the one place where that is decided."""

from dataclasses import replace

from datasets.scene import Scene
from settings.options import Options

_STORED = ("Over black, pictures are their stored colours, as the 2022 program has it: these files are black where alpha is 0, "
           "and rims keep their full colours.")
_MULTIPLIED = "Over black, pictures are colour times alpha."
_HIDDEN = "Over black, pictures are colour times alpha: these files store colours where alpha is 0, which are not used."


def over_black(scene: Scene, options: Options) -> Scene:
    """The scene with the rule by which its pictures are put over black, and a note that says which.

    A loader marks a split as `stored_over_black` if its files are black wherever alpha is 0, which it measures. The stored
    colours then are the picture over black for recipe and protocol `paper`, as the 2022 program trains on them and measures
    them (Zhang et al. 2022). Everywhere else, and if any split has colours under alpha 0, it is colour * alpha.
    """
    splits = {name: getattr(scene, name) for name in ("train", "val", "test")}
    with_alpha = [split for split in splits.values() if len(split) and split.alpha is not None]
    if not with_alpha:
        return scene
    black = all(split.stored_over_black for split in with_alpha)
    stored = black and options.method == "points" and options.recipe == options.protocol == "paper"
    note = _STORED if stored else _MULTIPLIED if black or scene.cut_out else _HIDDEN
    notes = [note] if scene.background == "black" else []
    carving = None if scene.carving is None else replace(scene.carving, stored_over_black=stored)
    splits = {name: replace(split, stored_over_black=stored) for name, split in splits.items()}
    return replace(scene, **splits, carving=carving, notes=[*scene.notes, *notes])
