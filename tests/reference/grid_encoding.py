"""Plain-torch twin of taichi_kernels.grid_encoding: rows by the formula, interpolation axis after axis, autograd for the rest."""

import torch


def first_rows(layout):
    """(first row, rows) of each level, from the definition: levels after each other, each a multiple of 8 rows long."""
    first, spans = 0, []
    for x, y, z in layout.resolutions:
        rows = min((x + 1) * (y + 1) * (z + 1), layout.most_rows)
        spans.append((first, rows))
        first += -(-rows // 8) * 8
    return spans


def vertex_rows(x, y, z, resolution, most_rows):
    """Row numbers inside a level of integer vertices, int64 tensors."""
    rx, ry, rz = resolution
    if (rx + 1) * (ry + 1) * (rz + 1) <= most_rows:
        return x + (rx + 1) * (y + (ry + 1) * z)
    return (x ^ (y * 2654435761 % 2**32) ^ (z * 805459861 % 2**32)) % most_rows


def encode_grid(positions, table, layout):
    """(N, L F) with the meaning of the kernel's op."""
    levels = []
    for resolution, (first, _) in zip(layout.resolutions, first_rows(layout), strict=True):
        cells = torch.tensor(resolution, device=positions.device)
        in_cells = positions.clamp(0, 1) * cells
        low = torch.minimum(in_cells.detach().floor().long(), cells - 1)
        f = in_cells - low
        x, y, z = low.unbind(1)
        planes = []
        for dz in (0, 1):
            lines = []
            for dy in (0, 1):
                ends = [table[first + vertex_rows(x + dx, y + dy, z + dz, resolution, layout.most_rows)] for dx in (0, 1)]
                lines.append(ends[0] + f[:, :1] * (ends[1] - ends[0]))
            planes.append(lines[0] + f[:, 1:2] * (lines[1] - lines[0]))
        levels.append(planes[0] + f[:, 2:] * (planes[1] - planes[0]))
    return torch.cat(levels, 1)
