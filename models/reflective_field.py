"""A grid field of surfaces that reflect: materials at each sample, one reflection for each ray.

The grid gives density and a material: light of its own, tint, roughness, a normal, and numbers that tell places of one material
apart. Materials are composited along the ray first; what the mean surface reflects is then evaluated once (deferred shading), so
that a reflection is as sharp as the normals are smooth, and costs one evaluation for a pixel:

    colour = srgb(own light + tint * specular(numbers, IDE(reflected direction, roughness), normal . view))

Its own light depends on the view direction, as a plain grid field's colour does: it holds what one reflection cannot explain.

Sources: Verbin et al. 2022 (Ref-NeRF) for the parts; Ye et al. 2024 (3DGS-DR) for shading after compositing; Li et al. 2023
(Neuralangelo) for showing coarse levels first.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.checks import check_number
from models.grid_field import GridField, GridShape
from models.layers import start_uniform
from models.repeatable import sigmoid, softplus
from taichi_kernels.reflections import MOST_LEVELS, columns, encode_reflections

LIGHT, TINT, ROUGHNESS, NORMAL = slice(0, 3), slice(3, 6), slice(6, 7), slice(7, 10)  # of a material's channels
FIRST_LEVELS = 2.0  # of the grid, that a new field shows
_OTHERS = 10  # the first of its other numbers
_FROM_NETWORK = _OTHERS - 3  # the density's network gives all but the light


@dataclass(frozen=True)
class ReflectiveShape(GridShape):
    """How large the field is. `code`: channels of a material, but for its light."""

    ide_levels: int = 4  # of the reflected directions' encoding
    srgb: bool = False  # whether colours are linear light that is shown through the sRGB curve


class ReflectiveField(GridField):
    """Density and material at points of a box; see the module's docstring."""

    field_word, shape_type = "reflective", ReflectiveShape
    normals = NORMAL
    shape: ReflectiveShape
    level_weights: Tensor

    @classmethod
    def sizes(cls, shape: ReflectiveShape) -> dict[str, tuple[int, ...]]:
        """Shapes of the tensors, by their names. Raises ValueError for numbers that make no field."""
        check_number("its levels of directions", shape.ide_levels, 1, MOST_LEVELS, whole=True)
        check_number("its material's channels", shape.code, _FROM_NETWORK, 1 << 16, whole=True)
        others, hidden = shape.code - _FROM_NETWORK, shape.hidden
        own = {
            "colour_hidden": (hidden, others + (shape.sh_degree + 1) ** 2),  # of the light
            "specular_hidden": (hidden, others + columns(shape.ide_levels) + 1),
            "specular_middle": (hidden, hidden),
            "specular_out": (3, hidden),
            "level_weights": (shape.levels,),
        }
        return super().sizes(shape) | own

    def __init__(self, box: Tensor, shape: ReflectiveShape, generator: torch.Generator):
        super().__init__(box, shape, generator)
        sizes = self.sizes(shape)
        self.specular_hidden, self.specular_middle, self.specular_out = (
            nn.Parameter(start_uniform(sizes[f"specular_{name}"], generator)) for name in ("hidden", "middle", "out")
        )
        self.register_buffer("level_weights", torch.ones(shape.levels))

    @property
    def channels(self) -> int:
        """How many numbers of a sample are composited: those of a material."""
        return 3 + self.shape.code

    def show_levels(self, count: float) -> None:
        """Use the `count` coarsest levels of the grid alone, the last of them in part: surfaces that start smooth stay so."""
        levels = torch.arange(self.shape.levels, device=self.level_weights.device)
        self.level_weights.copy_((count - levels).clamp(0, 1))

    @property
    def _first_layer(self) -> Tensor:
        return self.hidden * self.level_weights.repeat_interleave(self.shape.features)

    def radiance(self, code: Tensor, directions: Tensor) -> Tensor:
        """Materials (M, channels) from the network's numbers (M, code) and the directions' harmonics (M, K)."""
        tint, rough, normal, others = code.split([3, 1, 3, code.shape[1] - _FROM_NETWORK], 1)
        light = sigmoid(self._network(torch.cat([others, directions], 1), self.colour_hidden, self.colour_out))
        unit = torch.nn.functional.normalize(normal, dim=1, eps=1e-6)
        light = from_srgb(light) if self.shape.srgb else light
        return torch.cat([light, sigmoid(tint), softplus(rough - 1), unit, others], 1)

    def shade(self, values: Tensor, alpha: Tensor, view_directions: Tensor) -> Tensor:
        """Colours (R, 3), premultiplied, of composited materials (R, channels) that cover alpha (R,) of a pixel, looked at along
        unit directions (R, 3)."""
        alpha = alpha[:, None]
        materials = values / alpha.clamp_min(1e-6)
        normals = torch.nn.functional.normalize(materials[:, NORMAL], dim=1, eps=1e-6)
        facing = -(normals * view_directions).sum(1, keepdim=True)
        reflected = view_directions + 2 * facing * normals
        encoded = encode_reflections(reflected, materials[:, ROUGHNESS.start].clamp_min(0), self.shape.ide_levels)
        inputs = torch.cat([materials[:, _OTHERS:], encoded, facing], 1)
        specular = sigmoid(self._network(inputs, self.specular_hidden, self.specular_middle, self.specular_out))
        light = materials[:, LIGHT] + materials[:, TINT] * specular
        return alpha * (to_srgb(light) if self.shape.srgb else light.clamp(0, 1))


def to_srgb(light: Tensor) -> Tensor:
    """Display values in [0, 1] of linear light: 323/25 x up to .0031308, then (211 x^(5/12) - 11) / 200."""
    safe = light.clamp_min(0.0031308)
    return torch.where(light <= 0.0031308, light * (323 / 25), (211 * safe ** (5 / 12) - 11) / 200).clamp(0, 1)


def from_srgb(shown: Tensor) -> Tensor:
    """Linear light of display values in [0, 1]: the inverse of `to_srgb`."""
    return torch.where(shown <= 323 / 25 * 0.0031308, shown * (25 / 323), ((200 * shown.clamp_min(0.04) + 11) / 211) ** (12 / 5))
