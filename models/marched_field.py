"""A radiance field that is sampled in the cells that its occupancy grid marks as occupied."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from models.antialiasing import PixelSize, pixel_size_from
from models.checks import check_box, check_mapping, check_number, check_record, check_tensors, like, of_this_version
from models.grid_field import GridField
from models.monte_carlo import integrate, with_borders
from models.normals import density_normals
from models.occupancy import OccupancyGrid
from models.ray_model import RayModel
from models.rays import Ndc, Rays, ndc_from
from models.reflective_field import ReflectiveField
from models.volume import RayRendering
from models.voxel_field import VoxelField
from taichi_kernels import runtime
from taichi_kernels.compositing import Composite, composite
from taichi_kernels.directions import encode_directions
from taichi_kernels.inverse_transform import draw_from_samples
from taichi_kernels.marching import Samples
from taichi_kernels.sampling import stratified
from taichi_kernels.visibility import visible_samples

SEEN_TRANSMITTANCE = 1 / 512  # samples behind less than this change an 8-bit picture by half a level at most
LEARNED_TRANSMITTANCE = 1e-3  # samples behind less than this learn nothing
_TRAINING_ONLY = ("occupancy.density", "occupancy.open")  # tensors that are not needed to render a field
_FIRST_SAMPLES = 4  # of a ray in the first round on a CPU; twice as many in every further round
_ESTIMATED = 4096  # rays whose colours are estimated at a time: a bound on memory
_AT_ONCE = 1 << 18  # samples of a round, at most, but never fewer than `_FIRST_SAMPLES` per ray: a bound on memory
_AT_ONCE_ON_GPU = 1 << 22  # from the first round on: hidden samples cost a GPU less than the start of another round


FIELDS = {field.field_word: field for field in (GridField, VoxelField, ReflectiveField)}


class MarchedField(RayModel):
    """A field and its occupancy: the model of `--method nerf --field grid` and `voxels`.

    radiance_samples: how many samples per ray, drawn from its density, evaluate the radiance; 0: every sample does.
    """

    def __init__(
        self,
        field: GridField | VoxelField,
        occupancy: OccupancyGrid,
        ndc: Ndc | None = None,
        *,
        radiance_samples: int = 0,
        pixel: PixelSize | None = None,
    ):
        super().__init__(ndc)
        self.field, self.occupancy, self.pixel = field, occupancy, pixel
        self.radiance_samples = radiance_samples

    @property
    def radiance_samples(self) -> int:
        """How many samples per ray evaluate the radiance; 0: every sample does."""
        return self._radiance_samples

    @radiance_samples.setter
    def radiance_samples(self, count: int) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]  # refuses values
        if count and isinstance(self.field, ReflectiveField):
            raise ValueError("it evaluates a reflection once for each ray")
        self._radiance_samples = count

    @property
    def field_word(self) -> str:
        return self.field.field_word

    @property
    def contracted(self) -> bool:
        """Whether the field covers all of space, and not only the box."""
        return isinstance(self.field, GridField) and self.field.shape.contracted

    def state(self, *, training: bool = True) -> dict:
        """The model as plain tensors and numbers; if `training` is False, without those that only training needs."""
        left_out = () if training else _TRAINING_ONLY
        tensors = {name: value.detach().cpu() for name, value in self.state_dict().items() if name not in left_out}
        settings = {
            "cells": self.occupancy.cells,
            "step": self.occupancy.step,
            "levels": self.occupancy.levels,
            "cone": self.occupancy.cone,
            "near": self.occupancy.near,
            "shape": self.field.settings(),
            "ndc": self.ndc and tuple(self.ndc),
            "calls": self.radiance_samples,
            "pixel": self.pixel and tuple(self.pixel),
        }
        return {"kind": self.field_word, "tensors": tensors, "settings": settings}

    def describe(self) -> str:
        """The field's size, in words."""
        return self.field.describe()

    @staticmethod
    @of_this_version()
    def from_state(state: dict) -> "MarchedField":
        """The model of `state`. Raises ValueError for one that this version did not write."""
        check_mapping("its field", state, ("settings", "tensors"))
        settings = check_mapping("its settings", state["settings"], ("shape", "cells", "step"))
        field_type: Any = FIELDS[state.get("kind", "grid")]  # with its own shape
        shape = check_record(field_type.shape_type, settings["shape"], "its shape")
        cells = check_number("its cells", settings["cells"], 8, 1024, whole=True)
        if cells % 8:
            raise ValueError(f"its cells are {cells} along an edge, which is not a multiple of 8")
        step = check_number("its step", settings["step"], 1e-12, 1e12)
        levels = check_number("its levels of cells", settings.get("levels", 1), 1, 32, whole=True)  # 1 in earlier versions
        cone, near = (check_number(f"its {name}", settings.get(name, 0.0), 0, 1e12) for name in ("cone", "near"))
        calls = check_number("its calls of the radiance", settings.get("calls", 0), 0, 4096, whole=True)
        grid, truth = (like(levels, cells, cells, cells, dtype=dtype) for dtype in (torch.float32, torch.bool))
        expected = {f"field.{name}": like(*size) for name, size in field_type.sizes(shape).items()}
        expected |= {"field.box": like(2, 3), "occupancy.box": like(2, 3), "occupancy.occupied": truth}
        training: dict[str, Tensor] = dict(zip(_TRAINING_ONLY, (grid, truth), strict=True))
        tensors = check_tensors(state["tensors"], expected, training)  # before memory for the field is taken
        for name in ("field.box", "occupancy.box"):
            check_box(name, tensors[name])
        field = field_type(tensors["field.box"], shape, torch.Generator())
        model = MarchedField(
            field,
            OccupancyGrid(tensors["occupancy.box"], cells=cells, step=step, levels=levels, cone=cone, near=near),
            ndc_from(settings.get("ndc")),
            radiance_samples=calls,
            pixel=pixel_size_from(settings.get("pixel")),
        )
        model.load_state_dict(tensors, strict=False)  # all are known; only those of `_TRAINING_ONLY` may be missing
        return model

    @torch.no_grad()
    def coarse_opacity(self, cells: int) -> Tensor:
        """The opacity (n, n, n), in z, y, x, of cells of the box, n at most `cells`, as far as the occupancy knows it: 0 before
        its first update."""
        grid, edges = self.occupancy, self.occupancy.box[1] - self.occupancy.box[0]
        known = grid.density[0].clamp_min(0) * grid.occupied[0]
        opacity = 1 - torch.exp(-known * edges.mean() / grid.cells)
        return torch.nn.functional.avg_pool3d(opacity[None, None], max(grid.cells // cells, 1))[0, 0]

    def sample(
        self, rays: Rays, generator: torch.Generator | None = None, *, stretch: float = 1.0, jitter: float = 1.0
    ) -> Samples:
        """Samples of whole rays in steps `stretch` times as long as usual, which begin half a step behind the box's face, or,
        with a generator, up to half a step times `jitter` before or behind that at random."""
        near, far = self.occupancy.interval(rays.origins, rays.directions)
        shift = self._shift(near, generator, jitter)
        return self.occupancy.samples(rays.origins, rays.directions, shift, near, far, stretch=stretch)

    @torch.no_grad()
    def visible_samples(
        self,
        rays: Rays,
        generator: torch.Generator | None = None,
        *,
        stretch: float = 1.0,
        jitter: float = 1.0,
        min_transmittance: float = LEARNED_TRANSMITTANCE,
    ) -> tuple[Samples, Tensor]:
        """The samples of `sample` that are not hidden, and the density's features there (M, L F)."""
        shift = self._shift(rays.direction_norms, generator, jitter)
        rounds = self.march_rounds(rays, shift, stretch=stretch, min_transmittance=min_transmittance)
        parts = [(alive[some.rays.long()].int(), *some[2:5], features) for alive, some, features, _ in rounds]
        if not parts:
            nothing = self.sample(rays[torch.arange(0)])
            parts = [(nothing.rays, *nothing[2:5], self.field.encode(nothing.positions))]
        numbers, *others = (torch.cat(column) for column in zip(*parts, strict=True))
        numbers, order = torch.sort(numbers, stable=True)  # ray by ray; along a ray they are in order
        starts, ends, positions, features = (column[order] for column in others)
        offsets = torch.zeros(len(rays) + 1, dtype=torch.int32, device=numbers.device)
        torch.cumsum(torch.bincount(numbers, minlength=len(rays)), 0, dtype=torch.int32, out=offsets[1:])
        return Samples(offsets, numbers, starts, ends, positions, None), features

    def render_samples(self, rays: Rays, samples: Samples, features: Tensor | None = None, *, depth: bool = True) -> Composite:
        """Colour, transmittance and, if wanted, depth of rays from their samples; differentiable in the field.

        features: of the samples' positions, if they are known.
        """
        found, _ = self.composite_samples(rays, samples, features, depth=depth)
        return self.shaded(rays, found)

    def composite_samples(
        self, rays: Rays, samples: Samples, features: Tensor | None = None, *, depth: bool = True
    ) -> tuple[Composite, Tensor]:
        """What rays sum up before `shaded`, the field's channels instead of colours, and the samples' values (M, channels)."""
        densities, codes = self.field.density_and_code(samples.positions, features)
        harmonics = encode_directions(rays.view_directions, self.field.shape.sh_degree)[samples.rays.long()]
        values = self.field.radiance(codes, harmonics)
        found = composite(
            densities,
            values,
            samples.t_starts,
            samples.t_ends,
            offsets=samples.offsets,
            lengths=rays.direction_norms,
            depth=depth,
        )
        return found, values

    def shaded(self, rays: Rays, found: Composite) -> Composite:
        """The composite with the colours of its channels."""
        return found._replace(colour=self.field.shade(found.colour, 1 - found.transmittance, rays.view_directions))

    def render_monte_carlo(
        self,
        rays: Rays,
        samples: Samples,
        features: Tensor | None = None,
        generator: torch.Generator | None = None,
        *,
        number: int = 1,
    ) -> list[Composite]:
        """The same as `render_samples`, estimated from `radiance_samples` a ray, `number` times independently, without weights.

        They are stratified: at random with a generator, else in the middle of each part of the light.
        """
        densities, hit = self.field.density(samples.positions, features), torch.nonzero(samples.offsets.diff() > 0)[:, 0]
        offsets, some = torch.cat([samples.offsets[hit], samples.offsets[-1:]]), rays[hit]
        count = self.radiance_samples
        harmonics = encode_directions(some.view_directions, self.field.shape.sh_degree).repeat_interleave(count, 0)
        found = []
        for _ in range(number):
            numbers = with_borders(stratified(len(hit), count, generator, densities.device))
            drawn = draw_from_samples(densities, samples.t_starts, samples.t_ends, offsets, numbers, lengths=some.direction_norms)
            t = drawn.t[:, ::2].detach()
            positions = some.origins[:, None] + t[..., None] * some.directions[:, None]
            colours = self.field.radiance(self.field.code(positions.view(-1, 3)), harmonics).view(*positions.shape)
            colour, transmittance, depth = integrate(drawn, t, colours)[:3]
            assert depth is not None
            nothing, clear = colour.new_zeros(len(rays)), colour.new_ones(len(rays))
            found.append(
                Composite(
                    nothing[:, None].expand(-1, 3).index_copy(0, hit, colour),
                    clear.index_copy(0, hit, transmittance),
                    nothing.index_copy(0, hit, depth),
                    None,
                    None,
                )
            )
        return found

    def _normals(self, rays: Rays, samples: Samples, features: Tensor) -> Tensor:
        """The density's normals (R, 3), world, weighted along rays."""
        found = composite(
            self.field.density(samples.positions, features),
            density_normals(self.field, samples.positions, features, self.ndc),
            samples.t_starts,
            samples.t_ends,
            offsets=samples.offsets,
            lengths=rays.direction_norms,
            depth=False,
        )
        return found.colour

    @torch.no_grad()
    def render_rays(self, rays: Rays, *, with_normal: bool = False) -> RayRendering:
        """Colour, transmittance, depth and, if wanted, normals of rays in the model's coordinates: the predicted ones, if the
        field has some, else the density's."""
        if self.radiance_samples:  # a whole ray's samples are needed at once
            parts = [rays[first : first + _ESTIMATED] for first in range(0, len(rays), _ESTIMATED)]
            visible = [(part, *self.visible_samples(part, min_transmittance=SEEN_TRANSMITTANCE)) for part in parts]
            found = [self.render_monte_carlo(*each)[0] for each in visible]
            normal = torch.cat([self._normals(*each) for each in visible]) if with_normal else None
            colour, transmittance, depth = (torch.cat(column) for column in zip(*(each[:3] for each in found), strict=True))
            return RayRendering(colour, transmittance, depth, normal)
        count, normals = len(rays), self.field.normals
        values, transmittance, depth = (rays.origins.new_zeros(s) for s in ((count, self.field.channels), (count,), (count,)))
        transmittance += 1
        normal = rays.origins.new_zeros(count, 3) if with_normal and normals is None else None
        for alive, samples, features, left in self.march_rounds(rays, min_transmittance=SEEN_TRANSMITTANCE):
            found, _ = self.composite_samples(rays[alive], samples, features)
            assert found.depth is not None
            values[alive] += left[:, None] * found.colour
            depth[alive] += left * found.depth
            transmittance[alive] = left * found.transmittance
            if normal is not None:
                normal[alive] += left[:, None] * self._normals(rays[alive], samples, features)
        if with_normal and normals is not None:
            normal = values[:, normals]
        return RayRendering(self.field.shade(values, 1 - transmittance, rays.view_directions), transmittance, depth, normal)

    @torch.no_grad()
    def march_rounds(
        self, rays: Rays, shift: Tensor | None = None, *, stretch: float = 1.0, min_transmittance: float
    ) -> Iterator[tuple[Tensor, Samples, Tensor, Tensor]]:
        """Samples from front to back, some of each ray and then more, until its transmittance is below `min_transmittance`.

        shift: as `sample` chooses it; half a step if left out. Yields the numbers of the rays that go on, their samples that
        are not hidden, the features there, and the transmittance before the first of them.
        """
        shift = self._shift(rays.direction_norms) if shift is None else shift
        clear = torch.ones_like(rays.direction_norms)
        at_once = _AT_ONCE_ON_GPU if runtime.is_gpu() else _AT_ONCE
        most = max(at_once // max(len(rays), 1), _FIRST_SAMPLES) if runtime.is_gpu() else _FIRST_SAMPLES
        at, far = self.occupancy.interval(rays.origins, rays.directions)
        alive = torch.nonzero(far > at)[:, 0]
        while len(alive):
            some, left = rays[alive], clear[alive]
            samples = self.occupancy.samples(
                some.origins, some.directions, shift[alive], at[alive], far[alive], most=most, stretch=stretch
            )
            features = self.field.encode(samples.positions)
            densities = self.field.density(samples.positions, features)
            seen = visible_samples(
                densities,
                samples.t_starts,
                samples.t_ends,
                samples.offsets,
                some.direction_norms,
                left,
                min_transmittance=min_transmittance,
            )
            yield alive, samples.select(seen), features[seen.index], left
            assert samples.reached is not None
            clear[alive], at[alive] = seen.transmittance, samples.reached
            alive = alive[(samples.reached < far[alive]) & (seen.transmittance > min_transmittance)]
            shift, most = torch.zeros_like(shift), max(min(2 * most, at_once // max(len(alive), 1)), _FIRST_SAMPLES)

    @staticmethod
    def _shift(like: Tensor, generator: torch.Generator | None = None, jitter: float = 1.0) -> Tensor:
        """The fraction of a step (R,) by which rays' first samples are shifted."""
        shift = torch.full_like(like, 0.5)
        if generator is not None:
            shift += jitter * (torch.rand(len(like), generator=generator).to(like.device) - 0.5)
        return shift
