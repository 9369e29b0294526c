"""Random pixels of the training views: the rays through them, and what was photographed there."""

from typing import NamedTuple

import torch
from torch import Tensor

from datasets.scene import Split
from models.rays import Rays, pack_cameras, pixel_rays
from models.repeatable import mean
from settings import ranks
from settings.options import Options
from taichi_kernels.compositing import Composite
from training import together


class Batch(NamedTuple):
    """R rays with their colours over a background."""

    rays: Rays
    colours: Tensor  # (R, 3) in [0, 1], over the background
    background: Tensor  # (R, 3) what lies behind the scene
    share: float = 1.0  # of the step's rays, which are shared out over the ranks

    def error(self, seen: Composite) -> Tensor:
        """Error (R, 3) of what is seen, over the background."""
        return seen.colour + seen.transmittance[:, None] * self.background - self.colours

    def squared_error(self, seen: Composite) -> Tensor:
        """Mean squared error, over rays and channels."""
        return mean(self.error(seen) ** 2)


class RayBatches:
    """Draws rays from all pixels of a split, or from one view at a time. Pictures stay uint8 in memory."""

    def __init__(self, split: Split, background: str, device):
        """background: `black`, `white`, or `random`, another colour behind each ray at each draw."""
        self.cameras = pack_cameras(split.cameras).to(device)
        self.images = torch.from_numpy(split.images).to(device)  # (V, H, W, 3)
        self.alpha = None if split.alpha is None else torch.from_numpy(split.alpha).to(device)  # (V, H, W)
        self.background = background

    def draw_for(self, step: int, count: int, options: Options, generator: torch.Generator) -> Batch:
        """This rank's of the rays of a training step: of one view with --no_batching, of the middle in the first --precrop_iters
        steps. All ranks draw all of them, and so they agree on what is drawn next."""
        middle = options.precrop_frac if step < options.precrop_iters else 1.0
        pixels = self._pixels(max(count, ranks.count()), generator, options.no_batching, middle)
        background = self._background(len(pixels), generator)
        own = self._batch(together.own_part(pixels), together.own_part(background))
        return own._replace(share=len(own.rays) / len(pixels))

    def draw(self, count: int, generator: torch.Generator, *, one_view: bool = False, middle: float = 1.0) -> Batch:
        """`count` rays at random; one_view: all of one view; middle: only from this share of the width and the height."""
        return self._batch(self._pixels(count, generator, one_view, middle), self._background(count, generator))

    def _pixels(self, count: int, generator: torch.Generator, one_view: bool, middle: float) -> Tensor:
        """View, row and column, (count, 3)."""
        views, height, width = self.images.shape[:3]
        sizes = [max(1, round(size * middle)) for size in (height, width)]
        corner = [(size - inner) // 2 for size, inner in zip((height, width), sizes, strict=True)]
        view = torch.randint(0, views, (1 if one_view else count,), generator=generator).expand(count)
        row, column = (
            first + torch.randint(0, size, (count,), generator=generator) for first, size in zip(corner, sizes, strict=True)
        )
        return torch.stack([view, row, column], 1).to(self.images.device)

    def _background(self, count: int, generator: torch.Generator) -> Tensor:
        """What lies behind rays, (count, 3)."""
        if self.background == "random":
            return torch.rand(count, 3, generator=generator).to(self.images.device)
        return torch.full((count, 3), float(self.background == "white"), device=self.images.device)

    def _batch(self, pixels: Tensor, background: Tensor) -> Batch:
        view, row, column = pixels.unbind(1)
        colours = self.images[view, row, column].float() / 255
        if self.alpha is not None:
            alpha = self.alpha[view, row, column].float()[:, None] / 255
            colours = colours * alpha + background * (1 - alpha)
        return Batch(pixel_rays(self.cameras, pixels.to(torch.int32)), colours, background)
