"""Plain-torch twin of taichi_kernels.projection.project_points."""

import torch


def basis(d):
    """Spherical harmonics of degree 0 to 2 at unit vectors (N, 3): (N, 9)."""
    x, y, z = d.unbind(-1)
    one = torch.ones_like(x)
    return torch.stack(
        [
            0.28209479177387814 * one,
            -0.4886025119029199 * y,
            0.4886025119029199 * z,
            -0.4886025119029199 * x,
            1.0925484305920792 * x * y,
            -1.0925484305920792 * y * z,
            0.31539156525252005 * (2 * z * z - x * x - y * y),
            -1.0925484305920792 * x * z,
            0.5462742152960396 * (x * x - y * y),
        ],
        -1,
    )


def project_points(positions, base, sh, radii, opacities, camera, *, world_radii=False, with_depth=False):
    """(splats (N, 7), depths (N,)) with the meaning of the kernel's op."""
    pose, (fx, fy, cx, cy) = camera[:12].view(3, 4), camera[12:]
    offset = positions - pose[:, 3]
    x, y, w = (offset @ pose[:, :3]).unbind(-1)
    visible = -w > 1e-4
    z = torch.where(visible, -w, 1e-4)
    colour = base
    if sh is not None and sh.shape[1]:
        b = basis(torch.nn.functional.normalize(offset, dim=-1))[:, : sh.shape[1]]
        colour = base + (b[:, :, None] * sh).sum(1)
    size = radii * fx / z if world_radii else radii
    rows = torch.stack([fx * x / z + cx, -fy * y / z + cy, size, torch.where(visible, opacities, 0)], -1)
    return torch.cat([rows, colour] + [z[:, None]] * with_depth, 1), z
