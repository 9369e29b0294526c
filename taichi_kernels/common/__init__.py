"""What several kernels need: types, rows of cameras and splats by name, exponentials, derivatives."""
