"""A radiance field whose density is cheap and whose radiance is not: voxels for one, a hash grid and a network for the other.

Its purpose: samples of the density alone tell at which t a few calls of the radiance gain the most (models/monte_carlo.py).
"""

from dataclasses import asdict, dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from models.layers import check_grid, check_network, density_of, network, start_uniform
from models.repeatable import sigmoid
from models.volume import ShadedField
from taichi_kernels.grid_encoding import GridLayout, encode_grid, grid_gradient


@dataclass(frozen=True)
class VoxelShape:
    """How large the field is."""

    density_levels: int = 3
    density_coarsest: int = 32  # cells along an edge of the box
    density_log2_rows: int = 21  # of a level's table
    levels: int = 8  # of the radiance's grid
    features: int = 4  # a level
    coarsest: int = 16
    finest: int = 256  # also of the density
    log2_rows: int = 17
    hidden: int = 64  # units of a layer
    sh_degree: int = 3  # of the harmonics of the direction


class VoxelField(ShadedField):
    """Density and colour at points of a box.

    The logarithm of the density is a sum of a few levels of voxels, whose vertices have common values by a hash if there are more
    than 2^21; features of a hash grid and the spherical harmonics of the direction go through two hidden layers to the logit of
    the colour. A point outside the box has its nearest face's values.
    """

    field_word, shape_type = "voxels", VoxelShape
    box: Tensor
    density_cost = 0.25  # of a sample of density, in samples of radiance

    def __init__(self, box: Tensor, shape: VoxelShape, generator: torch.Generator):
        super().__init__()
        self.shape, self.in_bfloat16 = shape, False  # whether the network multiplies in bfloat16
        self.density_layout, self.layout = self._layouts(shape)
        self.register_buffer("box", box.clone())  # (2, 3) world
        sizes = self.sizes(shape)
        self.voxels = nn.Parameter(torch.zeros(*sizes["voxels"]))
        self.table = nn.Parameter((torch.rand(*sizes["table"], generator=generator) * 2 - 1) * 1e-4)
        layers = [start_uniform(size, generator) for name, size in sizes.items() if name.startswith("layers.")]
        self.layers = nn.ParameterList(layers)

    @staticmethod
    def _layouts(shape: VoxelShape) -> tuple[GridLayout, GridLayout]:
        """Of the density, and of the radiance."""
        coarsest = min(shape.density_coarsest, shape.finest)
        return (
            GridLayout.hashed(shape.density_levels, coarsest, shape.finest, shape.density_log2_rows),
            GridLayout.hashed(shape.levels, shape.coarsest, shape.finest, shape.log2_rows),
        )

    @classmethod
    def sizes(cls, shape: VoxelShape) -> dict[str, tuple[int, ...]]:
        """Shapes of the parameters, by their names. Raises ValueError for numbers that make no field."""
        check_grid(shape.density_levels, 1, shape.density_coarsest, shape.finest, shape.density_log2_rows)
        check_grid(shape.levels, shape.features, shape.coarsest, shape.finest, shape.log2_rows)
        check_network(shape.hidden, 0, shape.sh_degree)
        density, radiance = cls._layouts(shape)
        units = [shape.levels * shape.features + (shape.sh_degree + 1) ** 2, shape.hidden, shape.hidden, 3]
        layers = {f"layers.{i}": (outputs, inputs) for i, (inputs, outputs) in enumerate(pairwise(units))}
        return {"voxels": (density.rows, 1), "table": (radiance.rows, shape.features)} | layers

    def settings(self) -> dict:
        """The numbers that rebuild the field together with its tensors."""
        return asdict(self.shape)

    def describe(self) -> str:
        """The field's size, in words."""
        shape = self.shape
        return (
            f"{shape.density_levels} grids of up to {shape.finest}\u00b3 voxels for density, {shape.levels} of "
            f"{self.layout.rows:,} rows for radiance"
        )

    def encode(self, positions: Tensor) -> Tensor:
        """The levels' values (M, L) at positions (M, 3)."""
        return encode_grid(self._unit(positions), self.voxels, self.density_layout)

    def density(self, positions: Tensor, features: Tensor | None = None) -> Tensor:
        """Densities (M,) per world unit at positions (M, 3); features: `encode` of the positions, if it is known."""
        return density_of(encode_grid(self._unit(positions), self.voxels, self.density_layout, known=features).sum(1))

    def log_density_gradient(self, positions: Tensor, features: Tensor | None = None) -> Tensor:
        """The gradient (M, 3), per world unit, of the logarithm of the density at positions (M, 3), the sum of the levels'.

        Differentiable once in the parameters and the positions. features: not needed.
        """
        ones = self.voxels.new_ones(len(positions), self.density_layout.levels)
        return grid_gradient(self._unit(positions), self.voxels, self.density_layout, ones) / (self.box[1] - self.box[0])

    def code(self, positions: Tensor) -> Tensor:
        """The code of positions (M, 3) that `radiance` needs: the hash grid's features (M, L F)."""
        return encode_grid(self._unit(positions), self.table, self.layout)

    def density_and_code(self, positions: Tensor, features: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Both."""
        return self.density(positions, features), self.code(positions)

    def radiance(self, code: Tensor, directions: Tensor) -> Tensor:
        """Colours (M, 3) in [0, 1] from codes and the directions' harmonics (M, K)."""
        return sigmoid(network(torch.cat([code, directions], 1), *self.layers, in_bfloat16=self.in_bfloat16))

    def _unit(self, positions: Tensor) -> Tensor:
        return (positions - self.box[0]) / (self.box[1] - self.box[0])
