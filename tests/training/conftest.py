"""The built-in scene, small, with its exact depth maps: made once for all tests of this room."""

from dataclasses import replace

import pytest

from datasets.blender import load_blender
from datasets.demo import DemoSettings, make_demo
from methods.points.options import PointOptions

SIZE = 96


@pytest.fixture(scope="session")
def demo_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("truth") / "island"
    make_demo(folder, DemoSettings(width=SIZE, height=SIZE, train_views=40, val_views=1, test_views=4, samples=2), quiet=True)
    return folder


@pytest.fixture(scope="session")
def demo_scene(demo_folder):
    return load_blender(demo_folder, replace(PointOptions(), datadir=str(demo_folder)))
