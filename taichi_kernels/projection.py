"""From points in the world to splats on the screen: projection, view-dependent colour, screen radius, in one pass.

With a camera at t with rotation R (OpenGL axes) and focal lengths fx, fy, a point p has

    (x, y, w) = R^T (p - t),  z = -w,  column = fx x / z + cx,  row = -fy y / z + cy
    colour = base + sum_k Y_k((p - t) / |p - t|) sh_k          (Y: spherical harmonics, PlenOctrees' order)
    radius on the screen = radius * fx / z where radii are world lengths, or the radius itself where they are pixels.

One row per point, [column, row, radius, opacity, red, green, blue], is what `taichi_kernels.splatting.splat_packed` takes.
"""

from functools import cache

import taichi as ti
import torch
from torch import Tensor

from taichi_kernels import runtime
from taichi_kernels.common.cameras import CX, CY, FX, FY, SIZE, center, pack_camera, to_camera
from taichi_kernels.common.derivatives import once_differentiable
from taichi_kernels.common.splat_rows import COLUMN, FEATURES, OPACITY, RADIUS, ROW
from taichi_kernels.common.types import taichi_type
from taichi_kernels.spherical_harmonics import sh_basis, sh_gradient

__all__ = ["NEAREST", "pack_camera", "project_points"]

NEAREST = 1e-4  # world units: points nearer to the camera's plane, or behind it, are not drawn


@cache
def _kernels(dtype, basis: int, world_radii: bool, with_depth: bool):
    """(forward, backward). Rows are passed as vectors: one address a row, and loads and stores that the compiler can merge."""
    scalars = ti.types.ndarray(dtype=dtype, ndim=1)
    vec3, row = ti.types.vector(3, dtype), ti.types.vector(7 + with_depth, dtype)
    camera_row, coefficients = ti.types.vector(SIZE, dtype), ti.types.vector(3 * max(basis, 1), dtype)
    points = ti.types.ndarray(dtype=vec3, ndim=1)
    harmonics = ti.types.ndarray(dtype=coefficients, ndim=1)
    rows = ti.types.ndarray(dtype=row, ndim=1)
    cameras = ti.types.ndarray(dtype=camera_row, ndim=1)
    weights = ti.types.vector(max(basis, 1), dtype)

    @ti.kernel
    def forward(
        positions: points,  # (N, 3) world
        base: points,  # (N, 3)
        sh: harmonics,  # (N, 3 * basis), coefficient by coefficient; any row without
        radii: scalars, opacities: scalars,  # (N,)
        cameras_: cameras,  # (1, 16)
        splats: rows,  # (N, 7 or 8) out
        depths: scalars,  # (N,) out
    ):
        for i in range(positions.shape[0]):
            camera = cameras_[0]
            offset = positions[i] - center(camera)
            local = to_camera(camera, offset)
            z = -local[2]
            visible = z > NEAREST
            inv_z = 1.0 / ti.max(z, NEAREST)
            colour = base[i]
            if ti.static(basis > 0):
                b = sh_basis(basis, offset * (1.0 / ti.sqrt(ti.max(offset.dot(offset), 1e-20))))
                s = sh[i]
                for k in ti.static(range(basis)):
                    for c in ti.static(range(3)):
                        colour[c] += b[k] * s[3 * k + c]
            radius = radii[i]
            if ti.static(world_radii):
                radius *= camera[FX] * inv_z
            splat = row(0.0)
            splat[COLUMN] = camera[FX] * local[0] * inv_z + camera[CX]
            splat[ROW] = camera[CY] - camera[FY] * local[1] * inv_z
            splat[RADIUS], splat[OPACITY] = radius, ti.select(visible, opacities[i], 0.0)
            for c in ti.static(range(3)):
                splat[FEATURES + c] = colour[c]
            if ti.static(with_depth):
                splat[FEATURES + 3] = z
            splats[i] = splat
            depths[i] = ti.select(visible, z, NEAREST)

    @ti.kernel
    def backward(
        positions: points, sh: harmonics, radii: scalars, cameras_: cameras,
        grad_splats: rows,  # (N, 7 or 8)
        grad_depths: scalars,  # (N,)
        grad_positions: points, grad_sh: harmonics, grad_radii: scalars, grad_opacities: scalars,  # out
    ):
        for i in range(positions.shape[0]):
            camera = cameras_[0]
            g = grad_splats[i]
            offset = positions[i] - center(camera)
            local = to_camera(camera, offset)
            visible = -local[2] > NEAREST
            inv_z = 1.0 / ti.max(-local[2], NEAREST)
            gu, gv = g[COLUMN] * camera[FX], -g[ROW] * camera[FY]
            gz = grad_depths[i] - (gu * local[0] + gv * local[1]) * inv_z * inv_z
            if ti.static(with_depth):
                gz += g[FEATURES + 3]
            grad_radius = g[RADIUS]
            if ti.static(world_radii):
                grad_radius *= camera[FX] * inv_z
                gz -= grad_radius * radii[i] * inv_z
            grad_radii[i] = grad_radius
            grad_opacities[i] = ti.select(visible, g[OPACITY], 0.0)
            grad = vec3(0.0)
            for a in ti.static(range(3)):  # `to_world`, but for the order of the products: it decides the last bit
                grad[a] = camera[4 * a] * gu * inv_z + camera[4 * a + 1] * gv * inv_z - camera[4 * a + 2] * gz
            if ti.static(basis > 0):
                inv_length = 1.0 / ti.sqrt(ti.max(offset.dot(offset), 1e-20))
                direction = offset * inv_length
                b = sh_basis(basis, direction)
                s = sh[i]
                inner, outer = weights(0.0), coefficients(0.0)
                for k in ti.static(range(basis)):
                    inner[k] = s[3 * k] * g[FEATURES] + s[3 * k + 1] * g[FEATURES + 1] + s[3 * k + 2] * g[FEATURES + 2]
                    for c in ti.static(range(3)):
                        outer[3 * k + c] = b[k] * g[FEATURES + c]
                grad_sh[i] = outer
                turned = sh_gradient(basis, direction, inner)
                grad += (turned - direction * direction.dot(turned)) * inv_length
            grad_positions[i] = ti.select(visible, grad, vec3(0.0))

    return forward, backward


class _Project(torch.autograd.Function):
    @staticmethod
    def forward(ctx, positions, base, sh, radii, opacities, camera, world_radii, with_depth):
        ctx.set_materialize_grads(False)
        sh_rows = sh.flatten(1) if sh.shape[1] else positions  # never read without harmonics, but its rows must not be empty
        inputs = [t.detach().contiguous() for t in (positions, base, sh_rows, radii, opacities, camera[None])]
        count = positions.shape[0]
        splats, depths = positions.new_empty(count, 7 + with_depth), positions.new_empty(count)
        ctx.kernels = (taichi_type(positions), sh.shape[1], world_radii, with_depth)
        if count:
            _kernels(*ctx.kernels)[0](*inputs, splats, depths)
        positions, _, sh_rows, radii, _, camera = inputs
        ctx.save_for_backward(positions, sh_rows, radii, camera, depths)
        ctx.sh_shape = sh.shape
        return splats, depths

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_splats, grad_depths):
        positions, sh, radii, camera, _ = (t.detach() for t in ctx.saved_tensors)
        count = positions.shape[0]
        grad_splats = positions.new_zeros(count, 7 + ctx.kernels[-1]) if grad_splats is None else grad_splats.contiguous()
        grad_depths = positions.new_zeros(count) if grad_depths is None else grad_depths.contiguous()
        grads = [torch.empty_like(t) for t in (positions, sh, radii, radii)]
        if count:
            _kernels(*ctx.kernels)[1](positions, sh, radii, camera, grad_splats, grad_depths, *grads)
        grad_positions, grad_sh, grad_radii, grad_opacities = grads
        grad_sh = grad_sh.view(ctx.sh_shape) if ctx.sh_shape[1] else None
        return grad_positions, grad_splats[:, FEATURES : FEATURES + 3], grad_sh, grad_radii, grad_opacities, None, None, None


def project_points(
    positions: Tensor, base: Tensor, sh: Tensor | None, radii: Tensor, opacities: Tensor, camera: Tensor, *,
    world_radii: bool = False, with_depth: bool = False,
) -> tuple[Tensor, Tensor]:
    """Splat rows (N, 7) and depths (N,) of N points in one view; see the module's docstring.

    with_depth: the depth is repeated as an eighth column, a fourth channel to composite.

    positions (N, 3) world; base (N, 3) colours; sh (N, K, 3) with K = 1, 4 or 9 coefficients, or None; radii (N,) pixels, or
    world lengths where `world_radii`; opacities (N,); camera (16,) from `pack_camera`. Differentiable in all but the camera.
    Points at or behind the camera's plane get opacity 0 and no gradient. Raises ValueError on shapes that do not fit.
    """
    count = positions.shape[0]
    if sh is None:
        sh = positions.new_zeros(count, 0, 3)
    if positions.shape != (count, 3) or base.shape != (count, 3) or sh.shape not in [(count, k, 3) for k in (0, 1, 4, 9)]:
        raise ValueError(
            f"expected positions (N, 3), base (N, 3), sh (N, 1 | 4 | 9, 3); got {tuple(positions.shape)}, "
            f"{tuple(base.shape)}, {tuple(sh.shape)}"
        )
    if radii.shape != (count,) or opacities.shape != (count,) or camera.shape != (16,):
        raise ValueError(
            f"expected radii (N,), opacities (N,), camera (16,); got {tuple(radii.shape)}, {tuple(opacities.shape)}, "
            f"{tuple(camera.shape)}"
        )
    runtime.ensure_init()
    return _Project.apply(positions, base, sh, radii, opacities, camera, world_radii, with_depth)
