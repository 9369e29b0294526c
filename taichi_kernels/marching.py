"""Marching rays through a grid of occupied cells: samples only where something may be.

The grid has levels of cells^3 bits. Level 0 covers a box, level k the box made 2^k times larger about its centre. A ray goes from
`near` in steps of h = min(max(cone |d| t, step), most_step) world units, the first of them shifted by a share `jitter` of a step;
the interval [t, t + h / |d|] is a sample if the cell at its middle is occupied. The cell is that of the finest level that holds
the place and whose cells are not smaller than the step. Empty cells are left in one leap, onto the same lattice of steps: the
samples are those of marching step by step. Source: Müller et al. 2022, appendix E.
"""

from typing import NamedTuple

import taichi as ti
import torch
from torch import Tensor

from taichi_kernels import runtime

WORD = 32  # cells in an int32 of the bit field, along x
_VECTORS = ti.types.ndarray(dtype=ti.types.vector(3, ti.f32), ndim=1)
_FLOATS = ti.types.ndarray(dtype=ti.f32, ndim=1)
_INTS = ti.types.ndarray(dtype=ti.i32, ndim=1)


class Samples(NamedTuple):
    """M intervals on R rays, ray by ray and front to back."""

    offsets: Tensor  # (R + 1,) int32: samples offsets[r] to offsets[r + 1] belong to ray r
    rays: Tensor  # (M,) int32: the ray of each
    starts: Tensor  # (M,) t
    ends: Tensor  # (M,) t
    positions: Tensor  # (M, 3) world: the middles
    reached: Tensor  # (R,) t: where marching ended, `far` or, where `most` samples were found, the end of the last


@ti.kernel
def _march(
    origins: _VECTORS, directions: _VECTORS,  # (R, 3)
    near: _FLOATS, far: _FLOATS, jitter: _FLOATS,  # (R,)
    box: _VECTORS,  # (2, 3): centre, and cells per world unit of level 0
    bits: _INTS,  # (levels * cells * cells * cells / 32,)
    densities: _FLOATS,  # (levels * cells * cells * cells,), or of any size where most_thickness is not asked for
    most_thickness: float,
    cells: int, levels: int, step: float, cone: float, most_step: float, most: int,
    counts: _INTS,  # (R,) out in the first pass
    offsets: _INTS, rays: _INTS, starts: _FLOATS, ends: _FLOATS, positions: _VECTORS,  # out in the second
    reached: _FLOATS,  # (R,) out
    write: ti.template(), several: ti.template(), stop: ti.template(),  # second pass; more than one level; a limit of thickness
):
    for r in range(origins.shape[0]):
        o, d = origins[r], directions[r]
        length = d.norm()
        per_unit, middle = 1.0 / length, 0.5 * cells
        # in cells of level 0, from the corner of its box
        first, slope = (o - box[0]) * box[1] + middle, d * box[1]
        still = ti.abs(slope) < 1e-12
        turned = ti.select(still, 1e12, 1.0 / ti.select(still, 1.0, slope))
        onward = ti.select(slope > 0.0, 1.0, 0.0)
        t, last = near[r], far[r]
        width = ti.min(ti.max(cone * t * length, step), most_step) * per_unit
        t += jitter[r] * width
        side = 1.0 / ti.min(box[1][0], box[1][1], box[1][2])  # the largest edge of a cell
        found, place, thickness = 0, 0, 0.0
        if ti.static(write):
            place = offsets[r]
        while t < last and found < most:
            if cone > 0.0:
                width = ti.min(ti.max(cone * t * length, step), most_step) * per_unit
            at = first + (t + 0.5 * width) * slope
            shrink, layer = 1.0, 0
            if ti.static(several):
                off = ti.abs(at - middle)
                outermost, edge = ti.max(off[0], off[1], off[2]) / middle, side
                while layer < levels - 1 and (outermost > 1.0 or width * length > edge):
                    outermost, edge, shrink, layer = 0.5 * outermost, 2.0 * edge, 0.5 * shrink, layer + 1
                at = middle + (at - middle) * shrink
            cell = ti.min(ti.max(ti.cast(ti.floor(at), ti.i32), 0), cells - 1)
            index = ((layer * cells + cell[2]) * cells + cell[1]) * cells + cell[0]
            if bits[index >> 5] >> (index & 31) & 1:
                if ti.static(write):
                    rays[place], starts[place], ends[place] = r, t, t + width
                    positions[place] = o + (t + 0.5 * width) * d
                    place += 1
                found += 1
                t += width
                if ti.static(stop):
                    thickness += densities[index] * width * length
                    if thickness > most_thickness:
                        last = t
            else:
                faces = (ti.cast(cell, ti.f32) + onward - at) * turned
                ahead = ti.max(ti.min(faces[0], faces[1], faces[2]), 0.0) / shrink
                if cone > 0.0:
                    goal = t + ahead
                    t += width
                    while t < goal:
                        t += ti.min(ti.max(cone * t * length, step), most_step) * per_unit
                else:
                    t += ti.max(ti.ceil(ahead / width), 1.0) * width
        reached[r] = ti.min(t, last) if found >= most else last
        if ti.static(not write):
            counts[r] = found


def pack_occupancy(occupied: Tensor) -> Tensor:
    """Bits of boolean cells (levels, z, y, x) as int32 words, for `march`. The number of cells is a multiple of 32."""
    if occupied.numel() % WORD:
        raise ValueError(f"the number of cells must be a multiple of {WORD}; got {tuple(occupied.shape)}")
    weights = torch.tensor([1 << i for i in range(31)] + [-(1 << 31)], dtype=torch.int64, device=occupied.device)
    return (occupied.reshape(-1, WORD).long() * weights).sum(1).to(torch.int32)


def march(
    origins: Tensor, directions: Tensor, near: Tensor, far: Tensor, jitter: Tensor, bits: Tensor, box: Tensor, *, cells: int,
    levels: int, step: float, cone: float = 0.0, most_step: float = 1e10, most: int = 1 << 20, densities: Tensor | None = None,
    most_thickness: float = 12.0,
) -> Samples:
    """The samples of R rays in occupied cells, with exact counts; see the module's docstring.

    origins, directions (R, 3) float32; near, far (R,) in t; jitter (R,) in [0, 1); bits from `pack_occupancy`; box (2, 3): lower
    and upper corner of level 0; step, most_step in world units; cone: step over distance; most: samples a ray, at most.
    densities (levels, cells, cells, cells): where given, a ray ends once the cells that it sampled hold more than most_thickness;
    what lies behind is all but hidden. Nothing is differentiable. Raises ValueError on shapes that do not fit.
    """
    count = len(origins)
    if origins.shape != (count, 3) or directions.shape != (count, 3) or any(t.shape != (count,) for t in (near, far, jitter)):
        raise ValueError(f"expected origins and directions (R, 3), near, far and jitter (R,); got {tuple(origins.shape)} …")
    if bits.shape != (levels * cells**3 // WORD,) or bits.dtype != torch.int32 or not step > 0:
        raise ValueError(f"expected {levels} x {cells}^3 bits in int32 words and a step above 0; got {tuple(bits.shape)}, {step}")
    runtime.ensure_init()
    where = origins.device
    box = torch.stack([box.mean(0), cells / (box[1] - box[0])]).to(origins)
    inputs = [t.detach().contiguous() for t in (origins, directions, near, far, jitter, box, bits)]
    known = origins.new_zeros(1) if densities is None else densities.reshape(-1)
    numbers = (known, most_thickness, cells, levels, step, cone, most_step, most)
    counts, offsets = (torch.zeros(n, dtype=torch.int32, device=where) for n in (count, count + 1))
    reached = far.detach().clone()
    none = [torch.zeros(1, dtype=torch.int32, device=where), *(origins.new_zeros(s) for s in ((1,), (1,), (1, 3)))]
    kind = levels > 1, densities is not None
    if count:
        _march(*inputs, *numbers, counts, offsets, *none, reached, False, *kind)
    torch.cumsum(counts, 0, dtype=torch.int32, out=offsets[1:])
    total = int(offsets[-1])
    rays = torch.empty(total, dtype=torch.int32, device=where)
    starts, ends, positions = (origins.new_empty(s) for s in ((total,), (total,), (total, 3)))
    if total:
        _march(*inputs, *numbers, counts, offsets, rays, starts, ends, positions, reached, True, *kind)
    return Samples(offsets, rays, starts, ends, positions, reached)
