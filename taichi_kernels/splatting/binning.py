"""Binning: which splats touch which screen tile, front to back, with exact counts."""

from dataclasses import dataclass

from torch import Tensor

from taichi_kernels import runtime
from taichi_kernels.common.types import taichi_type
from taichi_kernels.splatting import cpu, gpu
from taichi_kernels.splatting.binning_cpu import bin_cpu
from taichi_kernels.splatting.binning_gpu import bin_gpu


@dataclass(frozen=True)
class Bins:
    """M (tile, splat) pairs, grouped by tile and ordered front to back inside a tile.

    A pair's slot numbers the pairs splat by splat instead: the backward pass writes a pair's gradient to row `slot`, so that a
    splat's rows lie together and are summed in a fixed order, without atomics.
    """

    tile_start: Tensor  # (tiles + 1,) int32: pairs tile_start[t] to tile_start[t + 1] belong to tile t
    entries: Tensor  # (>= M,) int32: splat of each pair
    slots: Tensor  # (>= M,) int32: slot of each pair
    point_slots: Tensor  # (N + 1,) int32: slots point_slots[i] to point_slots[i + 1] belong to splat i
    tiles_x: int
    tiles_y: int

    @property
    def tiles(self) -> int:
        """Tiles of the image."""
        return self.tiles_x * self.tiles_y


def schedule():
    """The splatting module of the running device: its tile size and its kernels."""
    return gpu if runtime.is_gpu() else cpu


def bin_splats(splats: Tensor, depths: Tensor, width: int, height: int, support: float) -> Bins:
    """Sort splats (N, 4 + C), N > 0, by tile and depth (N,), see `taichi_kernels.splatting.op.splat_packed` for the columns.

    support: radii beyond which the profile is zero. Equal depths keep the order of the points. Splats with a depth <= 0 must
    have opacity 0. Raises ValueError when there are more pairs than 32 bits can address rows of.
    """
    tile = schedule()
    tiles_x, tiles_y = -(-width // tile.TILE_WIDTH), -(-height // tile.TILE_HEIGHT)
    geometry = (taichi_type(splats), support, (tile.TILE_WIDTH, tile.TILE_HEIGHT), (tiles_x, tiles_y))
    if runtime.is_gpu():
        return Bins(*bin_gpu(splats, depths, *geometry), tiles_x, tiles_y)
    return Bins(*bin_cpu(splats, depths, *geometry, runtime.workers()), tiles_x, tiles_y)
