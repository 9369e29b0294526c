"""The fast radiance field: a hash grid of features and a small network that turns them into density and colour."""

from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from models.contraction import length, log_density_gradient, to_unit_cube
from models.layers import check_grid, check_network, density_of, network, start_uniform
from models.repeatable import linear, sigmoid
from models.volume import ShadedField
from taichi_kernels.grid_encoding import GridLayout, encode_grid, grid_gradient

FIRST_DENSITY = 1.0  # of a contracted field before training, per half edge of its box


@dataclass(frozen=True)
class GridShape:
    """How large the field is."""

    levels: int = 8
    features: int = 4  # a level
    coarsest: int = 16  # cells along an edge of the box
    finest: int = 256
    log2_rows: int = 18  # of a level's table
    hidden: int = 64  # units of a layer
    code: int = 15  # numbers that colours are made of, in addition to the direction
    sh_degree: int = 3  # of the harmonics of the direction
    contracted: bool = False  # whether the grids cover all of space, contracted around the box


class GridField(ShadedField):
    """Density and colour at points of a box.

    Features of all levels go through one hidden layer to the logarithm of the density and a code; the code and the spherical
    harmonics of the direction go through another to the logit of the colour. A point outside the box has its nearest face's
    values. Source: Müller et al. 2022, section 5.4.

    A contracted field covers all of space: the box is the middle of its grids, see `models.contraction`. Its densities are the
    network's over the distance to the middle, so that a ray gathers as much from h to 2h as from 2h to 4h before training,
    whatever the unit of the world is.
    """

    field_word, shape_type = "grid", GridShape
    box: Tensor
    density_cost = 1.0  # of a sample of density, in samples of radiance

    def __init__(self, box: Tensor, shape: GridShape, generator: torch.Generator):
        super().__init__()
        self.shape, self.in_bfloat16 = shape, False  # whether the network multiplies in bfloat16
        self.layout = self._layout(shape)
        self.register_buffer("box", box.clone())  # (2, 3) world
        sizes = self.sizes(shape)
        self.table = nn.Parameter((torch.rand(*sizes["table"], generator=generator) * 2 - 1) * 1e-4)
        self.hidden = nn.Parameter(start_uniform(sizes["hidden"], generator))
        self.out = nn.Parameter(start_uniform(sizes["out"], generator))
        self.colour_hidden = nn.Parameter(start_uniform(sizes["colour_hidden"], generator))
        self.colour_out = nn.Parameter(start_uniform(sizes["colour_out"], generator))

    @staticmethod
    def _layout(shape: GridShape) -> GridLayout:
        return GridLayout.hashed(shape.levels, shape.coarsest, shape.finest, shape.log2_rows)

    @classmethod
    def sizes(cls, shape: GridShape) -> dict[str, tuple[int, ...]]:
        """Shapes of the parameters, by their names. Raises ValueError for numbers that make no field."""
        check_grid(shape.levels, shape.features, shape.coarsest, shape.finest, shape.log2_rows)
        check_network(shape.hidden, shape.code, shape.sh_degree)
        return {
            "table": (cls._layout(shape).rows, shape.features),
            "hidden": (shape.hidden, shape.levels * shape.features),
            "out": (1 + shape.code, shape.hidden),
            "colour_hidden": (shape.hidden, shape.code + (shape.sh_degree + 1) ** 2),
            "colour_out": (3, shape.hidden),
        }

    def settings(self) -> dict:
        """The numbers that rebuild the field together with its tensors."""
        return asdict(self.shape)

    def describe(self) -> str:
        """The field's size, in words."""
        shape = self.shape
        return f"{shape.levels} grids of up to {shape.finest}\u00b3 cells, {self.layout.rows:,} rows of {shape.features} features"

    @property
    def _first_layer(self) -> Tensor:
        """The weights (hidden, L F) of the layer that features go through."""
        return self.hidden

    def encode(self, positions: Tensor) -> Tensor:
        """The grid's features (M, L F) at positions (M, 3)."""
        return encode_grid(self._unit(positions), self.table, self.layout)

    def density_and_code(self, positions: Tensor, features: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Densities (M,) per world unit at positions (M, 3), and their codes (M, ...) for `radiance`.

        features: `encode` of the positions, if it is known.
        """
        features = encode_grid(self._unit(positions), self.table, self.layout, known=features)
        raw = self._network(features, self._first_layer, self.out)
        return self._density_of(raw, positions), raw[:, 1:]

    def density(self, positions: Tensor, features: Tensor | None = None) -> Tensor:
        """The densities alone, which cost less."""
        features = encode_grid(self._unit(positions), self.table, self.layout, known=features)
        raw = self._network(features, self._first_layer, self.out[:1])
        return self._density_of(raw, positions)

    def log_density_gradient(self, positions: Tensor, features: Tensor | None = None) -> Tensor:
        """The gradient (M, 3), per world unit, of the logarithm of the density at positions (M, 3), in single precision.

        With features f, the hidden layer W and the density's row w it is df/dx^T W^T (w * [W f > 0]). Differentiable once in the
        parameters and the positions.
        """
        unit = self._unit(positions)
        features = encode_grid(unit, self.table, self.layout, known=features)
        active = (linear(features, self._first_layer) > 0).to(features)
        weights = linear(active * self.out[:1], self._first_layer.T)
        gradient = grid_gradient(unit, self.table, self.layout, weights)
        return log_density_gradient(positions, gradient, self.box, contracted=self.shape.contracted)

    def code(self, positions: Tensor) -> Tensor:
        """The code of positions (M, 3) that `radiance` needs."""
        return self._network(self.encode(positions), self._first_layer, self.out[1:])

    def _network(self, inputs: Tensor, *weights: Tensor) -> Tensor:
        return network(inputs, *weights, in_bfloat16=self.in_bfloat16)

    def _density_of(self, raw: Tensor, positions: Tensor) -> Tensor:
        densities = density_of(raw[:, 0])
        if not self.shape.contracted:
            return densities
        return densities * (FIRST_DENSITY / self._distance(positions))

    def _distance(self, positions: Tensor) -> Tensor:
        """The distance (M,) from the box's middle, at least half its edge, world units."""
        half = (self.box[1] - self.box[0]) / 2
        return (half.amax() * length((positions - self.box.mean(0)) / half).clamp_min(1))[:, 0]

    def _unit(self, positions: Tensor) -> Tensor:
        if self.shape.contracted:
            return to_unit_cube(positions, self.box)
        return (positions - self.box[0]) / (self.box[1] - self.box[0])

    def radiance(self, code: Tensor, directions: Tensor) -> Tensor:
        """Colours (M, 3) in [0, 1] from codes and the directions' harmonics (M, K)."""
        return sigmoid(self._network(torch.cat([code, directions], 1), self.colour_hidden, self.colour_out))
