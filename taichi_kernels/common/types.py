"""Taichi's types for Torch's tensors."""

import taichi as ti
from torch import Tensor


def taichi_type(tensor: Tensor):
    """The Taichi float type of a tensor: f32 or f64."""
    return {4: ti.f32, 8: ti.f64}[tensor.element_size()]
