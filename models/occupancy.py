"""Which cells of a box are not empty: the densities found there lately, and the bits that marching reads."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from taichi_kernels.marching import Occupancy, Samples, march, pack_occupancy
from taichi_kernels.rays import box_intersection


class OccupancyGrid(nn.Module):
    """cells^3 cells of a box that rays are marched through; see `taichi_kernels.marching`.

    With several levels, there are as many cells of a box twice as large, and so on. Steps are as long as `step`, or as `cone`
    times the distance from the camera if that is longer. Rays begin at t = near.

    A cell keeps the largest density that was found in it, which decays at each update; it is occupied while that density times a
    step is above a threshold, or while the density is below 0: not evaluated yet. Cells that are not `open` stay empty. Source:
    Müller et al. 2022, appendix E.
    """

    box: Tensor
    density: Tensor
    open: Tensor
    occupied: Tensor

    def __init__(self, box: Tensor, *, cells: int = 128, step: float, levels: int = 1, cone: float = 0.0, near: float = 0.0):
        super().__init__()
        self.cells, self.step, self.levels, self.cone, self.near = cells, step, levels, cone, near  # step: world units
        self.register_buffer("box", box.clone())  # (2, 3) world, of level 0
        self.register_buffer("density", torch.zeros(levels, cells, cells, cells))
        self.register_buffer("open", torch.ones(levels, cells, cells, cells, dtype=torch.bool))
        self.register_buffer("occupied", self.open.clone())
        self._packed: Occupancy | None = None
        self.register_load_state_dict_post_hook(lambda grid, _: grid.set_occupied(grid.occupied))

    def restrict(self, open_: Tensor) -> None:
        """Open only these cells (cells, cells, cells), or (levels, cells, ...), in z, y, x; all others stay empty."""
        self.open = open_.view_as(self.open).to(self.open.device)
        self.set_occupied(self.open)

    def set_occupied(self, occupied: Tensor) -> None:
        """Say which cells (levels, cells, cells, cells) are marched through."""
        self.occupied, self._packed = occupied, None

    def _random_positions(self, numbers: Tensor, generator: torch.Generator) -> Tensor:
        """A random position (N, 3), world, in each of the cells (N,)."""
        g = self.cells
        index = torch.stack([numbers % g, numbers // g % g, numbers // g**2 % g], 1)
        unit = (index + torch.rand(len(numbers), 3, generator=generator).to(numbers.device)) / g
        if self.levels > 1:
            unit = (unit - 0.5) * 2.0 ** (numbers // g**3)[:, None] + 0.5
        return self.box[0] + unit * (self.box[1] - self.box[0])

    def _steps(self) -> Tensor | float:
        """The length of a step, world units, in cells of each level (levels, 1, 1, 1)."""
        if self.levels == 1:
            return self.step
        reach = float((self.box[1] - self.box[0]).max()) / 4  # half of the distance from the middle to a face
        steps = [max(self.step, self.cone * reach * 2**level) for level in range(self.levels)]
        return torch.tensor(steps, device=self.box.device)[:, None, None, None]

    @torch.no_grad()
    def update(
        self, density_at: Callable[[Tensor], Tensor], generator: torch.Generator, *, some: int, decay: float, threshold: float
    ) -> None:
        """Evaluate the density again: in all open cells, or in `some` random ones of them and twice as many occupied ones.

        density_at maps positions (N, 3) to densities (N,); threshold: of a step's optical thickness. At least one cell is open.
        """
        numbers = torch.nonzero(self.open.view(-1))[:, 0]
        if some:
            occupied = torch.nonzero(self.occupied.view(-1))[:, 0]
            groups = [(numbers, some), (occupied, 2 * some)]
            picked = [
                group[torch.randint(0, len(group), (n,), generator=generator).to(group.device)]
                for group, n in groups
                if len(group)
            ]
            numbers = torch.cat(picked)
        found = [density_at(self._random_positions(part, generator)) for part in numbers.split(1 << 18)]
        flat = self.density.view(-1)
        flat[numbers] = (flat[numbers] * decay).clamp_min(0)
        flat.scatter_reduce_(0, numbers, torch.cat(found), "amax")  # a cell may be among them more than once
        self.set_occupied((self.density * self._steps() > threshold) | ((self.density < 0) & self.open))

    def samples(
        self,
        origins: Tensor,
        directions: Tensor,
        jitter: Tensor,
        near: Tensor,
        far: Tensor,
        *,
        most: int = 1 << 20,
        stretch: float = 1.0,
    ) -> Samples:
        """March rays from near to far (R,) through the occupied cells, `most` samples each at most, in steps times `stretch`."""
        if self._packed is None:
            self._packed = pack_occupancy(self.occupied)
        steps = {"step": self.step * stretch, "cone": self.cone * stretch}
        return march(origins, directions, near, far, jitter, self._packed, self.box, **steps, most=most)

    def interval(self, origins: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        """Where rays enter and leave the box of the last level, (R,) and (R,) in t; they enter at `near` at the earliest."""
        if self.levels == 1:
            return box_intersection(origins, directions, self.box)
        middle = self.box.mean(0)
        near, far = box_intersection(origins, directions, middle + (self.box - middle) * 2.0 ** (self.levels - 1))
        return near.clamp_min(self.near), far
