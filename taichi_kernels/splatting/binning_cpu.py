"""CPU schedule of binning: exact counts per worker and tile, a prefix sum, a fill, and a radix sort of each tile by depth.

Points are read in memory order only, so a cloud that is stored along a space-filling curve keeps the caches warm; the sort works
on one tile's entries at a time, which fit the cache. Nothing overflows and nothing is dropped: the lists have the counted size.
"""

from functools import cache

import taichi as ti
import torch
from torch import Tensor

from taichi_kernels.runtime import WORKER_STRIDE
from taichi_kernels.splatting.tiles import check_pairs, tile_range

_SHORT = 24  # lists up to this length are sorted by insertion
_DIGIT_BITS = 8
_DIGITS = 1 << _DIGIT_BITS


@cache
def binning_kernels(dtype, columns: int, support: float, tile: tuple[int, int]):
    """(count, fill, sort) kernels for splats of a float type and row length, a profile's support and a tile size."""
    array1 = ti.types.ndarray(dtype=dtype, ndim=1)
    rows = ti.types.ndarray(dtype=ti.types.vector(columns, dtype), ndim=1)
    ints = ti.types.ndarray(dtype=ti.i32, ndim=1)
    ints2 = ti.types.ndarray(dtype=ti.i32, ndim=2)
    histogram = ti.types.vector(_DIGITS, ti.i32)

    @ti.func
    def part_of(worker, points, workers):
        """The first point of a worker's part; with worker + 1, the first beyond it."""
        return ti.cast(ti.cast(worker, ti.i64) * points // workers, ti.i32)

    @ti.func
    def insertion_sort(keys: ti.template(), entry_slots: ti.template(), begin, end):
        """Sort a short list in place."""
        for k in range(begin + 1, end):
            key, slot = keys[k], entry_slots[k]
            j = k - 1
            while j >= begin and keys[ti.max(j, begin)] > key:
                keys[j + 1] = keys[j]
                entry_slots[j + 1] = entry_slots[j]
                j -= 1
            keys[j + 1] = key
            entry_slots[j + 1] = slot

    @ti.func
    def radix_pass(keys: ti.template(), entry_slots: ti.template(), begin, end, source, target, lowest, shift):
        """Move a list from the half that begins at `source` to the other one, ordered by one digit of key - lowest; stable."""
        starts = histogram(0)
        for k in range(begin, end):
            starts[((keys[source + k] - lowest) >> shift) & (_DIGITS - 1)] += 1
        position = target + begin
        for d in range(_DIGITS):
            size = starts[d]
            starts[d] = position
            position += size
        for k in range(begin, end):
            key = keys[source + k]
            digit = ((key - lowest) >> shift) & (_DIGITS - 1)
            p = starts[digit]
            starts[digit] = p + 1
            keys[p] = key
            entry_slots[p] = entry_slots[source + k]

    @ti.kernel
    def count(
        splats: rows, counts: ints2,  # (tiles, workers) zero before
        points: int, workers: int, tiles_x: int, tiles_y: int,
    ):
        for block in range(workers * WORKER_STRIDE):
            if block % WORKER_STRIDE == 0:
                worker = block // WORKER_STRIDE
                for i in range(part_of(worker, points, workers), part_of(worker + 1, points, workers)):
                    r = tile_range(splats[i], support, tile, tiles_x, tiles_y)
                    for y in range(r[2], r[3] + 1):
                        for x in range(r[0], r[1] + 1):
                            counts[y * tiles_x + x, worker] = counts[y * tiles_x + x, worker] + 1

    @ti.kernel
    def fill(
        splats: rows, depths: array1,
        offsets: ints2,  # (tiles, workers) first free entry; advanced
        slot_offsets: ints,  # (workers,) first slot of each worker
        keys: ints, entry_slots: ints,  # (2 M,) out: the first M
        slot_points: ints,  # (M,) out: slots are numbered point by point
        point_slots: ints,  # (N + 1,) out: first slot of each point
        points: int, workers: int, tiles_x: int, tiles_y: int,
    ):
        for block in range(workers * WORKER_STRIDE):
            if block % WORKER_STRIDE == 0:
                worker = block // WORKER_STRIDE
                slot = slot_offsets[worker]
                for i in range(part_of(worker, points, workers), part_of(worker + 1, points, workers)):
                    point_slots[i] = slot
                    r = tile_range(splats[i], support, tile, tiles_x, tiles_y)
                    key = ti.bit_cast(ti.cast(depths[i], ti.f32), ti.i32)
                    for y in range(r[2], r[3] + 1):
                        for x in range(r[0], r[1] + 1):
                            at = y * tiles_x + x
                            entry = offsets[at, worker]
                            offsets[at, worker] = entry + 1
                            keys[entry] = key
                            entry_slots[entry] = slot
                            slot_points[slot] = i
                            slot += 1
                if worker == workers - 1:
                    point_slots[points] = slot

    @ti.kernel
    def sort(
        tile_start: ints,
        keys: ints, entry_slots: ints,  # (2 M,) as filled; the upper halves are scratch
        slot_points: ints,
        entries: ints,  # (M,) out: the point of each entry, by tile, front to back
        slots: ints,  # (M,) out: its slot
        tiles: int, workers: int,
    ):
        for block in range(workers * WORKER_STRIDE):
            if block % WORKER_STRIDE == 0:
                t = block // WORKER_STRIDE
                half = keys.shape[0] // 2
                while t < tiles:
                    begin, end = tile_start[t], tile_start[t + 1]
                    source, target = 0, half  # where the halves start; every pass moves the list to the other one
                    if end - begin <= _SHORT:
                        insertion_sort(keys, entry_slots, begin, end)
                    else:
                        lowest, highest = keys[begin], keys[begin]
                        for k in range(begin, end):
                            lowest, highest = ti.min(lowest, keys[k]), ti.max(highest, keys[k])
                        shift = 0
                        spread = highest - lowest  # depths are positive floats, so their bits order them as integers
                        while spread > 0:
                            radix_pass(keys, entry_slots, begin, end, source, target, lowest, shift)
                            source, target = target, source
                            shift += _DIGIT_BITS
                            spread = spread >> _DIGIT_BITS
                    for k in range(begin, end):
                        slot = entry_slots[source + k]
                        slots[k] = slot
                        entries[k] = slot_points[slot]
                    t += workers

    return count, fill, sort


def bin_cpu(
    splats: Tensor, depths: Tensor, dtype, support: float, tile: tuple[int, int], grid: tuple[int, int], workers: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(tile_start, entries, slots, point_slots) as described in `taichi_kernels.splatting.binning.Bins`."""
    count, fill, sort = binning_kernels(dtype, splats.shape[1], support, tile)
    tiles_x, tiles_y = grid
    points, tiles = splats.shape[0], tiles_x * tiles_y
    counts = torch.zeros(tiles, workers, dtype=torch.int32)
    count(splats, counts, points, workers, *grid)
    ends = torch.cumsum(counts.view(-1), 0)
    size = int(ends[-1])
    check_pairs(size, splats.shape[1])
    offsets = (ends - counts.view(-1)).to(torch.int32).view(tiles, workers)
    tile_start = torch.cat([offsets[:, 0], ends[-1:].to(torch.int32)])
    worker_sizes = counts.sum(0)
    slot_offsets = (torch.cumsum(worker_sizes, 0) - worker_sizes).to(torch.int32)
    room = max(size, 1)
    keys, entry_slots = torch.empty(2, 2 * room, dtype=torch.int32).unbind(0)
    entries, slots, slot_points = torch.empty(3, room, dtype=torch.int32).unbind(0)
    point_slots = torch.empty(points + 1, dtype=torch.int32)
    fill(splats, depths, offsets, slot_offsets, keys, entry_slots, slot_points, point_slots, points, workers, *grid)
    sort(tile_start, keys, entry_slots, slot_points, entries, slots, tiles, workers)
    return tile_start, entries, slots, point_slots
