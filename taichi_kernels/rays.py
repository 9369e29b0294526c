"""Rays of pinhole cameras, and where they enter and leave a box.

With a camera at o with rotation R (OpenGL axes), the pixel (column, row) has its centre at (column + 1/2, row + 1/2) and the ray

    p(t) = o + t d,   d = R ((column + 1/2 - cx) / fx, -(row + 1/2 - cy) / fy, -1)

so that t is the depth along the camera's z axis, and |d| world units go by for each unit of t.
"""

from functools import cache

import taichi as ti
import torch
from torch import Tensor

from taichi_kernels import runtime
from taichi_kernels.common.cameras import CX, CY, FX, FY, SIZE, center, to_world
from taichi_kernels.common.types import taichi_type


@cache
def _ray_kernel(dtype):
    vec3, camera_row = ti.types.vector(3, dtype), ti.types.vector(SIZE, dtype)
    vectors, cameras_type = ti.types.ndarray(dtype=vec3, ndim=1), ti.types.ndarray(dtype=camera_row, ndim=1)

    @ti.kernel
    def make(
        cameras: cameras_type,  # (V, 16)
        pixels: ti.types.ndarray(dtype=ti.types.vector(3, ti.i32), ndim=1),  # (R, 3): view, row, column
        origins: vectors, directions: vectors,  # (R, 3) out
    ):
        for r in pixels:
            pixel = pixels[r]
            camera = cameras[pixel[0]]
            x = (pixel[2] + 0.5 - camera[CX]) / camera[FX]
            y = (camera[CY] - 0.5 - pixel[1]) / camera[FY]
            origins[r], directions[r] = center(camera), to_world(camera, x, y, -1.0)

    return make


@cache
def _box_kernel(dtype):
    vec3 = ti.types.vector(3, dtype)
    vectors, scalars = ti.types.ndarray(dtype=vec3, ndim=1), ti.types.ndarray(dtype=dtype, ndim=1)

    @ti.kernel
    def intersect(origins: vectors, directions: vectors, box: vectors, nearest: scalars, farthest: scalars):
        for r in origins:
            near, far = box_interval(origins[r], directions[r], box[0], box[1])
            nearest[r], farthest[r] = ti.max(near, 0.0), ti.max(far, ti.max(near, 0.0))

    return intersect


@ti.func
def box_interval(origin, direction, low, high):
    """(t at the entry, t at the exit) of a line through a box; the exit comes first where it misses."""
    near, far = -ti.math.inf, ti.math.inf
    for a in ti.static(range(3)):
        # along a face the reciprocal is huge, not infinite: 0 * inf has no value
        safe = ti.select(ti.abs(direction[a]) < 1e-12, ti.select(direction[a] < 0.0, -1e-12, 1e-12), direction[a])
        t0, t1 = (low[a] - origin[a]) / safe, (high[a] - origin[a]) / safe
        near, far = ti.max(near, ti.min(t0, t1)), ti.min(far, ti.max(t0, t1))
    return near, far


def camera_rays(cameras: Tensor, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Origins (R, 3), world, and directions (R, 3), world units per unit of depth, of rays through pixel centres.

    cameras (V, 16) from `pack_camera`; pixels (R, 3) int32: view, row, column. Nothing is differentiable. Raises ValueError on
    shapes that do not fit.
    """
    if cameras.ndim != 2 or cameras.shape[1] != 16 or pixels.ndim != 2 or pixels.shape[1] != 3 or pixels.dtype != torch.int32:
        raise ValueError(f"expected cameras (V, 16) and int32 pixels (R, 3); got {tuple(cameras.shape)}, {tuple(pixels.shape)}")
    runtime.ensure_init()
    origins, directions = (cameras.new_empty(len(pixels), 3) for _ in range(2))
    if len(pixels):
        _ray_kernel(taichi_type(cameras))(cameras.contiguous(), pixels.contiguous(), origins, directions)
    return origins, directions


def box_intersection(origins: Tensor, directions: Tensor, box: Tensor) -> tuple[Tensor, Tensor]:
    """Where rays enter and leave a box, (R,) and (R,) in t, neither before 0; the two are equal where a ray misses it.

    origins, directions (R, 3); box (2, 3): lower and upper corner. Nothing is differentiable. Raises ValueError on shapes that do
    not fit.
    """
    if origins.shape != directions.shape or origins.shape[1:] != (3,) or box.shape != (2, 3):
        shapes = ", ".join(str(tuple(t.shape)) for t in (origins, directions, box))
        raise ValueError(f"expected origins and directions (R, 3) and box (2, 3); got {shapes}")
    runtime.ensure_init()
    near, far = (origins.new_empty(len(origins)) for _ in range(2))
    if len(origins):
        inputs = [t.detach().contiguous() for t in (origins, directions, box.to(origins))]
        _box_kernel(taichi_type(origins))(*inputs, near, far)
    return near, far


def to_ndc(origins: Tensor, directions: Tensor, focal_x: float, focal_y: float, width: int, height: int) -> tuple[Tensor, Tensor]:
    """The same rays in normalised device coordinates, for cameras that look along -z over a scene in front of them.

    The frustum beyond the plane z = -1 becomes the cube [-1, 1]^3; t = 0 is that plane and t = 1 infinity: t = 1 - 1 / depth.
    Shapes (R, 3) in and out. Source: Mildenhall et al. 2020, appendix C.
    """
    t = -(1 + origins[:, 2]) / directions[:, 2]
    x, y, z = (origins + t[:, None] * directions).unbind(1)
    dx, dy, dz = directions.unbind(1)
    a, b = -2 * focal_x / width, -2 * focal_y / height
    start = torch.stack([a * x / z, b * y / z, 1 + 2 / z], 1)
    return start, torch.stack([a * (dx / dz - x / z), b * (dy / dz - y / z), -2 / z], 1)
