"""Taichi's types for Torch's tensors and for the arguments of functions."""

import taichi as ti
from torch import Tensor

array = ti.template()  # annotation of a ti.func's argument that is not copied: an ndarray, or a local vector to write to


def taichi_type(tensor: Tensor):
    """The Taichi float type of a tensor: f32 or f64."""
    return {4: ti.f32, 8: ti.f64}[tensor.element_size()]
