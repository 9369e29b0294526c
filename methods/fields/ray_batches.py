"""Random pixels of the training views: the rays through them, and their colours."""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from datasets.backgrounds import photograph_over, rendering_over
from datasets.scene import Pictures, Split
from methods.fields.exposure import Exposure
from methods.fields.options import FieldOptions
from models.ray_model import RayModel
from models.rays import Rays, pack_cameras, pixel_rays
from models.repeatable import mean, total
from system import ranks, signals
from taichi_kernels.compositing import Composite
from training import distributed


class Batch(NamedTuple):
    """R rays with their colours over a background."""

    rays: Rays
    colours: Tensor  # (R, 3) in [0, 1], over the background
    background: Tensor  # (R, 3) colours behind the scene
    areas: Tensor  # (R,) of the pixels, as solid angles, relative to the mean over the step's rays
    fraction: float = 1.0  # of the step's rays, which are divided among the ranks
    gains: Tensor | None = None  # (R, 3) of the photographs over the scene; None: 1

    def split(self, most: int) -> "list[Batch]":
        """The same rays in parts of at most `most` rays, and of one ray at least, or the batch itself."""
        most = max(1, most)
        if len(self.rays) <= most:
            return [self]
        parts = torch.arange(len(self.rays), device=self.colours.device).split(most)
        rays, colours, background, areas, fraction, gains = self
        return [
            Batch(
                rays[part],
                colours[part],
                background[part],
                areas[part],
                fraction * len(part) / len(rays),
                None if gains is None else gains[part],
            )
            for part in parts
        ]

    def error(self, seen: Composite) -> Tensor:
        """Error (R, 3) of the rendered colours, over the background."""
        colour = seen.colour if self.gains is None else seen.colour * self.gains
        return rendering_over(colour, seen.transmittance, self.background) - self.colours

    def squared_error(self, seen: Composite) -> Tensor:
        """Mean squared error, over rays and channels."""
        return mean(self.error(seen) ** 2)

    def weighted_error(self, seen: Composite) -> Tensor:
        """The same weighted by `areas`: of a whole step, sum(area squares) / sum(area)."""
        return mean(self.areas[:, None] * self.error(seen) ** 2)


class RayBatches:
    """Draws rays from all pixels of a split, or from one view at a time. Pictures stay uint8 in memory."""

    def __init__(self, split: Split, background: str, device):
        """background: `black`, `white`, or `random`, another colour behind each ray at each draw."""
        self.cameras = pack_cameras(split.cameras).to(device)
        self.colours = _flat(split.images, 3).to(device)  # (P, 3) of all pixels, view by view, row by row
        self.alpha = None if split.alpha is None else _flat(split.alpha).to(device)  # (P,)
        self.widths, self.heights = split.cameras.widths, split.cameras.heights  # (V,)
        self.starts = torch.cat([torch.zeros(1, dtype=torch.int64), (self.widths * self.heights).cumsum(0)])  # (V + 1,)
        self.background = background
        focal = split.cameras.intrinsics[:, (0, 1), (0, 1)].cpu().double()
        self.areas = 1 / focal.prod(1)  # (V,) of a pixel, as a solid angle
        self.exposure: Exposure | None = None  # of the photographs, in training

    def draw_for(self, step: int, count: int, options: FieldOptions, generator: torch.Generator) -> Batch:
        """This rank's of the rays of a training step: of one view with --no_batching, of the middle in the first --precrop_iters
        steps. All ranks draw all of them, so that their generators stay in the same state."""
        middle = options.precrop_frac if step < options.precrop_iters else 1.0
        pixels = self._pixels(max(count, ranks.count()), generator, options.no_batching, middle)
        background = self._background(len(pixels), generator)
        part = distributed.shard(pixels)
        own = self._batch(part, *(distributed.shard(of_rays) for of_rays in (background, self._areas(pixels))))
        gains = None if self.exposure is None else self.exposure(part[:, 0].to(self.colours.device))
        return own._replace(fraction=len(own.rays) / len(pixels), gains=gains)

    def draw(self, count: int, generator: torch.Generator, *, one_view: bool = False, middle: float = 1.0) -> Batch:
        """`count` rays at random; one_view: all of one view; middle: only from this fraction of the width and the height."""
        pixels = self._pixels(count, generator, one_view, middle)
        return self._batch(pixels, self._background(count, generator), self._areas(pixels))

    def _pixels(self, count: int, generator: torch.Generator, one_view: bool, middle: float) -> Tensor:
        """View, row and column, (count, 3), with equal chances for all pixels."""
        sides = torch.stack([self.heights, self.widths])  # (2, V)
        inner = (sides * middle).round().clamp_min(1).long()
        ends = inner.prod(0).cumsum(0)  # (V,)
        if one_view:
            view = torch.randint(len(ends), (1,), generator=generator).expand(count)
            pixel = torch.randint(int(inner[:, view[0]].prod()), (count,), generator=generator)
        else:
            pixel = torch.randint(int(ends[-1]), (count,), generator=generator)
            view = torch.searchsorted(ends, pixel, right=True)
            pixel -= ends[view] - inner[:, view].prod(0)
        corner, width = (sides - inner) // 2, inner[1, view]
        row, column = corner[0, view] + pixel // width, corner[1, view] + pixel % width
        return torch.stack([view, row, column], 1)

    def _background(self, count: int, generator: torch.Generator) -> Tensor:
        """Colours behind rays, (count, 3)."""
        if self.background == "random":
            return torch.rand(count, 3, generator=generator).to(self.colours.device)
        return torch.full((count, 3), float(self.background == "white"), device=self.colours.device)

    def _areas(self, pixels: Tensor) -> Tensor:
        """Areas of pixels, relative to their mean, (R,)."""
        areas = self.areas[pixels[:, 0]]
        return (areas / mean(areas)).float()

    def _batch(self, pixels: Tensor, background: Tensor, areas: Tensor) -> Batch:
        view, row, column = pixels.unbind(1)
        index = (self.starts[view] + row * self.widths[view] + column).to(self.colours.device)
        colours = photograph_over(self.colours[index], None if self.alpha is None else self.alpha[index], background)
        return Batch(
            pixel_rays(self.cameras, pixels.to(self.colours.device, torch.int32)), colours, background, areas.to(colours)
        )


def _flat(pictures: Pictures, *channels: int) -> Tensor:
    """All pixels of the pictures, (P, *channels); without a copy if the pictures have one size."""
    if isinstance(pictures, np.ndarray):
        return torch.from_numpy(pictures).reshape(-1, *channels)
    return torch.cat([torch.from_numpy(picture).reshape(-1, *channels) for picture in pictures])


@torch.no_grad()
def rays_psnr(model: RayModel, batches: RayBatches, count: int) -> float:
    """PSNR, dB, over `count` random pixels of all views together, which are always the same."""
    batch, squared = batches.draw(count, torch.Generator().manual_seed(0)), 0.0
    for some in torch.arange(count, device=batch.colours.device).split(model.chunk):
        signals.check()
        found = model.render_rays(model.to_model_space(batch.rays[some]))
        shown = rendering_over(found.colour, found.transmittance, batch.background[some]).clamp(0, 1)
        squared += float(total((shown - batch.colours[some]) ** 2))
    return -10 * math.log10(max(squared / (3 * count), 1e-12))
