"""Pinhole cameras of a set of views, in the one convention that every room uses."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Cameras:
    """V pinhole cameras that share an image size.

    Axes are OpenGL's: x right, y up, the camera looks down -z. A pixel (col, row) covers [col, col+1) x [row, row+1), so
    its centre lies at +0.5. A world point p is seen at depth z (px are image coordinates with the origin top left):

        x, y, w = R^T (p - t);   z = -w;   col = fx x / z + cx;   row = -fy y / z + cy
    """

    intrinsics: Tensor  # (V, 3, 3) float32, pixels: [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]
    camera_to_world: Tensor  # (V, 3, 4) float32: [R | t], world units
    width: int  # pixels
    height: int  # pixels

    def __len__(self) -> int:
        return self.camera_to_world.shape[0]

    def __getitem__(self, views) -> "Cameras":
        """The cameras of some views: an int (kept as a set of one), a slice, a list or an index tensor."""
        if isinstance(views, int):
            views = [views]
        return Cameras(self.intrinsics[views], self.camera_to_world[views], self.width, self.height)

    def to(self, device) -> "Cameras":
        """The same cameras with their tensors on another device."""
        return Cameras(self.intrinsics.to(device), self.camera_to_world.to(device), self.width, self.height)

    def scaled(self, width: int, height: int) -> "Cameras":
        """The same views at another image size: the intrinsics scale with the width and the height."""
        scale = torch.tensor([width / self.width, height / self.height, 1.0])
        return Cameras(self.intrinsics * scale[:, None], self.camera_to_world, width, height)

    @property
    def centers(self) -> Tensor:
        """Camera centres in the world, (V, 3)."""
        return self.camera_to_world[:, :, 3]

    def project(self, points: Tensor, view: int) -> tuple[Tensor, Tensor]:
        """Pixel coordinates (N, 2) and depths (N,) of world points (N, 3) in one view; depth <= 0 is behind the camera."""
        rotation, translation = self.camera_to_world[view, :, :3], self.camera_to_world[view, :, 3]
        x, y, w = ((points - translation) @ rotation).unbind(-1)
        k = self.intrinsics[view]
        depth = -w
        return torch.stack([k[0, 0] * x / depth + k[0, 2], -k[1, 1] * y / depth + k[1, 2]], -1), depth
