"""How the levels of a feature grid lie in one table."""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

_ROUND = 8  # levels start at multiples of this many rows


@dataclass(frozen=True)
class GridLayout:
    """L grids of vertices over the unit cube. Level l has resolution (rx, ry, rz) cells and (rx+1)(ry+1)(rz+1) vertices, x
    fastest; where that is more than `most_rows`, a power of two, vertices share rows by a hash:

        row = (x xor 2654435761 y xor 805459861 z) mod most_rows

    Source: Müller et al. 2022 (multi-resolution hash encoding), eq. 4.
    """

    resolutions: tuple[tuple[int, int, int], ...]
    most_rows: int

    def __post_init__(self):
        if self.most_rows < 8 or self.most_rows & (self.most_rows - 1):
            raise ValueError(f"most_rows is a power of two from 8 on; got {self.most_rows}")
        if not self.resolutions or min(min(r) for r in self.resolutions) < 1 or max(max(r) for r in self.resolutions) > 1 << 20:
            raise ValueError(f"a grid has levels with 1 to 2^20 cells an axis; got {self.resolutions}")

    @classmethod
    def hashed(cls, levels: int, coarsest: int, finest: int, log2_rows: int) -> "GridLayout":
        """Cubic levels from `coarsest` to `finest` cells an axis in geometric progression (Müller et al., eq. 2 and 3)."""
        growth = (finest / coarsest) ** (1 / max(levels - 1, 1))
        sides = [math.floor(coarsest * growth**level + 1e-9) for level in range(levels)]
        return cls(tuple((side,) * 3 for side in sides), 1 << log2_rows)

    @classmethod
    def dense(cls, x: int, y: int, z: int) -> "GridLayout":
        """One level of voxels without a hash."""
        vertices = (x + 1) * (y + 1) * (z + 1)
        return cls(((x, y, z),), 1 << max(3, (vertices - 1).bit_length()))

    @property
    def levels(self) -> int:
        return len(self.resolutions)

    @property
    def rows(self) -> int:
        """Rows of the table of all levels."""
        return int(self.table[-1, 3] + self._padded(self.levels - 1))

    def _vertices(self, level: int) -> int:
        x, y, z = self.resolutions[level]
        return (x + 1) * (y + 1) * (z + 1)

    def _padded(self, level: int) -> int:
        return -(-min(self._vertices(level), self.most_rows) // _ROUND) * _ROUND

    @cached_property
    def table(self) -> Tensor:
        """(L, 5) int32 for the kernels: cells in x, y, z; the level's first row; most_rows - 1 where hashed, else 0."""
        rows, first = [], 0
        for level, resolution in enumerate(self.resolutions):
            rows.append([*resolution, first, self.most_rows - 1 if self._vertices(level) > self.most_rows else 0])
            first += self._padded(level)
        return torch.tensor(rows, dtype=torch.int32)
