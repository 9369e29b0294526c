"""Which cells of a box hold anything: densities seen there lately, and the bits that marching reads."""

import torch
from torch import Tensor, nn

from taichi_kernels.marching import WORD, Samples, march, pack_occupancy
from taichi_kernels.rays import box_intersection


class OccupancyGrid(nn.Module):
    """Levels of cells^3 cells, level k over the box made 2^k times larger; see `taichi_kernels.marching`.

    A cell keeps the largest density found in it, which decays by `decay` at each update; it is occupied where that times a step
    exceeds a threshold, the mean of all cells but at most `threshold`. Source: Müller et al. 2022, appendix E; nerfacc.
    """

    decay = 0.95
    threshold = 0.01  # optical thickness of a step

    def __init__(self, box: Tensor, *, cells: int = 128, levels: int = 1, step: float):
        super().__init__()
        self.cells, self.levels, self.step = cells, levels, step
        self.register_buffer("box", box.clone())
        self.register_buffer("density", torch.zeros(levels, cells, cells, cells))
        self.register_buffer("bits", torch.full((levels * cells**3 // WORD,), -1, dtype=torch.int32))

    @property
    def outer_box(self) -> Tensor:
        """The box of the last level, (2, 3)."""
        center, half = self.box.mean(0), (self.box[1] - self.box[0]) / 2 * 2 ** (self.levels - 1)
        return torch.stack([center - half, center + half])

    def places(self, cells: Tensor, generator: torch.Generator) -> Tensor:
        """A random place (N, 3), world, in each of the cells (N,), numbered level by level, then z, y and x."""
        g = self.cells
        index = torch.stack([cells % g, cells // g % g, cells // g**2 % g], 1)
        unit = (index + torch.rand(len(cells), 3, generator=generator).to(cells.device)) / g * 2 - 1
        half = (self.box[1] - self.box[0]) / 2 * (2.0 ** (cells // g**3))[:, None]
        return self.box.mean(0) + unit * half

    @torch.no_grad()
    def update(self, density_at, cells: Tensor, generator: torch.Generator) -> None:
        """Look at the density in some cells, anew; density_at maps places (N, 3) to densities (N,)."""
        found = torch.cat([density_at(self.places(part, generator)) for part in cells.split(1 << 18)])
        flat = self.density.view(-1)
        flat[cells] = torch.maximum(flat[cells] * self.decay, found)
        limit = min(float(flat.mean()) * self.step, self.threshold)
        self.bits = pack_occupancy(self.density * self.step > limit)

    def occupied(self) -> Tensor:
        """Numbers of the occupied cells, (K,) int64."""
        shifts = torch.arange(WORD, dtype=torch.int32, device=self.bits.device)
        return torch.nonzero((self.bits[:, None] >> shifts & 1).view(-1))[:, 0]

    def samples(
        self, origins: Tensor, directions: Tensor, jitter: Tensor, near: Tensor, far: Tensor, most: int = 1 << 20,
    ) -> Samples:
        """March rays from near to far (R,) through the occupied cells."""
        return march(origins, directions, near, far, jitter, self.bits, self.box, cells=self.cells, levels=self.levels,
                     step=self.step, most=most)

    def interval(self, origins: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        """Where rays enter and leave the grid, (R,) and (R,) in t."""
        return box_intersection(origins, directions, self.outer_box)
