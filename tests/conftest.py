"""One device a test process: RADIANCE_DEVICE (cpu, vulkan or cuda), the CPU unless it is set."""

import os

import pytest
import torch

from taichi_kernels import runtime


@pytest.fixture(scope="session", autouse=True)
def device() -> torch.device:
    """Start Taichi once; where tensors must live."""
    runtime.init(os.environ.get("RADIANCE_DEVICE", "cpu"))
    return runtime.torch_device()
