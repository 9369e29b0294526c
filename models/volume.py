"""The three parts of a volume rendering: a field, a sampler that chooses the positions, an integrator that sums up.

The original's two networks are `NetworkField`s, with the samplers in models/fine_samplers.py; the grid field and the voxels are
sampled by `models.occupancy.OccupancyGrid`. Integrators are quadrature (`taichi_kernels.compositing.composite`) and Monte Carlo
(`models.monte_carlo.integrate`). A new method chooses among them or adds one.
"""

from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from models.fine_samplers import CoarsePass, FineSamples
from models.rays import Rays
from taichi_kernels.compositing import Composite
from taichi_kernels.inverse_transform import Drawn


class RayRendering(NamedTuple):
    """R rays rendered, over nothing."""

    colour: Tensor  # (R, 3), premultiplied by alpha
    transmittance: Tensor  # (R,) 1 - alpha
    depth: Tensor  # (R,) t, weighted: divide by alpha for a mean
    normal: Tensor | None = None  # (R, 3) world, weighted; None if the field has no normals


class Field(Protocol):
    """Density and radiance of space; differentiable in its parameters."""

    def encode(self, positions: Tensor) -> Tensor:
        """Features (M, F) of positions (M, 3), which the other functions accept instead of computing them again."""
        ...

    def density(self, positions: Tensor, features: Tensor | None = None) -> Tensor:
        """Densities (M,), a world unit, at positions (M, 3)."""
        ...

    def log_density_gradient(self, positions: Tensor, features: Tensor | None = None) -> Tensor:
        """The gradient (M, 3), per world unit, of the logarithm of the density at positions (M, 3)."""
        ...

    def density_and_code(self, positions: Tensor, features: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Densities (M,), and the code (M, ...) that `radiance` needs of the positions."""
        ...

    def radiance(self, code: Tensor, directions: Tensor) -> Tensor:
        """Colours (M, 3) in [0, 1], seen along encoded directions (M, K)."""
        ...


class ShadedField(nn.Module):
    """A field whose samples' values are summed up along rays and then shaded. Here the values are the colours themselves."""

    normals: slice | None = None  # the channels of predicted normals, world, if there are any

    @property
    def channels(self) -> int:
        """How many numbers of a sample are composited."""
        return 3

    def shade(self, values: Tensor, alpha: Tensor, view_directions: Tensor) -> Tensor:
        """Colours (R, 3), premultiplied, of composited values (R, channels): the same."""
        del alpha, view_directions
        return values


class Sampler(Protocol):
    """Chooses the t of rays at which a fine field is evaluated."""

    def samples(self, rays: Rays, coarse: CoarsePass, generator: torch.Generator | None) -> FineSamples:
        """Samples from a coarse pass; at random with a generator, else always the same."""
        ...


class Integrator(Protocol):
    """Sums up colours at samples that were drawn from a density."""

    def __call__(self, drawn: Drawn, t: Tensor, colours: Tensor) -> Composite:
        """The composite of R rays, from colours (R, K, 3) at t (R, K)."""
        ...
