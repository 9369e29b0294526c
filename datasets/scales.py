"""Views at several sizes: protocol `multiscale`."""

from dataclasses import replace

import torch

from datasets.cameras import Cameras
from datasets.scene import Pictures, Split, joined

SCALES = (1, 2, 4, 8)  # a picture is 1 / scale of the size


def at_scales(split: Split, scales: tuple[int, ...] = SCALES) -> Split:
    """The views at 1 / scale of their size, for each scale in turn, by area averages; `split` itself if its views have scales.

    Source of the protocol: Barron et al. 2021 (mip-NeRF), section 5.1.
    """
    if split.scales is not None:
        return split
    parts = [split if scale == 1 else split.shrunk(scale) for scale in scales]
    cameras = [part.cameras for part in parts]
    suffixes = ["" if scale == 1 else f" at 1/{scale}" for scale in scales]
    return replace(
        split,
        images=_all(*(part.images for part in parts)),
        alpha=None if split.alpha is None else _all(*(part.masks for part in parts)),
        normals=None if split.normals is None else _all(*(part.normals for part in parts if part.normals is not None)),
        cameras=Cameras(
            torch.cat([each.intrinsics for each in cameras]),
            torch.cat([each.camera_to_world for each in cameras]),
            torch.cat([each.widths for each in cameras]),
            torch.cat([each.heights for each in cameras]),
        ),
        names=[name + suffix for suffix in suffixes for name in split.names],
        scales=[scale for scale in scales for _ in split.names],
    )


def _all(*pictures: Pictures) -> Pictures:
    return joined([picture for some in pictures for picture in some])
