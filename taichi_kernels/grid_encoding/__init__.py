"""Grids of learned features around a point: dense voxels, and the multi-resolution hash grid."""

from taichi_kernels.grid_encoding.layout import GridLayout
from taichi_kernels.grid_encoding.op import encode_grid, grid_gradient

__all__ = ["GridLayout", "encode_grid", "grid_gradient"]
