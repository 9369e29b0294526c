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


@ti.func
def _cell(q, cells, level):
    """The index along one axis of the cell at q, in half sizes of the box from its centre."""
    scaled = (q / ti.cast(1 << level, ti.f32) + 1.0) * 0.5 * cells
    return ti.min(ti.max(ti.cast(ti.floor(scaled), ti.i32), 0), cells - 1)


@ti.func
def _leave(q, slope, index, cells, level):
    """How far along t the face of cell `index` lies ahead of q, which changes by `slope` per t."""
    face = ((index + ti.select(slope > 0.0, 1, 0)) * 2.0 / cells - 1.0) * ti.cast(1 << level, ti.f32)
    still = ti.abs(slope) < 1e-12
    return ti.select(still, 1e10, ti.max((face - q) / ti.select(still, 1.0, slope), 0.0))


@ti.kernel
def _march(
    origins: _VECTORS, directions: _VECTORS,  # (R, 3)
    near: _FLOATS, far: _FLOATS, jitter: _FLOATS,  # (R,)
    box: _VECTORS,  # (2, 3): centre and half size
    bits: _INTS,  # (levels * cells * cells * cells / 32,)
    cells: int, levels: int, step: float, cone: float, most_step: float, most: int,
    counts: _INTS,  # (R,) out in the first pass
    offsets: _INTS, rays: _INTS, starts: _FLOATS, ends: _FLOATS, positions: _VECTORS,  # out in the second
    reached: _FLOATS,  # (R,) out
    write: int,
):
    for r in range(origins.shape[0]):
        o, d = origins[r], directions[r]
        center, half = box[0], box[1]
        per_unit = 1.0 / d.norm()
        q0, slope = (o - center) / half, d / half
        t, last = near[r], far[r]
        t += jitter[r] * ti.min(ti.max(cone * t / per_unit, step), most_step) * per_unit
        found, place = 0, 0
        if write != 0:
            place = offsets[r]
        while t < last and found < most:
            world = ti.min(ti.max(cone * t / per_unit, step), most_step)
            width = world * per_unit
            middle = t + 0.5 * width
            q = q0 + middle * slope
            outermost = ti.max(ti.abs(q[0]), ti.abs(q[1]), ti.abs(q[2]))
            level = 0
            side = 2.0 / cells * ti.max(half[0], half[1], half[2])
            while level < levels - 1 and (outermost > 1.0 or world > side):
                outermost, side, level = 0.5 * outermost, 2.0 * side, level + 1
            x, y, z = _cell(q[0], cells, level), _cell(q[1], cells, level), _cell(q[2], cells, level)
            index = ((level * cells + z) * cells + y) * cells + x
            if bits[index // WORD] >> (index % WORD) & 1:
                if write != 0:
                    rays[place], starts[place], ends[place], positions[place] = r, t, t + width, o + middle * d
                    place += 1
                found += 1
                t += width
            else:
                ahead = ti.min(
                    _leave(q[0], slope[0], x, cells, level), _leave(q[1], slope[1], y, cells, level),
                    _leave(q[2], slope[2], z, cells, level),
                )
                if cone > 0.0:
                    goal = t + ahead
                    t += width
                    while t < goal:
                        t += ti.min(ti.max(cone * t / per_unit, step), most_step) * per_unit
                else:
                    t += ti.max(ti.ceil(ahead / width), 1.0) * width
        reached[r] = ti.min(t, last) if found >= most else last
        if write == 0:
            counts[r] = found


def pack_occupancy(occupied: Tensor) -> Tensor:
    """Bits of boolean cells (levels, z, y, x) as int32 words, for `march`. The number of cells is a multiple of 32."""
    if occupied.numel() % WORD:
        raise ValueError(f"the number of cells must be a multiple of {WORD}; got {tuple(occupied.shape)}")
    weights = torch.tensor([1 << i for i in range(31)] + [-(1 << 31)], dtype=torch.int64, device=occupied.device)
    return (occupied.reshape(-1, WORD).long() * weights).sum(1).to(torch.int32)


def march(
    origins: Tensor, directions: Tensor, near: Tensor, far: Tensor, jitter: Tensor, bits: Tensor, box: Tensor, *, cells: int,
    levels: int, step: float, cone: float = 0.0, most_step: float = 1e10, most: int = 1 << 20,
) -> Samples:
    """The samples of R rays in occupied cells, with exact counts; see the module's docstring.

    origins, directions (R, 3) float32; near, far (R,) in t; jitter (R,) in [0, 1); bits from `pack_occupancy`; box (2, 3): lower
    and upper corner of level 0; step, most_step in world units; cone: step over distance; most: samples a ray, at most. Nothing
    is differentiable. Raises ValueError on shapes that do not fit.
    """
    count = len(origins)
    if origins.shape != (count, 3) or directions.shape != (count, 3) or any(t.shape != (count,) for t in (near, far, jitter)):
        raise ValueError(f"expected origins and directions (R, 3), near, far and jitter (R,); got {tuple(origins.shape)} …")
    if bits.shape != (levels * cells**3 // WORD,) or bits.dtype != torch.int32 or not step > 0:
        raise ValueError(f"expected {levels} x {cells}^3 bits in int32 words and a step above 0; got {tuple(bits.shape)}, {step}")
    runtime.ensure_init()
    where = origins.device
    box = torch.stack([box.mean(0), (box[1] - box[0]) / 2]).to(origins)
    inputs = [t.detach().contiguous() for t in (origins, directions, near, far, jitter, box, bits)]
    numbers = (cells, levels, step, cone, most_step, most)
    counts, offsets = (torch.zeros(n, dtype=torch.int32, device=where) for n in (count, count + 1))
    reached = far.detach().clone()
    none = [torch.zeros(1, dtype=torch.int32, device=where), *(origins.new_zeros(s) for s in ((1,), (1,), (1, 3)))]
    if count:
        _march(*inputs, *numbers, counts, offsets, *none, reached, 0)
    torch.cumsum(counts, 0, dtype=torch.int32, out=offsets[1:])
    total = int(offsets[-1])
    rays = torch.empty(total, dtype=torch.int32, device=where)
    starts, ends, positions = (origins.new_empty(s) for s in ((total,), (total,), (total, 3)))
    if total:
        _march(*inputs, *numbers, counts, offsets, rays, starts, ends, positions, reached, 1)
    return Samples(offsets, rays, starts, ends, positions, reached)
