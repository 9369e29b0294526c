"""The data of a run, recognised by their content and not by their path. So a run goes on after its data were moved, and does not
go on with other data under the same names.

Pictures are recognised by a checksum each, cameras and the scene's box by their numbers, which another machine may round
differently.
"""

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from datasets.scene import Scene, Split
from settings.options import Options

_TOLERANCE = 1e-5  # of the largest of the numbers that are compared


def learned_from(scene: Scene, options: Options) -> dict:
    """All of the scene that changes a training, and the model in --ft_path, as plain values and tensors for a checkpoint."""
    train, carving = scene.train, scene.carving
    carved = carving.images if carving is not None and carving.images is not train.images else None
    return {
        "pictures": _sums(train.images),
        "alpha": _sums(train.alpha),
        "sizes": _sizes(train),
        "masks": None if carving is None else _sums(carving.alpha),
        "carved": _sums(carved),
        "intrinsics": train.cameras.intrinsics.float().cpu(),
        "poses": train.cameras.camera_to_world.float().cpu(),
        "bounds": scene.bounds.float().cpu(),
        "depths": torch.tensor([scene.near, scene.far], dtype=torch.float32),
        "background": scene.background,
        "cut_out": scene.cut_out,
        "forward_facing": scene.forward_facing,
        "start": _start(options),
    }


def difference(then: dict, now: dict, names: list[str]) -> str:
    """The difference of two `learned_from`, in words; empty if there is none. names: the training views'.

    Raises KeyError, TypeError, ValueError and the like where `then` is not what `learned_from` returns.
    """
    before, views = len(then["pictures"]), len(now["pictures"])
    if before != views:
        return f"it has {before} training views, and the scene now has {views}"
    other = [view for view in range(views) if tuple(then["sizes"][view]) != tuple(now["sizes"][view])]
    if other:
        was, is_ = (" x ".join(map(str, known["sizes"][other[0]])) for known in (then, now))
        return f"{names[other[0]]} had {was} pixels, and now has {is_}{_more(other)}"
    for key, what in (
        ("pictures", "the picture {} has changed"),
        ("alpha", "the alpha channel of {} has changed"),
        ("masks", "the mask of {} has changed"),
        ("carved", "the masked picture {} has changed"),
    ):
        if (then[key] is None) != (now[key] is None):
            compared = "masks" if key in ("masks", "carved") else "alpha channels"
            return (
                f"the run began without {compared}, and now there are some"
                if then[key] is None
                else f"the run began with {compared}, and now there are none"
            )
        other = [view for view in range(views) if now[key] is not None and then[key][view] != now[key][view]]
        if other:
            return what.format(names[other[0]]) + _more(other)
    for key, part, what in (
        ("poses", slice(3), "pose"),
        ("poses", slice(3, 4), "pose"),
        ("intrinsics", slice(3), "focal length or centre"),
    ):
        other = [view for view in range(views) if not _close(then[key][..., part], now[key][..., part], view)]
        if other:
            return f"the {what} of {names[other[0]]} has changed" + _more(other)
    for key, what in (("bounds", "the scene's box"), ("depths", "the nearest and farthest content")):
        if not _close(then[key], now[key]):
            return f"{what} was {then[key].tolist()} when it began, and is {now[key].tolist()} now"
    for key, what in (
        ("background", "the background has changed"),
        ("cut_out", "what masks do to the pictures has changed"),
        ("forward_facing", "the coordinates in which rays are learned have changed"),
    ):
        if then[key] != now[key]:
            return what
    return _other_start(then["start"], now["start"])


def _sums(images: Any) -> list[int] | None:
    """A checksum a view: of an array (V, H, W, ...), or of arrays of several sizes."""
    return None if images is None else [zlib.crc32(np.ascontiguousarray(images[view]).data) for view in range(len(images))]


def _sizes(split: Split) -> list[list[int]]:
    """Width and height of every view."""
    return [[split.images[view].shape[1], split.images[view].shape[0]] for view in range(len(split.images))]


def _start(options: Options) -> dict | None:
    """The file that --ft_path names: a new run starts from its model."""
    if options.ft_path is None:
        return None
    path = Path(options.ft_path).expanduser()
    try:
        with path.open("rb") as file:
            total = 0
            while part := file.read(1 << 20):
                total = zlib.crc32(part, total)
    except OSError:  # only a new run needs it, and says so
        total = None
    return {"path": str(path.absolute()), "sum": total}


def _other_start(then: dict | None, now: dict | None) -> str:
    """Whether a run began with another --ft_path. A file that is gone, or was replaced under its name, no longer matters."""
    if (then is None) != (now is None):
        return f"it began {'without' if then is None else 'with'} --ft_path"
    if then is None or now is None or then["path"] == now["path"]:
        return ""
    if None in (then["sum"], now["sum"]) or then["sum"] == now["sum"]:
        return ""
    return f"it began from the model in {then['path']}, and --ft_path names another model"


def _close(then: Tensor, now: Tensor, view: int | None = None) -> bool:
    """Whether numbers are the same except for rounding."""
    if then.shape != now.shape:
        return False
    least = _TOLERANCE * max(1e-12, float(now.abs().max()) if now.numel() else 0.0)
    one, other = (then, now) if view is None else (then[view], now[view])
    return bool(((one - other).abs() <= least).all())


def _more(views: list[int]) -> str:
    return f", and {len(views) - 1} more" if len(views) > 1 else ""
