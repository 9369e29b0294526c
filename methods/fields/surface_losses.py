"""Losses that make a reflective field's density a surface whose normals its predicted ones follow, and its levels' schedule."""

import torch
from torch import Tensor

from methods.fields.reflective_options import ReflectiveOptions
from models.normals import density_normals
from models.rays import Ndc
from models.reflective_field import NORMAL, ReflectiveField
from models.repeatable import total

_FIRST_LEVELS = 2.0  # of the grid, that are shown at the start of training
_ALL_LEVELS_FROM = 0.3  # fraction of the steps after which all levels are shown


class SurfaceLosses:
    """Ref-NeRF's two losses of normals, sums along rays: with weights w, unit normals n of the density, predicted ones n' and the
    view direction d,

        normal_loss w (1 - n . n'),    orientation_loss w (max(0, n' . d)^2 + max(0, n . d)^2)

    so that both kinds of normals of what is visible face the camera. Weights get no gradient. Source: Verbin et al. 2022, eq. 11
    and 12, the first divided by 2 there; the second is of one kind there.
    """

    def __init__(self, field: ReflectiveField, ndc: Ndc | None, options: ReflectiveOptions):
        self.field, self.ndc, self.options = field, ndc, options

    def begin(self, done: float) -> None:
        """Show as many levels of the grid as is right for this fraction of the steps."""
        last = self.field.shape.levels
        self.field.show_levels(min(_FIRST_LEVELS + (last - _FIRST_LEVELS) * done / _ALL_LEVELS_FROM, last))

    def __call__(
        self, weights: Tensor, values: Tensor, positions: Tensor, view_directions: Tensor, features: Tensor | None = None
    ) -> Tensor:
        """The sum over samples with weights (M,), composited values (M, C), positions (M, 3) and view directions (M, 3);
        features: of the positions, if they are known."""
        weights, predicted = weights.detach(), values[:, NORMAL]
        normals = density_normals(self.field, positions, features, self.ndc)
        different = total(weights * (1 - (predicted * normals).sum(1)))
        away = [(each * view_directions).sum(1).clamp_min(0) for each in (predicted, normals)]
        turned = total(weights * (away[0].square() + away[1].square()))
        return self.options.normal_loss * different + self.options.orientation_loss * turned


def surface_losses(field: torch.nn.Module, ndc: Ndc | None, options: ReflectiveOptions) -> SurfaceLosses | None:
    """The losses of a field that reflects, None of another."""
    return SurfaceLosses(field, ndc, options) if isinstance(field, ReflectiveField) else None
