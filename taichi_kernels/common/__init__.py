"""What the kernels share: array types, rows of cameras and splats by name, the loop of CPU workers, exponentials, derivatives."""
