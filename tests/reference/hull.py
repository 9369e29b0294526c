"""Plain-torch twin of taichi_kernels.hull.carve_hull: every cell against every view by grid_sample."""

import torch


def carve_hull(xs, ys, zs, cameras, masks, *, margin=0.0, allowed_misses=0):
    """Indices (M, 3) of kept cells, with the meaning of the kernel's op."""
    grid = torch.stack(torch.meshgrid(xs, ys, zs, indexing="ij"), -1).reshape(-1, 3)
    misses = torch.zeros(len(grid), dtype=torch.int64)
    for camera, mask in zip(cameras, masks, strict=True):
        height, width = mask.shape
        pose, (fx, fy, cx, cy) = camera[:12].view(3, 4), camera[12:]
        x, y, w = ((grid - pose[:, 3]) @ pose[:, :3]).unbind(-1)
        u = 2 * (fx * x / -w + cx) / width - 1
        v = 2 * (-fy * y / -w + cy) / height - 1
        far = torch.maximum(u.abs(), v.abs())
        image = (mask > 0).float()[None, None]
        sample = torch.nn.functional.grid_sample(image, torch.stack([u, v], -1)[None, None], align_corners=False)[0, 0, 0]
        hit = ((far <= 1) & (sample > 0)) | ((far > 1) & (far <= 1 + margin))
        misses += ~(hit & (w < 0))
    shape = (len(xs), len(ys), len(zs))
    return torch.nonzero((misses <= allowed_misses).view(shape))
