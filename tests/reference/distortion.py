"""Plain-torch twin of taichi_kernels.distortion: the double sum, ray by ray."""

import torch


def distortion(weights, starts, ends, offsets):
    """(R,) with the meaning of the kernel's op, packed samples only."""
    found = []
    for r in range(len(offsets) - 1):
        part = slice(int(offsets[r]), int(offsets[r + 1]))
        w, middle = weights[part], (starts[part] + ends[part]) / 2
        pairs = (w[:, None] * w * (middle[:, None] - middle).abs()).sum()
        found.append(pairs + (w**2 * (ends[part] - starts[part])).sum() / 3)
    return torch.stack(found)
