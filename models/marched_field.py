"""A radiance field that is sampled where its occupancy grid says that something may be."""

import torch
from torch import Tensor

from models.grid_field import GridField, GridShape
from models.occupancy import OccupancyGrid
from models.ray_model import RayModel
from models.rays import Ndc, Rays
from taichi_kernels.compositing import Composite, composite
from taichi_kernels.directions import encode_directions
from taichi_kernels.marching import Samples

SEEN_TRANSMITTANCE = 1 / 512  # what lies behind less than this changes an 8-bit picture by half a level at most
_FIRST_SAMPLES = 4  # of a ray that is looked along; twice as many with every further pass


class MarchedField(RayModel):
    """A field and its occupancy: the model of `--method nerf --field grid`."""

    def __init__(self, field: GridField, occupancy: OccupancyGrid, ndc: Ndc | None = None):
        super().__init__(ndc)
        self.field, self.occupancy = field, occupancy

    def state(self, *, training: bool = True) -> dict:
        """The model as plain tensors and numbers; without what only training needs, where `training` is False."""
        left_out = () if training else ("occupancy.density", "occupancy.open")
        tensors = {name: value.detach().cpu() for name, value in self.state_dict().items() if name not in left_out}
        settings = {
            "cells": self.occupancy.cells, "step": self.occupancy.step, "shape": self.field.settings(),
            "ndc": self.ndc and tuple(self.ndc),
        }
        return {"kind": "grid", "tensors": tensors, "settings": settings}

    def describe(self) -> str:
        """The grid's size, in words."""
        shape, rows = self.field.shape, self.field.layout.rows
        return f"{shape.levels} grids of up to {shape.finest}\u00b3 cells, {rows:,} rows of {shape.features} features"

    @staticmethod
    def from_state(state: dict) -> "MarchedField":
        """The model of `state`."""
        settings, tensors = state["settings"], state["tensors"]
        field = GridField(tensors["field.box"], GridShape(**settings["shape"]), torch.Generator())
        occupancy = OccupancyGrid(tensors["occupancy.box"], cells=settings["cells"], step=settings["step"])
        model = MarchedField(field, occupancy, settings.get("ndc") and Ndc(*settings["ndc"]))
        model.load_state_dict(tensors, strict=False)
        return model

    def sample(
        self, rays: Rays, generator: torch.Generator | None = None, *, stretch: float = 1.0, jitter: float = 1.0
    ) -> Samples:
        """Samples of whole rays in steps `stretch` times as long as usual, which begin half a step behind the box's face, or,
        with a generator, up to half a step times `jitter` before or behind that at random."""
        near, far = self.occupancy.interval(rays.origins, rays.directions)
        shift = torch.full_like(near, 0.5)
        if generator is not None:
            shift += jitter * (torch.rand(len(rays), generator=generator).to(near.device) - 0.5)
        return self.occupancy.samples(rays.origins, rays.directions, shift, near, far, stretch=stretch)

    def shade(self, rays: Rays, samples: Samples, *, depth: bool = True) -> Composite:
        """Colour, transmittance and, if wanted, depth of rays from their samples; differentiable in the field."""
        densities, codes = self.field.density_and_code(samples.positions)
        harmonics = encode_directions(rays.looking, self.field.shape.sh_degree)[samples.rays.long()]
        colours = self.field.radiance(codes, harmonics)
        return composite(
            densities, colours, samples.starts, samples.ends, offsets=samples.offsets, lengths=rays.lengths, depth=depth)

    @torch.no_grad()
    def look(self, rays: Rays) -> tuple[Tensor, Tensor, Tensor]:
        """Colour (R, 3), transmittance (R,) and weighted depth (R,) of rays: some samples at a time, until a ray is opaque."""
        colour, clear, depth = (rays.origins.new_zeros(s) for s in ((len(rays), 3), (len(rays),), (len(rays),)))
        clear += 1
        at, far = self.occupancy.interval(rays.origins, rays.directions)
        shift, most = 0.5, _FIRST_SAMPLES
        alive = torch.nonzero(far > at)[:, 0]
        while len(alive):
            some = rays[alive]
            jitter = torch.full_like(at[alive], shift)
            samples = self.occupancy.samples(some.origins, some.directions, jitter, at[alive], far[alive], most=most)
            found = self.shade(some, samples)
            left = clear[alive]
            colour[alive] += left[:, None] * found.colour
            depth[alive] += left * found.depth
            clear[alive] = left * found.transmittance
            at[alive] = samples.reached
            going = (samples.reached < far[alive]) & (clear[alive] > SEEN_TRANSMITTANCE)
            alive, shift, most = alive[going], 0.0, 2 * most
        return colour, clear, depth
