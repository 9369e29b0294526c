"""Differentiable kernels in Taichi, called with Torch tensors. Installs and imports on its own."""
