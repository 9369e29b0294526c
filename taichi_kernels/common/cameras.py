"""A pinhole camera as a row of 16 numbers, [R | t] row by row (OpenGL axes), then fx, fy, cx, cy in pixels."""

import taichi as ti
import torch
from torch import Tensor

FX, FY, CX, CY = 12, 13, 14, 15
SIZE = 16


def pack_camera(intrinsics: Tensor, camera_to_world: Tensor) -> Tensor:
    """The row (16,) of a camera with intrinsics (3, 3), px, and camera_to_world (3, 4), world units."""
    k = intrinsics
    return torch.cat([camera_to_world.reshape(12), torch.stack([k[0, 0], k[1, 1], k[0, 2], k[1, 2]])]).contiguous()


@ti.func
def center(camera: ti.template()):
    """Where the camera is, t (3,), world."""
    return ti.Vector([camera[3], camera[7], camera[11]])


@ti.func
def to_camera(camera: ti.template(), v: ti.template()):
    """R^T v: a direction v of the world in the camera's axes."""
    return ti.Vector([camera[a] * v[0] + camera[4 + a] * v[1] + camera[8 + a] * v[2] for a in ti.static(range(3))])


@ti.func
def to_world(camera: ti.template(), x, y, z):
    """R (x, y, z): a direction of the camera's axes in the world."""
    return ti.Vector([camera[4 * a] * x + camera[4 * a + 1] * y + camera[4 * a + 2] * z for a in ti.static(range(3))])
