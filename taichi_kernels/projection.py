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
from taichi_kernels.spherical_harmonics import sh_basis, sh_gradient
from taichi_kernels.splatting.binning import taichi_type

NEAREST = 1e-4  # world units: points nearer to the camera's plane, or behind it, are not drawn


def pack_camera(intrinsics: Tensor, camera_to_world: Tensor) -> Tensor:
    """One view's camera as the 16 numbers the kernels take: [R | t] row by row, then fx, fy, cx, cy."""
    k = intrinsics
    return torch.cat([camera_to_world.reshape(12), torch.stack([k[0, 0], k[1, 1], k[0, 2], k[1, 2]])]).contiguous()


@cache
def _kernels(dtype, basis: int, world_radii: bool):
    array1 = ti.types.ndarray(dtype=dtype, ndim=1)
    array2 = ti.types.ndarray(dtype=dtype, ndim=2)
    vec3 = ti.types.vector(3, dtype)
    coefficients = ti.types.vector(max(basis, 1), dtype)

    @ti.func
    def to_camera(positions: ti.template(), camera: ti.template(), i):
        offset = vec3(0.0)
        for a in ti.static(range(3)):
            offset[a] = positions[i, a] - camera[4 * a + 3]
        local = vec3(0.0)
        for a in ti.static(range(3)):
            local[a] = camera[a] * offset[0] + camera[4 + a] * offset[1] + camera[8 + a] * offset[2]
        return offset, local

    @ti.kernel
    def forward(
        positions: array2,  # (N, 3) world
        base: array2,  # (N, 3)
        sh: array2,  # (N, 3 * basis), coefficient by coefficient; (0, 0) without
        radii: array1, opacities: array1,  # (N,)
        camera: array1,  # (16,)
        splats: array2,  # (N, 7) out
        depths: array1,  # (N,) out
    ):
        for i in range(positions.shape[0]):
            offset, local = to_camera(positions, camera, i)
            z = -local[2]
            visible = z > NEAREST
            inv_z = 1.0 / ti.max(z, NEAREST)
            splats[i, 0] = camera[12] * local[0] * inv_z + camera[14]
            splats[i, 1] = -camera[13] * local[1] * inv_z + camera[15]
            splats[i, 2] = radii[i] * camera[12] * inv_z if ti.static(world_radii) else radii[i]
            splats[i, 3] = ti.select(visible, opacities[i], 0.0)
            depths[i] = ti.select(visible, z, NEAREST)
            colour = vec3(0.0)
            if ti.static(basis > 0):
                direction = offset * (1.0 / ti.sqrt(ti.max(offset.dot(offset), 1e-20)))
                b = sh_basis(basis, direction)
                for k in ti.static(range(basis)):
                    for c in ti.static(range(3)):
                        colour[c] += b[k] * sh[i, 3 * k + c]
            for c in ti.static(range(3)):
                splats[i, 4 + c] = base[i, c] + colour[c]

    @ti.kernel
    def backward(
        positions: array2, sh: array2, radii: array1, camera: array1,
        grad_splats: array2,  # (N, 7)
        grad_depths: array1,  # (N,)
        grad_positions: array2, grad_sh: array2, grad_radii: array1, grad_opacities: array1,  # out
    ):
        for i in range(positions.shape[0]):
            offset, local = to_camera(positions, camera, i)
            visible = -local[2] > NEAREST
            inv_z = 1.0 / ti.max(-local[2], NEAREST)
            gu, gv = grad_splats[i, 0] * camera[12], -grad_splats[i, 1] * camera[13]
            gz = -(gu * local[0] + gv * local[1]) * inv_z * inv_z + grad_depths[i]
            grad_radius = grad_splats[i, 2]
            if ti.static(world_radii):
                grad_radius *= camera[12] * inv_z
                gz -= grad_radius * radii[i] * inv_z
            grad_radii[i] = grad_radius
            grad_opacities[i] = ti.select(visible, grad_splats[i, 3], 0.0)
            local_grad = vec3(0.0)
            local_grad[0], local_grad[1], local_grad[2] = gu * inv_z, gv * inv_z, -gz
            grad = vec3(0.0)
            for a in ti.static(range(3)):
                for b in ti.static(range(3)):
                    grad[a] += camera[4 * a + b] * local_grad[b]
            if ti.static(basis > 0):
                inv_length = 1.0 / ti.sqrt(ti.max(offset.dot(offset), 1e-20))
                direction = offset * inv_length
                b = sh_basis(basis, direction)
                inner = coefficients(0.0)
                for k in ti.static(range(basis)):
                    for c in ti.static(range(3)):
                        inner[k] += sh[i, 3 * k + c] * grad_splats[i, 4 + c]
                        grad_sh[i, 3 * k + c] = b[k] * grad_splats[i, 4 + c]
                g = sh_gradient(basis, direction, inner)
                grad += (g - direction * direction.dot(g)) * inv_length
            for a in ti.static(range(3)):
                grad_positions[i, a] = ti.select(visible, grad[a], 0.0)

    return forward, backward


class _Project(torch.autograd.Function):
    @staticmethod
    def forward(ctx, positions, base, sh, radii, opacities, camera, world_radii):
        ctx.set_materialize_grads(False)
        inputs = [t.detach().contiguous() for t in (positions, base, sh.flatten(1), radii, opacities, camera)]
        count = positions.shape[0]
        splats, depths = positions.new_empty(count, 7), positions.new_empty(count)
        ctx.kernels = (taichi_type(positions), sh.shape[1], world_radii)
        if count:
            _kernels(*ctx.kernels)[0](*inputs, splats, depths)
        positions, _, sh_rows, radii, _, camera = inputs
        ctx.save_for_backward(positions, sh_rows, radii, camera)
        ctx.sh_shape = sh.shape
        return splats, depths

    @staticmethod
    def backward(ctx, grad_splats, grad_depths):
        positions, sh, radii, camera = (t.detach() for t in ctx.saved_tensors)
        count = positions.shape[0]
        grad_splats = positions.new_zeros(count, 7) if grad_splats is None else grad_splats.contiguous()
        grad_depths = positions.new_zeros(count) if grad_depths is None else grad_depths.contiguous()
        grads = [torch.empty_like(positions), torch.empty_like(sh), torch.empty_like(radii), torch.empty_like(radii)]
        if count:
            _kernels(*ctx.kernels)[1](positions, sh, radii, camera, grad_splats, grad_depths, *grads)
        grad_positions, grad_sh, grad_radii, grad_opacities = grads
        return grad_positions, grad_splats[:, 4:], grad_sh.view(ctx.sh_shape), grad_radii, grad_opacities, None, None


def project_points(
    positions: Tensor, base: Tensor, sh: Tensor | None, radii: Tensor, opacities: Tensor, camera: Tensor, *,
    world_radii: bool = False,
) -> tuple[Tensor, Tensor]:
    """Splat rows (N, 7) and depths (N,) of N points in one view; see the module's docstring.

    positions (N, 3) world; base (N, 3) colours; sh (N, K, 3) with K = 1, 4 or 9 coefficients, or None; radii (N,) pixels, or world
    lengths where `world_radii`; opacities (N,); camera (16,) from `pack_camera`. Differentiable in all but the camera. Points
    at or behind the camera's plane get opacity 0 and no gradient. Raises ValueError on shapes that do not fit.
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
    return _Project.apply(positions, base, sh, radii, opacities, camera, world_radii)
