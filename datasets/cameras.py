"""Pinhole cameras of a set of views, in the convention that the whole program uses."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Cameras:
    """V pinhole cameras, whose pictures may have different sizes.

    Axes are OpenGL's: x right, y up, the camera looks down -z. A pixel (col, row) covers [col, col+1) x [row, row+1), so
    its centre lies at +0.5. A world point p is seen at depth z (px are image coordinates with the origin top left):

        x, y, w = R^T (p - t);   z = -w;   col = fx x / z + cx;   row = -fy y / z + cy
    """

    intrinsics: Tensor  # (V, 3, 3) float32, pixels: [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]
    camera_to_world: Tensor  # (V, 3, 4) float32: [R | t], world units
    widths: Any  # Tensor (V,) int64 on the CPU, pixels; given as one, as a sequence, or as one number for all views
    heights: Any  # the same

    def __post_init__(self) -> None:
        for name in ("widths", "heights"):
            sizes = torch.as_tensor(getattr(self, name), dtype=torch.int64).cpu().expand(len(self))
            object.__setattr__(self, name, sizes)

    def __len__(self) -> int:
        return self.camera_to_world.shape[0]

    def __getitem__(self, views) -> "Cameras":
        """The cameras of some views: an int (kept as a set of one), a slice, a list or an index tensor."""
        if isinstance(views, int):
            views = [views]
        return Cameras(self.intrinsics[views], self.camera_to_world[views], self.widths[views], self.heights[views])

    def to(self, device) -> "Cameras":
        """The same cameras with their tensors on another device; sizes stay on the CPU."""
        return Cameras(self.intrinsics.to(device), self.camera_to_world.to(device), self.widths, self.heights)

    def scaled(self, widths: Tensor | int, heights: Tensor | int) -> "Cameras":
        """The same views at other image sizes, one for all or (V,): intrinsics scale with the width and the height."""
        new = Cameras(self.intrinsics, self.camera_to_world, widths, heights)
        across, down = new.widths.double() / self.widths, new.heights.double() / self.heights
        scale = torch.stack([across, down, torch.ones_like(across)], 1).to(self.intrinsics)
        return Cameras(self.intrinsics * scale[:, :, None], self.camera_to_world, widths, heights)

    def shrunk(self, factor: float) -> "Cameras":
        """The same views at 1/factor of their sizes, rounded, at least one pixel."""
        return self.scaled(*((sizes / factor).round().clamp_min(1).long() for sizes in (self.widths, self.heights)))

    def size(self, view: int) -> tuple[int, int]:
        """Width and height of a view's picture, px."""
        return int(self.widths[view]), int(self.heights[view])

    @property
    def width(self) -> int:
        """The largest width of the views, px; 0 without views."""
        return int(self.widths.max()) if len(self) else 0

    @property
    def height(self) -> int:
        """The largest height of the views, px; 0 without views."""
        return int(self.heights.max()) if len(self) else 0

    @property
    def same_size(self) -> bool:
        """Whether all pictures have one size."""
        return len(self) == 0 or bool((self.widths == self.widths[0]).all() and (self.heights == self.heights[0]).all())

    def count_sizes(self) -> int:
        """How many different sizes the pictures have."""
        return len(set(zip(self.widths.tolist(), self.heights.tolist(), strict=True)))

    @property
    def centers(self) -> Tensor:
        """Camera centres in the world, (V, 3)."""
        return self.camera_to_world[:, :, 3]

    def project(self, points: Tensor, view: int) -> tuple[Tensor, Tensor]:
        """Pixel positions (N, 2) and depths (N,) of world points (N, 3) in one view; depth <= 0 is behind the camera."""
        rotation, translation = self.camera_to_world[view, :, :3], self.camera_to_world[view, :, 3]
        x, y, w = ((points - translation) @ rotation).unbind(-1)
        k = self.intrinsics[view]
        depth = -w
        return torch.stack([k[0, 0] * x / depth + k[0, 2], -k[1, 1] * y / depth + k[1, 2]], -1), depth
