"""A grid field of surfaces that reflect: materials at each sample, one reflection for each ray.

The grid gives density and a material: diffuse colour, tint, roughness, a normal, and numbers that tell places of one material
apart. Materials are composited along the ray first; what the mean surface reflects is then evaluated once (deferred shading), so
that a reflection is as sharp as the normals are smooth, and costs one evaluation for a pixel:

    colour = srgb(diffuse + tint * specular(numbers, IDE(reflected direction, roughness), normal . view))

Source: Verbin et al. 2022 (Ref-NeRF) for the parts; Ye et al. 2024 (3DGS-DR) for shading after compositing.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.checks import check_number
from models.grid_field import GridField, GridShape
from models.layers import start_uniform
from models.repeatable import linear, sigmoid, softplus
from taichi_kernels.reflections import MOST_LEVELS, columns, encode_reflections

DIFFUSE, TINT, ROUGHNESS, NORMAL = slice(0, 3), slice(3, 6), slice(6, 7), slice(7, 10)  # of a material's channels
_OTHERS = 10  # the first of its other numbers


@dataclass(frozen=True)
class ReflectiveShape(GridShape):
    """How large the field is. `code`: channels of a material; `sh_degree` is not used."""

    code: int = 18
    ide_levels: int = 5  # of the reflected directions' encoding
    srgb: bool = True  # whether colours are linear light that is shown through the sRGB curve


class ReflectiveField(GridField):
    """Density and material at points of a box; see the module's docstring."""

    field_word, shape_type = "reflective", ReflectiveShape
    shape: ReflectiveShape

    @classmethod
    def sizes(cls, shape: ReflectiveShape) -> dict[str, tuple[int, ...]]:
        """Shapes of the parameters, by their names. Raises ValueError for numbers that make no field."""
        check_number("its levels of directions", shape.ide_levels, 1, MOST_LEVELS, whole=True)
        check_number("its material's channels", shape.code, _OTHERS, 1 << 16, whole=True)
        inputs = shape.code - _OTHERS + columns(shape.ide_levels) + 1
        own = {"colour_hidden": (shape.hidden, inputs), "colour_middle": (shape.hidden, shape.hidden)}
        return super().sizes(shape) | own

    def __init__(self, box: Tensor, shape: ReflectiveShape, generator: torch.Generator):
        super().__init__(box, shape, generator)
        self.colour_middle = nn.Parameter(start_uniform((shape.hidden, shape.hidden), generator))

    def density_and_material(self, positions: Tensor, features: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Densities (M,) and materials (M, code) at positions (M, 3): what is composited along a ray."""
        densities, raw = self.density_and_code(positions, features)
        return (
            densities,
            torch.cat(
                [
                    sigmoid(raw[:, DIFFUSE] - 1.1),  # log 3: a quarter
                    sigmoid(raw[:, TINT]),
                    softplus(raw[:, ROUGHNESS] - 1),
                    torch.nn.functional.normalize(raw[:, NORMAL], dim=1, eps=1e-6),
                    raw[:, _OTHERS:],
                ],
                1,
            ),
        )

    def shade(self, materials: Tensor, view_directions: Tensor) -> Tensor:
        """Colours (R, 3) of mean materials (R, code), looked at along unit directions (R, 3)."""
        normals = torch.nn.functional.normalize(materials[:, NORMAL], dim=1, eps=1e-6)
        facing = -(normals * view_directions).sum(1, keepdim=True)
        reflected = view_directions + 2 * facing * normals
        encoded = encode_reflections(reflected, materials[:, ROUGHNESS.start].clamp_min(0), self.shape.ide_levels)
        hidden = torch.relu(linear(torch.cat([materials[:, _OTHERS:], encoded, facing], 1), self.colour_hidden))
        specular = sigmoid(linear(torch.relu(linear(hidden, self.colour_middle)), self.colour_out))
        light = materials[:, DIFFUSE] + materials[:, TINT] * specular
        return srgb(light) if self.shape.srgb else light.clamp(0, 1)


def srgb(light: Tensor) -> Tensor:
    """Display values in [0, 1] of linear light: 323/25 x up to .0031308, then (211 x^(5/12) - 11) / 200."""
    safe = light.clamp_min(0.0031308)
    return torch.where(light <= 0.0031308, light * (323 / 25), (211 * safe ** (5 / 12) - 11) / 200).clamp(0, 1)
