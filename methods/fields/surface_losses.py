"""Losses that make a reflective field's density a surface, and its predicted normals that surface's; its levels' schedule."""

from torch import Tensor

from datasets.scene import Split
from methods.fields.grid_start import open_cells
from methods.fields.normal_guide import CELLS, UNTIL, NormalGuide
from methods.fields.reflective_options import ReflectiveOptions
from models.marched_field import MarchedField
from models.normals import density_normals
from models.proposed_field import ProposedField
from models.reflective_field import FIRST_LEVELS, NORMAL, ReflectiveField
from models.repeatable import total

_ALL_LEVELS_FROM = 0.3  # fraction of the steps after which all levels are shown


class SurfaceLosses:
    """Sums along rays: with weights w, which get no gradient, the density's unit normals n, predicted ones n', those of a blurred
    density g, and the view direction d,

        normal_loss w (1 - n . n'),    orientation_loss w (max(0, n' . d)^2 + max(0, n . d)^2),    guide w (1 - g . n')

    so that both kinds of normals of what is visible face the camera. The guide's weight falls from `normal_guide` to 0. Source of
    the first two: Verbin et al. 2022, eq. 11 and 12; the first is half of theirs, whose weights get gradients, and the second is
    of one kind there.
    """

    def __init__(self, model: MarchedField | ProposedField, options: ReflectiveOptions):
        assert isinstance(model.field, ReflectiveField)
        self.model, self.field, self.options = model, model.field, options
        self.guide, self.guidance = NormalGuide(model), 0.0  # the guide's weight

    def carve_hull(self, views: Split) -> None:
        """Let the guide begin with the visual hull of these views, if they have alpha channels."""
        if self.options.normal_guide and views.alpha is not None and self.model.ndc is None:
            self.guide.hull = open_cells(views, self.model.field.box.cpu(), CELLS)

    def begin(self, done: float, *, new_density: bool) -> None:
        """Before a step, after this fraction of all; new_density: whether the cells' density is another one now."""
        last = self.field.shape.levels
        shown = float(self.field.level_weights.sum())  # of a file, or of a shorter run: never fewer again
        self.field.show_levels(max(min(FIRST_LEVELS + (last - FIRST_LEVELS) * done / _ALL_LEVELS_FROM, last), shown))
        learned = self.options.ft_path is not None  # normals that need no guide
        self.guidance = 0.0 if learned else self.options.normal_guide * max(1 - done / UNTIL, 0.0)
        if self.guidance and (new_density or not self.guide.ready):
            self.guide.update(done)

    def __call__(
        self, weights: Tensor, values: Tensor, positions: Tensor, view_directions: Tensor, features: Tensor | None = None
    ) -> Tensor:
        """The sum over samples with weights (M,), composited values (M, C), positions (M, 3) and view directions (M, 3);
        features: of the positions, if they are known."""
        options, weights, predicted = self.options, weights.detach(), values[:, NORMAL]
        loss = options.orientation_loss * total(weights * _turned_away(predicted, view_directions))
        if options.normal_loss or options.orientation_loss:
            normals = density_normals(self.field, positions, features, self.model.ndc)
            loss = loss + options.orientation_loss * total(weights * _turned_away(normals, view_directions))
            loss = loss + options.normal_loss * total(weights * (1 - (predicted * normals).sum(1)))
        if self.guidance:
            guide = self.guide(positions)
            loss = loss + self.guidance * total(weights * (guide.square().sum(1) - (predicted * guide).sum(1)))
        return loss


def _turned_away(normals: Tensor, view_directions: Tensor) -> Tensor:
    return (normals * view_directions).sum(1).clamp_min(0).square()


def surface_losses(model: MarchedField | ProposedField, options: ReflectiveOptions) -> SurfaceLosses | None:
    """The losses of a field that reflects, None of another."""
    return SurfaceLosses(model, options) if isinstance(model.field, ReflectiveField) else None
