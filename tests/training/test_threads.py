"""The same seed gives the same weights, to the bit, for any number of threads."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.products import skip_unless_even
from tests.training.threads_worker import TRAININGS

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """The results of the trainings with one, two and three threads."""
    if os.environ.get("RADIANCE_DEVICE", "cpu") != "cpu":
        pytest.skip("a GPU's kernels have no workers")
    skip_unless_even()
    outs = [tmp_path_factory.mktemp("threads") / str(threads) for threads in (1, 2, 3)]
    for out in outs:
        command = [sys.executable, "-m", "tests.training.threads_worker", str(out), out.name]
        subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True)
    return [torch.load(out) for out in outs]


@pytest.mark.parametrize("training", TRAININGS)
def test_the_number_of_threads_changes_no_bit(found, training):
    (weights, figures), *others = (each[training] for each in found)
    assert all(value.isfinite().all() for value in weights.values())
    for other, other_figures in others:
        assert [name for name, value in weights.items() if not torch.equal(value, other[name])] == []
        assert other_figures == figures
