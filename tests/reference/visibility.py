"""Twin of taichi_kernels.visibility.see: sums in double precision, ray by ray."""

import torch


def visible_samples(densities, starts, ends, offsets, lengths, clear, *, min_transmittance):
    """(index, offsets, transmittance), as lists."""
    index, kept, left = [], [0], []
    for r in range(len(lengths)):
        some = slice(int(offsets[r]), int(offsets[r + 1]))
        thickness = densities[some].double() * lengths[r].double() * (ends[some] - starts[some]).double()
        behind = clear[r].double() * torch.exp(-thickness.cumsum(0))
        before = torch.cat([clear[r : r + 1].double(), behind])
        count = int((before[:-1] > min_transmittance).sum())
        index += range(some.start, some.start + count)
        kept.append(len(index))
        left.append(float(before[count]))
    return index, kept, left
