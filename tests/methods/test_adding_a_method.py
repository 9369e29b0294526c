"""docs/adding_a_method.md: its method is complete, and no other file of the program knows it."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from datasets.demo import DemoSettings, make_demo

ROOT = Path(__file__).parents[2]
ROOMS = ("datasets", "jobs", "methods", "models", "reporting", "settings", "system", "taichi_kernels", "training")
FLAGS = ["--method", "one_colour", "--device", "cpu", "--threads", "1", "--img_s", "32", "--cloud_size", "300"]


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """A copy of the program with the page's folder in it."""
    folder = tmp_path_factory.mktemp("program")
    for room in ROOMS:
        shutil.copytree(ROOT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "main.py", folder)
    page = (ROOT / "docs" / "adding_a_method.md").read_text(encoding="utf-8")
    for name, code in re.findall(r"^```python (\S+)\n(.*?)^```$", page, re.DOTALL | re.MULTILINE):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(code, encoding="utf-8")
    small = DemoSettings(width=32, height=32, train_views=6, val_views=1, test_views=2, samples=1)
    make_demo(folder / "scene", small, quiet=True)
    return folder


def run(program, *words):
    """The output of a command of the program: python with these words."""
    done = subprocess.run([sys.executable, *words], cwd=program, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def weights(program, run_folder):
    return torch.load(program / run_folder / "weights.pt", weights_only=True)["one_colour"]


def test_the_folder_is_small(program):
    lines = sum(len(path.read_text().splitlines()) for path in (program / "methods" / "one_colour").glob("*.py"))
    assert lines < 120


def test_help(program):
    shown = " ".join(run(program, "main.py", "--help").split())
    assert "--cloud_size N points of the cloud [default: 2000]" in shown and "--method points|nerf|one_colour" in shown


def test_it_trains_is_killed_goes_on_and_is_shown(program):
    words = ["--datadir", "scene", *FLAGS, "--N_iters", "400"]
    shown = run(program, "main.py", *words, "--basedir", "whole")
    assert "Rendering quality" in shown
    report = json.loads((program / "whole" / "report.json").read_text())
    assert report["method"] == "one_colour" and len(report["history"]) == 20
    assert report["history"][-1]["train_psnr"] > report["history"][0]["train_psnr"]
    killed = subprocess.Popen([sys.executable, "main.py", *words, "--basedir", "cut"], cwd=program, stderr=subprocess.DEVNULL)
    while not (program / "cut" / "checkpoint.pt").exists():
        assert killed.poll() is None
        time.sleep(0.01)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    run(program, "main.py", *words, "--basedir", "cut")
    first, second = weights(program, "whole"), weights(program, "cut")
    assert all(torch.equal(first[name], second[name]) for name in first)
    run(program, "main.py", *words, "--basedir", "whole", "--render_only", "--render_test")
    assert len(list((program / "whole" / "pictures").glob("*.png"))) >= 2


def test_it_sweeps(program):
    """A table's runs, as a job of an array starts them, and the table of their results."""
    (program / "table.csv").write_text(f"scene,method,flags,seeds\nscene,one_colour,{' '.join(FLAGS[2:])} --N_iters 40,0 1\n")
    (program / "sweep").mkdir()
    code = "from pathlib import Path; from jobs.sweep import read_table, write_runs; sweep = Path('sweep'); "
    run(program, "-c", code + "write_runs(sweep, read_table(Path('table.csv'), sweep))")
    for number in ("0", "1"):
        run(program, "-m", "jobs.run_one", "sweep", number)
    run(program, "-m", "jobs.collect", "sweep")
    assert (program / "sweep" / "table.csv").read_text().count("one_colour") >= 2
