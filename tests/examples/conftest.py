"""The examples work with CPU tensors."""

import pytest

from taichi_kernels import runtime


@pytest.fixture
def on_cpu():
    """Skip if the kernels run on a device whose tensors are not the CPU's."""
    if runtime.torch_device().type != "cpu":
        pytest.skip("the examples make CPU tensors")
