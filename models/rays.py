"""Rays of views, in the form that every volume model takes."""

from typing import NamedTuple

import torch
from torch import Tensor

from datasets.cameras import Cameras
from models.checks import check_number
from models.cones import PIXEL_RADIUS
from taichi_kernels.common.cameras import FX, FY
from taichi_kernels.projection import pack_camera
from taichi_kernels.rays import camera_rays, to_ndc


class Rays(NamedTuple):
    """R rays p(t) = origin + t direction; t is the depth along the camera's z axis."""

    origins: Tensor  # (R, 3) world
    directions: Tensor  # (R, 3) world units per t
    direction_norms: Tensor  # (R,) |direction|
    view_directions: Tensor  # (R, 3) unit: the direction that colours depend on
    radii: Tensor  # (R,) of the pixels' cones, world units per t; in normalised device coordinates, of cylinders

    def __getitem__(self, rays) -> "Rays":
        """Some of the rays: a slice, a mask or indices."""
        return Rays(*(tensor[rays] for tensor in self))

    def __len__(self) -> int:
        return len(self.origins)

    def middles(self, edges: Tensor) -> Tensor:
        """The positions (R N, 3) half way, in t, between the edges (R, N + 1)."""
        t = (edges[:, 1:] + edges[:, :-1]) / 2
        return (self.origins[:, None] + t[..., None] * self.directions[:, None]).view(-1, 3)


def pack_cameras(cameras: Cameras) -> Tensor:
    """The cameras (V, 16) as the kernels take them."""
    return torch.stack([pack_camera(k, pose) for k, pose in zip(cameras.intrinsics, cameras.camera_to_world, strict=True)])


def pixel_rays(packed: Tensor, pixels: Tensor) -> Rays:
    """Rays through the centres of pixels (R, 3) int32, [view, row, column], of cameras (V, 16)."""
    origins, directions = camera_rays(packed, pixels)
    lengths = directions.norm(dim=1)
    focal = (packed[:, FX] * packed[:, FY]).sqrt()[pixels[:, 0].long()]
    return Rays(origins, directions, lengths, directions / lengths[:, None], PIXEL_RADIUS / focal)


def view_pixels(view: int, width: int, height: int, device) -> Tensor:
    """All pixels of a view, row by row, (H W, 3) int32."""
    sides = (torch.arange(size, dtype=torch.int32, device=device) for size in (height, width))
    rows, columns = torch.meshgrid(*sides, indexing="ij")
    return torch.stack([torch.full_like(rows, view), rows, columns], -1).reshape(-1, 3)


class Ndc(NamedTuple):
    """Normalised device coordinates of a scene that lies before the plane z = -1: the frustum of one camera beyond that plane
    becomes the cube [-1, 1]^3, and t runs from 0 on the plane to 1 at infinity."""

    focal_x: float  # px
    focal_y: float
    width: int  # px
    height: int

    @staticmethod
    def of(cameras: Cameras) -> "Ndc":
        """The frustum of the first camera, and of pictures as large as the largest."""
        k = cameras.intrinsics[0]
        return Ndc(float(k[0, 0]), float(k[1, 1]), cameras.width, cameras.height)

    def to_ndc(self, rays: Rays) -> Rays:
        """The rays in these coordinates; colours still depend on the direction in the world."""
        origins, directions = to_ndc(rays.origins, rays.directions, *self)
        t = -(1 + rays.origins[:, 2]) / rays.directions[:, 2]  # of the plane z = -1, the near face of the cube
        radii = (self.focal_x / self.width + self.focal_y / self.height) * t * rays.radii  # mean of both axes
        return Rays(origins, directions, directions.norm(dim=1), rays.view_directions, radii)

    def gradient_to_world(self, positions: Tensor, gradient: Tensor) -> Tensor:
        """Gradients (M, 3) with respect to the world, of those with respect to these coordinates at positions (M, 3).

        With z' = 1 + 2 / z, x' = a x / z and y' = b y / z, where a = -2 focal_x / width and b = -2 focal_y / height, it is
        J^T gradient with J = [[a / z, 0, -a x / z^2], [0, b / z, -b y / z^2], [0, 0, -2 / z^2]].
        """
        over_z = (positions[:, 2] - 1) / 2  # 1 / z
        a, b = -2 * self.focal_x / self.width, -2 * self.focal_y / self.height
        gx, gy, gz = gradient.unbind(1)
        along = -over_z * (positions[:, 0] * gx + positions[:, 1] * gy + 2 * over_z * gz)
        return torch.stack([a * over_z * gx, b * over_z * gy, along], 1)

    @staticmethod
    def depth(rays: Rays, t: Tensor) -> Tensor:
        """Depths along the camera's z axis, world units, of t in [0, 1) on rays, which are given in the world."""
        z = -1 / (1 - t).clamp_min(1e-6)
        return (z - rays.origins[:, 2]) / rays.directions[:, 2]


def ndc_from(saved: tuple | list | None) -> Ndc | None:
    """The normalised device coordinates of a saved model, None if it has none. Raises ValueError for other values."""
    if saved is None:
        return None
    if not isinstance(saved, (tuple, list)) or len(saved) != len(Ndc._fields):
        raise ValueError(f"its normalised device coordinates are not {len(Ndc._fields)} numbers")
    found = Ndc(*saved)
    for name, value in found._asdict().items():
        check_number(f"its normalised device coordinates, {name}", value, 1e-6, 1e9, whole=name in ("width", "height"))
    return found
