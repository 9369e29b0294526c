"""One device a test process: RADIANCE_DEVICE (cpu, vulkan or cuda), the CPU unless it is set. And the built-in scene, small."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from datasets.blender import load_blender
from datasets.demo import DemoSettings, make_demo
from datasets.scene import Scene
from methods.points.options import PointOptions
from taichi_kernels import runtime


@pytest.fixture(scope="session", autouse=True)
def device() -> torch.device:
    """Start Taichi once; returns the device of the kernels' tensors."""
    runtime.init(os.environ.get("RADIANCE_DEVICE", "cpu"))
    return runtime.torch_device()


@pytest.fixture(scope="session")
def demo_folder(tmp_path_factory) -> Path:
    """The built-in scene with its exact depth maps: made once."""
    folder = tmp_path_factory.mktemp("truth") / "island"
    make_demo(folder, DemoSettings(width=96, height=96, train_views=40, val_views=1, test_views=4, samples=2), quiet=True)
    return folder


@pytest.fixture(scope="session")
def demo_scene(demo_folder) -> Scene:
    return load_blender(demo_folder, replace(PointOptions(), datadir=str(demo_folder)))
