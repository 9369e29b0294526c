"""A SLURM of one node for all tests of jobs, and a copy of the program for each file of them."""

import shutil
import sys
from pathlib import Path

import pytest

from datasets.demo import DemoSettings, make_demo
from tests.cluster.one_node import OneNode, why_not

ROOT = Path(__file__).parents[2]
ROOMS = sorted(path.parent.name for path in ROOT.glob("*/__init__.py") if path.parent.name not in ("tests", "benchmarks"))


@pytest.fixture(scope="session")
def cluster():
    """Skips if SLURM is not installed or its daemons do not start."""
    if why_not():
        pytest.skip(why_not())
    node = OneNode()
    try:
        node.start()
    except (RuntimeError, TimeoutError) as problem:
        node.stop()
        pytest.skip(f"SLURM's daemons do not start here: {problem}")
    yield node
    node.stop()


@pytest.fixture(scope="module")
def program(cluster, tmp_path_factory):
    """A copy of the program with a cluster.env of its own, beside a small scene."""
    folder = tmp_path_factory.mktemp("program")
    shutil.copy(ROOT / "main.py", folder)
    for room in (*ROOMS, "configs"):
        shutil.copytree(ROOT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__", "cluster.env"))
    setup = f'export PATH="{Path(sys.executable).parent}:$PATH"'
    (folder / "jobs" / "cluster.env").write_text(f"RADIANCE_SETUP='{setup}'\nRADIANCE_CACHE={folder}/kernels\n")
    make_demo(folder / "scene", DemoSettings(width=64, height=64, train_views=20, val_views=1, test_views=2), quiet=True)
    return folder
