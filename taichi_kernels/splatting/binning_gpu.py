"""GPU schedule of binning: a thread a point counts and writes its (tile, point) pairs, and two stable sorts of Torch order them.

The pairs are written front to back (first sort: points by depth), so that a stable sort of the pairs by tile leaves every
tile's list front to back, ties in the order of the points: the lists of the CPU schedule, in every run.
"""

from functools import cache

import taichi as ti
import torch
from torch import Tensor

from taichi_kernels.splatting.tiles import check_pairs, tile_range


@cache
def binning_kernels(dtype, columns: int, support: float, tile: tuple[int, int]):
    """(count, fill) kernels for splats of a float type and row length, a profile's support and a tile size."""
    rows = ti.types.ndarray(dtype=ti.types.vector(columns, dtype), ndim=1)
    ints = ti.types.ndarray(dtype=ti.i32, ndim=1)

    @ti.kernel
    def count(
        splats: rows,
        counts: ints,  # (N,) out: tiles of each point
        tiles_x: int, tiles_y: int,
    ):
        for i in range(splats.shape[0]):
            r = tile_range(splats[i], support, tile, tiles_x, tiles_y)
            counts[i] = ti.max(r[1] - r[0] + 1, 0) * ti.max(r[3] - r[2] + 1, 0)

    @ti.kernel
    def fill(
        splats: rows,
        order: ints,  # (N,) points front to back
        pair_start: ints,  # (N,) first pair of each point of that order
        point_slots: ints,  # (N + 1,)
        pair_tile: ints, pair_point: ints, pair_slot: ints,  # (M,) out
        tiles_x: int, tiles_y: int,
    ):
        for rank in range(splats.shape[0]):
            i = order[rank]
            pair, slot = pair_start[rank], point_slots[i]
            r = tile_range(splats[i], support, tile, tiles_x, tiles_y)
            for y in range(r[2], r[3] + 1):
                for x in range(r[0], r[1] + 1):
                    pair_tile[pair] = y * tiles_x + x
                    pair_point[pair] = i
                    pair_slot[pair] = slot
                    pair += 1
                    slot += 1

    return count, fill


def bin_gpu(
    splats: Tensor, depths: Tensor, dtype, support: float, tile: tuple[int, int], grid: tuple[int, int]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(tile_start, entries, slots, point_slots) as described in `taichi_kernels.splatting.binning.Bins`."""
    count, fill = binning_kernels(dtype, splats.shape[1], support, tile)
    where = splats.device
    tiles_x, tiles_y = grid
    counts = torch.zeros(splats.shape[0], dtype=torch.int32, device=where)
    count(splats, counts, *grid)
    ends = torch.cumsum(counts, 0)
    size = int(ends[-1])
    check_pairs(size, splats.shape[1])
    point_slots = torch.cat([ends.new_zeros(1), ends]).to(torch.int32)
    order = torch.sort(depths.float().view(torch.int32), stable=True)[1]
    ranked = counts[order]
    pair_start = (torch.cumsum(ranked, 0) - ranked).to(torch.int32)
    tiles, points, slots = (torch.zeros(max(size, 1), dtype=torch.int32, device=where) for _ in range(3))
    fill(splats, order.to(torch.int32), pair_start, point_slots, tiles, points, slots, *grid)
    sorted_tiles, by_tile = torch.sort(tiles[:size], stable=True)
    every_tile = torch.arange(tiles_x * tiles_y + 1, dtype=torch.int32, device=where)
    tile_start = torch.searchsorted(sorted_tiles, every_tile).to(torch.int32)
    if size:
        points, slots = points[by_tile], slots[by_tile]
    return tile_start, points, slots, point_slots
