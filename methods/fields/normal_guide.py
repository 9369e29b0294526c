"""Normals of a blurred density: what predicted normals follow until the density's own are good enough."""

import math

import torch
from torch import Tensor

from models.marched_field import MarchedField
from models.proposed_field import ProposedField

CELLS, CELLS_OF_PROPOSALS = 64, 32  # along an edge of the box
_BLUR = 1.5 / 64  # standard deviation, of the box's edges
_HULL_FADES, _HULL_FADES_WITH_PROPOSALS = 0.06, 0.4  # fraction of the steps after which the hull fades, until twice that
UNTIL = 0.8  # fraction of the steps in which normals are guided


class NormalGuide:
    """n = -grad b / |grad b| with b the opacity of cells, blurred by a Gaussian.

    A mirror shows its surroundings, so that its colours say little about its shape before its normals are known, and a density
    learned from them has normals that point anywhere. Blurred, they are those of a smooth surface: enough to learn from what is
    reflected, which corrects them then. The visual hull, if there is one, counts as opaque at first, less and less.
    """

    def __init__(self, model: MarchedField | ProposedField):
        self.model = model
        self.hull: Tensor | None = None  # (n, n, n) in z, y, x: cells of the box that alpha channels leave open
        self._gradient: Tensor | None = None  # (1, 3, n, n, n)

    @property
    def ready(self) -> bool:
        """Whether it has looked at the density."""
        return self._gradient is not None

    def update(self, done: float) -> None:
        """Look at the density again, after this fraction of the steps."""
        by_proposals = isinstance(self.model, ProposedField)
        opacity, box = self.model.coarse_opacity(CELLS_OF_PROPOSALS if by_proposals else CELLS), self.model.field.box
        if self.hull is not None:
            hull = torch.nn.functional.adaptive_avg_pool3d(self.hull.to(opacity)[None], len(opacity))[0]
            fades = _HULL_FADES_WITH_PROPOSALS if by_proposals else _HULL_FADES
            opacity = torch.lerp(opacity, hull, min(max(2 - done / fades, 0.0), 1.0) if opacity.any() else 1.0)
        beyond = "replicate" if self.model.contracted or self.model.ndc else "constant"  # space goes on, or is empty
        slopes = torch.gradient(_blurred(opacity, _BLUR * len(opacity), beyond))[::-1]  # along x, y, z
        self._gradient = torch.stack([slope / edge for slope, edge in zip(slopes, box[1] - box[0], strict=True)])[None]

    @torch.no_grad()
    def __call__(self, positions: Tensor) -> Tensor:
        """Unit normals (M, 3), world, at positions (M, 3) in the model's coordinates; 0 outside the box. Raises RuntimeError
        before the first `update`."""
        if self._gradient is None:
            raise RuntimeError("update comes first")
        box = self.model.field.box
        unit = (positions - box[0]) / (box[1] - box[0]) * 2 - 1
        found = torch.nn.functional.grid_sample(self._gradient, unit.view(1, -1, 1, 1, 3), align_corners=False)
        gradient = found.view(3, -1).T
        if self.model.ndc is not None:
            gradient = self.model.ndc.gradient_to_world(positions, gradient)
        return torch.nn.functional.normalize(-gradient, dim=1, eps=1e-20)


def _blurred(values: Tensor, width: float, beyond: str) -> Tensor:
    """Values (n, n, n) blurred by a Gaussian of this standard deviation, in cells; beyond: the padding's mode."""
    reach = math.ceil(3 * width)
    at = torch.arange(-reach, reach + 1, device=values.device, dtype=values.dtype)
    kernel = torch.exp(-0.5 * (at / width) ** 2)
    kernel = kernel / kernel.sum()
    found = values[None, None]
    for axis in range(3):
        shape, padding = [1] * 5, [0] * 6
        shape[2 + axis] = len(kernel)
        padding[4 - 2 * axis] = padding[5 - 2 * axis] = reach  # the last axis comes first
        found = torch.nn.functional.conv3d(torch.nn.functional.pad(found, padding, beyond), kernel.view(shape))
    return found[0, 0]
