"""How many threads a process may use, what mode they are in, and where compiled kernels are kept."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from taichi_kernels import runtime

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("slurm", "beside", "threads"), [("6", "", 6), ("6", "2", 3), ("1", "4", 1), ("6", "none", 6)])
def test_threads_come_from_the_allocation_and_are_shared_by_its_ranks(monkeypatch, slurm, beside, threads):
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", slurm)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", beside)
    assert runtime.available_threads() == threads


def test_without_one_they_are_those_that_the_process_may_run_on(monkeypatch):
    monkeypatch.delenv("SLURM_CPUS_PER_TASK", raising=False)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    assert runtime.available_threads() == len(os.sched_getaffinity(0))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "10000")
    assert runtime.available_threads() == 1


def ended(code: str, **variables) -> subprocess.CompletedProcess:
    """A program of its own; variables: of its environment, None takes one away."""
    environment = {name: value for name, value in (os.environ | variables).items() if value is not None}
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)


def test_denormals_count_as_zero_in_the_block_and_in_threads_that_started_in_it():
    """With two threads each takes half of a large tensor; 1e-40 is denormal, 2e-30 * 1e-10 becomes so."""
    done = ended(
        "import torch\n"
        "from taichi_kernels import runtime\n"
        "torch.set_num_threads(2)\n"
        "with runtime.flushed_denormals():\n"
        "    runtime.start_threads()\n"
        "    inside = torch.full((1 << 20,), 2e-30) * 1e-10\n"
        "outside = torch.full((1 << 20,), 2e-30) * 1e-10\n"
        "print(int((inside != 0).sum()), int((outside != 0).sum()), float(torch.tensor(1e-40) / 2) > 0)"
    )
    inside, outside, here = done.stdout.split()
    assert here == "True", done.stderr
    if inside != "0":
        pytest.skip("this processor has no such mode")
    assert int(outside) == 1 << 19  # the half of this thread


def test_scipy_is_not_reached_by_the_mode():
    """17 points at one position and one beside it: SciPy's tree of them splits for ever if denormals count as zero."""
    done = ended(
        "import main, torch\n"
        "main.startup.start_device('cpu', 2)\n"
        "from scipy.spatial import cKDTree\n"
        "from methods.points import paper\n"
        "positions = torch.zeros(18, 3)\n"
        "positions[17, 0] = 1\n"
        "print(cKDTree(positions.numpy()).query(positions.numpy(), workers=2)[1][17])\n"
        "print(len(paper._filtered_centroids(positions, 0.01)))"
    )
    assert (done.returncode, done.stdout.split()) == (0, ["17", "2"]), done.stderr  # itself; both voxels


@pytest.mark.parametrize(
    "variables",
    [
        {"HOME": None},
        {"HOME": ""},
        {"HOME": "/proc/none"},
        {"HOME": None, "TMPDIR": "/proc/none"},
        {"XDG_CACHE_HOME": "not/absolute"},
        {"XDG_CACHE_HOME": "/proc/none"},
    ],
    ids=str,
)
def test_taichi_starts_without_a_home(variables):
    code = "from taichi_kernels import runtime\nruntime.init('cpu', 1)\nimport os\nprint(os.environ['XDG_CACHE_HOME'])"
    done = ended(code, **({"XDG_CACHE_HOME": None, "MPLCONFIGDIR": None} | variables))
    assert done.returncode == 0, done.stderr
    folder = Path(done.stdout.strip())
    assert folder.is_absolute() and folder.is_dir() and os.access(folder, os.W_OK) and not (ROOT / "not").exists()


def test_caches_are_where_the_user_has_them(tmp_path):
    code = "import os, taichi_kernels\nprint(os.environ['XDG_CACHE_HOME'], 'MPLCONFIGDIR' in os.environ)"
    homes = {"HOME": str(tmp_path), "MPLCONFIGDIR": None}
    assert ended(code, **homes, XDG_CACHE_HOME=None).stdout.split() == [f"{tmp_path}/.cache", "False"]
    assert ended(code, **homes, XDG_CACHE_HOME=f"{tmp_path}/other").stdout.split() == [f"{tmp_path}/other", "False"]


def test_a_folder_for_caches_that_others_can_write_to_is_not_taken(tmp_path):
    planted = tmp_path / f"taichi_caches_{os.getuid()}"
    planted.mkdir(mode=0o700)
    code = "import os, taichi_kernels\nprint(os.environ['XDG_CACHE_HOME'])"
    for mode, taken in ((0o700, True), (0o777, False)):
        planted.chmod(mode)
        found = ended(code, HOME=None, XDG_CACHE_HOME=None, TMPDIR=str(tmp_path)).stdout.strip()
        assert (found == str(planted)) == taken and Path(found).parent == tmp_path
