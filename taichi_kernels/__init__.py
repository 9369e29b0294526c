"""Differentiable kernels in Taichi, called with Torch tensors. Installs and imports on its own.

Import it before torch: after each operation Torch's OpenMP threads may spin, on the very cores that Taichi's threads then need,
unless OMP_WAIT_POLICY is `passive` when Torch is loaded.
"""

import os

for _name, _value in {"OMP_WAIT_POLICY": "passive", "ENABLE_TAICHI_HEADER_PRINT": "False"}.items():
    os.environ.setdefault(_name, _value)
