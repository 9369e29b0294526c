"""Marching rays through a grid of occupied cells: samples only where something may be.

The grid has levels of cells^3 bits. Level 0 covers a box, level k the box made 2^k times larger about its centre. A ray goes from
`near` in steps of h = min(max(cone |d| t, step), most_step) world units, the first of them shifted by `jitter` times a step; the
interval [t, t + h / |d|] is a sample if the cell at its middle is occupied. The cell is that of the finest level that holds
it and whose cells are not smaller than the step. Empty cells, and empty blocks of 8^3 cells, are left in one leap, onto
the same lattice of steps: the samples are those of marching step by step. Source: Müller et al. 2022, appendix E.
"""

from typing import NamedTuple

import taichi as ti
import torch
from torch import Tensor

from taichi_kernels import runtime
from taichi_kernels.visibility import VisibleSamples

_WORD = 32  # cells in an int32 of the bit field, along x
_BLOCK = 8  # cells along an edge of a block
_VECTORS = ti.types.ndarray(dtype=ti.types.vector(3, ti.f32), ndim=1)
_FLOATS = ti.types.ndarray(dtype=ti.f32, ndim=1)
_INTS = ti.types.ndarray(dtype=ti.i32, ndim=1)


class Occupancy(NamedTuple):
    """Which cells, (levels, cells, cells, cells) in z, y, x, hold anything."""

    bits: Tensor  # (levels * cells^3 / 32,) int32
    blocks: Tensor  # (levels * (cells / 8)^3,) int32: whether any cell of a block does
    cells: int  # along an edge
    levels: int


class Samples(NamedTuple):
    """M intervals on R rays, ray by ray and front to back."""

    offsets: Tensor  # (R + 1,) int32: samples offsets[r] to offsets[r + 1] belong to ray r
    rays: Tensor  # (M,) int32: the ray of each
    t_starts: Tensor  # (M,)
    t_ends: Tensor  # (M,)
    positions: Tensor  # (M, 3) world: the middles
    reached: Tensor | None  # (R,) t: where marching ended, `far` or, if `most` samples were found, the end of the last

    def select(self, seen: VisibleSamples) -> "Samples":
        """The samples that are seen."""
        rays, starts, ends, positions = (t[seen.index] for t in self[1:5])
        return Samples(seen.offsets, rays, starts, ends, positions, None)


@ti.func
def _step_at(t, length, per_unit, step, cone, most_step):
    """A step's length at t, in t: it grows with the cone of a pixel, between `step` and `most_step` world units."""
    return ti.min(ti.max(cone * t * length, step), most_step) * per_unit


@ti.func
def _level_at(at, middle, side, width, levels):
    """(level, its scale): the finest level that holds the point, in cells of level 0, and whose cells are not smaller than a step
    of `width` world units; side: the edge of a cell of level 0, world units."""
    level, scale = 0, 1.0
    off = ti.abs(at - middle)
    outermost, edge = ti.max(off[0], off[1], off[2]) / middle, side
    while level < levels - 1 and (outermost > 1.0 or width > edge):
        outermost, edge, scale, level = 0.5 * outermost, 2.0 * edge, 0.5 * scale, level + 1
    return level, scale


@ti.func
def _look_up(bits: ti.template(), blocks: ti.template(), level, cell, cells):
    """(whether the cell is occupied; the corner and the edge, in cells, of what is like it: the cell or its empty block)."""
    block, across = cell >> 3, cells >> 3
    low, size, occupied, index = block << 3, 8, 0, 0
    if blocks[((level * across + block[2]) * across + block[1]) * across + block[0]] != 0:
        index = ((level * cells + cell[2]) * cells + cell[1]) * cells + cell[0]
        occupied = bits[index >> 5] >> (index & 31) & 1
        low, size = cell, 1
    return occupied, low, size


@ti.func
def _way_out(at, low, size, onward, turned):
    """How far, in t of level 0, a ray at `at` has to the faces of a cube of cells; turned: 1 / slope, per axis."""
    faces = (ti.cast(low + size * onward, ti.f32) - at) * turned
    return ti.max(ti.min(faces[0], faces[1], faces[2]), 0.0)


@ti.kernel
def _march(
    origins: _VECTORS, directions: _VECTORS,  # (R, 3)
    near: _FLOATS, far: _FLOATS, jitter: _FLOATS,  # (R,)
    box: _VECTORS,  # (2, 3): centre, and cells per world unit of level 0
    bits: _INTS, blocks: _INTS,  # see Occupancy
    cells: int, levels: int, step: float, cone: float, most_step: float, most: int,
    counts: _INTS,  # (R,) out in the first pass
    first: _FLOATS,  # (R,) start of the first sample, out in the first pass
    offsets: _INTS, rays: _INTS, starts: _FLOATS, ends: _FLOATS, positions: _VECTORS,  # out in the second
    reached: _FLOATS,  # (R,) out in the first
    write: ti.template(), several: ti.template(),  # second pass; more than one level
):
    for r in range(origins.shape[0]):
        o, d = origins[r], directions[r]
        length = d.norm()
        per_unit, middle = 1.0 / length, 0.5 * cells
        # in cells of level 0, from the corner of its box
        origin, slope = (o - box[0]) * box[1] + middle, d * box[1]
        still = ti.abs(slope) < 1e-12
        turned = ti.select(still, 1e12, 1.0 / ti.select(still, 1.0, slope))
        onward = ti.cast(ti.select(slope > 0.0, 1, 0), ti.i32)
        t, last, limit = near[r], far[r], most
        width = _step_at(t, length, per_unit, step, cone, most_step)
        t += jitter[r] * width
        side = 1.0 / ti.min(box[1][0], box[1][1], box[1][2])  # the largest edge of a cell
        found, slot, entry = 0, 0, t
        if ti.static(write):
            t, slot = first[r], offsets[r]
            limit = offsets[r + 1] - slot
        while t < last and found < limit:
            if cone > 0.0:
                width = _step_at(t, length, per_unit, step, cone, most_step)
            at = origin + (t + 0.5 * width) * slope
            level, scale = 0, 1.0
            if ti.static(several):
                level, scale = _level_at(at, middle, side, width * length, levels)
                at = middle + (at - middle) * scale
            cell = ti.min(ti.max(ti.cast(ti.floor(at), ti.i32), 0), cells - 1)
            occupied, low, size = _look_up(bits, blocks, level, cell, cells)
            if occupied:
                if ti.static(write):
                    rays[slot], starts[slot], ends[slot] = r, t, t + width
                    positions[slot] = o + (t + 0.5 * width) * d
                    slot += 1
                elif found == 0:
                    entry = t
                found += 1
                t += width
            else:
                ahead = _way_out(at, low, size, onward, turned) / scale
                if cone > 0.0:
                    goal = t + ahead
                    t += width
                    while t < goal:
                        t += _step_at(t, length, per_unit, step, cone, most_step)
                else:
                    t += ti.max(ti.ceil(ahead / width), 1.0) * width
        if ti.static(not write):
            counts[r], first[r] = found, entry
            reached[r] = ti.min(t, last) if found >= most else last


def pack_occupancy(occupied: Tensor) -> Occupancy:
    """Boolean cells (levels, z, y, x), the same number a multiple of 8 along each axis, as `march` reads them."""
    levels, cells = occupied.shape[0], occupied.shape[-1]
    if occupied.shape != (levels, cells, cells, cells) or cells % _BLOCK:
        raise ValueError(f"expected cells (levels, n, n, n) with n a multiple of {_BLOCK}; got {tuple(occupied.shape)}")
    weights = torch.tensor([1 << i for i in range(31)] + [-(1 << 31)], dtype=torch.int64, device=occupied.device)
    bits = (occupied.reshape(-1, _WORD).long() * weights).sum(1).to(torch.int32)
    edges = [levels, *[cells // _BLOCK, _BLOCK] * 3]
    blocks = occupied.reshape(edges).any(6).any(4).any(2)
    return Occupancy(bits, blocks.reshape(-1).to(torch.int32), cells, levels)


def march(
    origins: Tensor, directions: Tensor, near: Tensor, far: Tensor, jitter: Tensor, occupancy: Occupancy, box: Tensor, *,
    step: float, cone: float = 0.0, most_step: float = 1e10, most: int = 1 << 20,
) -> Samples:
    """The samples of R rays in occupied cells, with exact counts; see the module's docstring.

    origins, directions (R, 3) float32; near, far (R,) in t; jitter (R,) in [0, 1); occupancy from `pack_occupancy`; box (2, 3):
    lower and upper corner of level 0; step, most_step in world units; cone: step over distance; most: samples a ray, at most.
    Nothing is differentiable. Raises ValueError on shapes that do not fit.
    """
    count = len(origins)
    if origins.shape != (count, 3) or directions.shape != (count, 3) or any(t.shape != (count,) for t in (near, far, jitter)):
        raise ValueError(f"expected origins and directions (R, 3), near, far and jitter (R,); got {tuple(origins.shape)} …")
    if not step > 0:
        raise ValueError(f"expected a step above 0; got {step}")
    bits, blocks, cells, levels = occupancy
    runtime.ensure_init()
    where = origins.device
    box = torch.stack([box.mean(0), cells / (box[1] - box[0])]).to(origins)
    inputs = [t.detach().contiguous() for t in (origins, directions, near, far, jitter, box, bits, blocks)]
    numbers = (cells, levels, step, cone, most_step, most)
    counts, offsets = (torch.zeros(n, dtype=torch.int32, device=where) for n in (count, count + 1))
    reached, first = far.detach().clone(), near.detach().clone()
    none = [torch.zeros(1, dtype=torch.int32, device=where), *(origins.new_zeros(s) for s in ((1,), (1,), (1, 3)))]
    if count:
        _march(*inputs, *numbers, counts, first, offsets, *none, reached, False, levels > 1)
    torch.cumsum(counts, 0, dtype=torch.int32, out=offsets[1:])
    total = int(offsets[-1])
    rays = torch.empty(total, dtype=torch.int32, device=where)
    starts, ends, positions = (origins.new_empty(s) for s in ((total,), (total,), (total, 3)))
    if total:
        _march(*inputs, *numbers, counts, first, offsets, rays, starts, ends, positions, reached, True, levels > 1)
    return Samples(offsets, rays, starts, ends, positions, reached)
