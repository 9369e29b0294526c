import taichi_kernels  # noqa: F401  sets the environment, before anything loads torch
