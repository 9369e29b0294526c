"""Several rays a pixel, for pictures whose pixels are larger than those that a model learned from.

A model that has learned what a thin ray shows aliases where a pixel covers more than such a ray. A pixel that is n times as wide
is therefore the mean over n x n pixels of the size that was learned.
"""

import math
from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor

from datasets.cameras import Cameras
from models.checks import check_number
from models.rendering import Rendering

MOST_ACROSS = 16  # rays along a side of a pixel
MOST_RAYS = 1 << 24  # of a picture: a bound on memory


class PixelSize(NamedTuple):
    """How large a pixel of the pictures is that a model learned from."""

    size: float  # world units at `middle`, or, if that is None, at a distance of 1
    middle: tuple[float, float, float] | None = None  # of the object, world; None: the cameras stand inside of the scene

    @staticmethod
    def of(cameras: Cameras, middle: Tensor | None = None) -> "PixelSize":
        """The median over the views; middle (3,), world."""
        where = None if middle is None else (float(middle[0]), float(middle[1]), float(middle[2]))
        sizes = torch.tensor([_size_in(cameras, view, where) for view in range(len(cameras))], dtype=torch.float64)
        return PixelSize(max(float(sizes.median()), 1e-9), where)

    def rays_across(self, cameras: Cameras, view: int) -> int:
        """n, for the n x n rays that a pixel of this view is the mean of; 1 for pixels up to one and a half times as large."""
        width, height = cameras.size(view)
        most = min(MOST_ACROSS, math.isqrt(MOST_RAYS // (width * height)))
        return max(1, min(most, round(_size_in(cameras, view, self.middle) / self.size)))


def pixel_size_from(saved: tuple | list | None) -> PixelSize | None:
    """The pixel's size of a saved model, None if it has none. Raises ValueError for other values."""
    if saved is None:
        return None
    if not isinstance(saved, (tuple, list)) or len(saved) != 2:
        raise ValueError("its pixel's size is not a number and a point")
    size, middle = check_number("its pixel's size", saved[0], 1e-12, 1e12), saved[1]
    if middle is None:
        return PixelSize(size)
    if not isinstance(middle, (tuple, list)) or len(middle) != 3:
        raise ValueError("the point where its pixel's size is measured is not three numbers")
    x, y, z = (check_number("the point where its pixel's size is measured", value, -1e12, 1e12) for value in middle)
    return PixelSize(size, (x, y, z))


def _size_in(cameras: Cameras, view: int, middle: tuple[float, float, float] | None) -> float:
    """The size of a pixel of a view at a point, or at a distance of 1, world units."""
    focal = math.sqrt(float(cameras.intrinsics[view, 0, 0]) * float(cameras.intrinsics[view, 1, 1]))
    distance = 1.0 if middle is None else math.dist(cameras.centers[view].tolist(), middle)
    return distance / focal


def averaged(rendering: Rendering, across: int) -> Rendering:
    """The picture whose pixels are the means of `across` x `across` pixels of this one; depths and normals by alpha."""
    alpha = _means(rendering.alpha[..., None], across)[..., 0]
    depth = normal = None
    if rendering.depth is not None:
        weighted = _means((rendering.alpha * rendering.depth)[..., None], across)[..., 0]
        depth = torch.where(alpha > 0, weighted / alpha.clamp_min(1e-8), 0)
    if rendering.normal is not None:
        normal = torch.nn.functional.normalize(_means(rendering.alpha[..., None] * rendering.normal, across), dim=-1)
    return Rendering(_means(rendering.image, across), alpha, depth, normal)


def _means(values: Tensor, across: int) -> Tensor:
    """Means of (H n, W n, C) over squares of n x n, (H, W, C)."""
    height, width, channels = values.shape
    return values.view(height // across, across, width // across, across, channels).mean((1, 3))


class AntialiasedModel(ABC):
    """A model whose pictures have more rays a pixel if their pixels are larger than `pixel`, those it learned from."""

    pixel: PixelSize | None = None  # None: not known, or the model knows how large pixels are: one ray a pixel

    @abstractmethod
    def render_at(
        self, cameras: Cameras, view: int, background: str, *, with_depth: bool, with_normal: bool = False
    ) -> Rendering:
        """One view with one ray through each pixel."""

    def render(
        self,
        cameras: Cameras,
        view: int,
        background: str = "black",
        with_depth: bool = True,
        *,
        antialias: bool = True,
        with_normal: bool = False,
    ) -> Rendering:
        """One view over a background (`black` or `white`), clamped to [0, 1]; without depth it may be faster (depth is None).

        with_normal: normals too, if the model has any, which takes longer. antialias: a pixel is the mean of as many rays as
        pixels of the learned size fit into it; if False, it is one ray.
        """
        across = self.pixel.rays_across(cameras, view) if antialias and self.pixel else 1
        if across == 1:
            return self.render_at(cameras, view, background, with_depth=with_depth, with_normal=with_normal)
        width, height = cameras.size(view)
        finer = cameras[view].scaled(across * width, across * height)
        found = self.render_at(finer, 0, background, with_depth=with_depth, with_normal=with_normal)
        return averaged(found, across)
