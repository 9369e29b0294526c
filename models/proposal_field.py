"""A small field of density alone, which says where along a ray a large field is worth evaluating."""

from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from models.contraction import length, log_density_gradient, to_unit_cube
from models.grid_field import FIRST_DENSITY
from models.layers import check_grid, density_of
from models.rays import Rays
from taichi_kernels.grid_encoding import GridLayout, encode_grid, grid_gradient


@dataclass(frozen=True)
class ProposalShape:
    """How large a proposal field is."""

    levels: int = 2
    coarsest: int = 16  # cells along an edge of the box
    finest: int = 64
    log2_rows: int = 19  # of a level's table
    contracted: bool = False  # whether the grids cover all of space, contracted around the box


class ProposalField(nn.Module):
    """Density exp(sum of a number per level): grids alone, without a network, cost a twentieth of the large field's density.

    Source: the proposal networks of Barron et al. 2022 (mip-NeRF 360), of grids as in nerfacc.
    """

    box: Tensor

    def __init__(self, box: Tensor, shape: ProposalShape):
        super().__init__()
        self.shape, self.layout = shape, self._layout(shape)
        self.register_buffer("box", box.clone())  # (2, 3) world
        self.table = nn.Parameter(torch.zeros(*self.sizes(shape)["table"]))

    @staticmethod
    def _layout(shape: ProposalShape) -> GridLayout:
        return GridLayout.hashed(shape.levels, shape.coarsest, shape.finest, shape.log2_rows)

    @classmethod
    def sizes(cls, shape: ProposalShape) -> dict[str, tuple[int, ...]]:
        """Shapes of the parameters, by their names. Raises ValueError for numbers that make no field."""
        check_grid(shape.levels, 1, shape.coarsest, shape.finest, shape.log2_rows)
        return {"table": (cls._layout(shape).rows, 1)}

    def settings(self) -> dict:
        """The numbers that rebuild the field together with its tensors."""
        return asdict(self.shape)

    def density(self, positions: Tensor) -> Tensor:
        """Densities (M,) per world unit at positions (M, 3); differentiable in the table."""
        low, high = self.box
        densities = density_of(encode_grid(self._unit(positions), self.table, self.layout).sum(1))
        half = (high - low) / 2
        if not self.shape.contracted:
            return densities * (FIRST_DENSITY / half.amax())
        distance = half.amax() * length((positions - self.box.mean(0)) / half).clamp_min(1)
        return densities * (FIRST_DENSITY / distance[:, 0])

    def of_intervals(self, rays: Rays, edges: Tensor) -> Tensor:
        """Densities (R, N) per world unit in the middles of the intervals between edges (R, N + 1), t."""
        return self.density(rays.middles(edges)).view(len(edges), edges.shape[1] - 1)

    def log_density_gradient(self, positions: Tensor, features: Tensor | None = None) -> Tensor:
        """The gradient (M, 3), per world unit, of the logarithm of the density at positions (M, 3); features are not used."""
        weights = self.table.new_ones(len(positions), self.shape.levels)
        gradient = grid_gradient(self._unit(positions), self.table, self.layout, weights)
        return log_density_gradient(positions, gradient, self.box, contracted=self.shape.contracted)

    def _unit(self, positions: Tensor) -> Tensor:
        """Positions (M, 3) in the grids' unit cube."""
        low, high = self.box
        return to_unit_cube(positions, self.box) if self.shape.contracted else (positions - low) / (high - low)
