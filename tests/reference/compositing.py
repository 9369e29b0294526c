"""Plain-torch twin of taichi_kernels.compositing.composite: rays one after the other, sums by their definitions."""

import torch


def composite(densities, colours, starts, ends, *, offsets, lengths):
    """(colour, transmittance, depth, median, weights) with the meaning of the kernel's op, packed samples only."""
    outs, clears, depths, medians, weights = [], [], [], [], []
    for r in range(len(offsets) - 1):
        part = slice(int(offsets[r]), int(offsets[r + 1]))
        width = ends[part] - starts[part]
        thickness = densities[part] * lengths[r] * width
        before = torch.cat([thickness.new_zeros(1), thickness.cumsum(0)])
        w = torch.exp(-before[:-1]) * -torch.expm1(-thickness)
        safe = thickness.clamp_min(1e-4)
        mean_t = torch.where(thickness > 1e-4, 1 / safe - 1 / torch.expm1(safe), 0.5 - thickness / 12)
        outs.append((w[:, None] * colours[part]).sum(0))
        clears.append(torch.exp(-before[-1]))
        depths.append((w * (starts[part] + width * mean_t)).sum())
        weights.append(w)
        medians.append(_median(before.detach(), starts[part].detach(), width.detach()))
    return torch.stack(outs), torch.stack(clears), torch.stack(depths), torch.stack(medians), torch.cat(weights)


def _median(before, starts, width):
    half = torch.log(torch.tensor(2.0, dtype=before.dtype))
    for k in range(len(starts)):
        if before[k + 1] >= half:
            return starts[k] + width[k] * (half - before[k]) / (before[k + 1] - before[k])
    return torch.tensor(torch.inf, dtype=before.dtype, device=before.device)
