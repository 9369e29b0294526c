"""Signals at random moments, from the program's first line to its end: each ends it with its code, and the run goes on to the
same bits.

RADIANCE_SIGNAL_MOMENTS is the number of moments, RADIANCE_SIGNAL_SEED chooses others. As a program, this prints what every moment
led to: python -m tests.test_signals
"""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import pytest
import torch

from datasets.demo import DemoSettings, make_demo

ROOT = Path(__file__).parents[1]
MOMENTS, SEED = (int(os.environ.get(f"RADIANCE_SIGNAL_{name}", value)) for name, value in (("MOMENTS", 6), ("SEED", 0)))
CODES = {signal.SIGTERM: 75, signal.SIGUSR1: 75, signal.SIGINT: 130}
RUNS = {
    "points": ["--recipe", "default", "--epochs", "40"],
    "paper": ["--recipe", "paper", "--epochs", "30", "--data_r", "0.01"],
    "grid": ["--method", "nerf", "--N_iters", "30", "--i_video", "15"],
}
AT_ONCE = 3  # signals in a run, before it goes on to its end

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="needs Linux's /proc")


def started(folder: Path, words: list[str]) -> subprocess.Popen:
    """The program, as soon as its handlers are there: before that, none of its own lines has run."""
    with (folder / "output.txt").open("a") as output:
        process = subprocess.Popen(
            [sys.executable, "main.py", "--threads", "1", "--basedir", str(folder / "run"), *words],
            cwd=ROOT,
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )  # ignored in what a shell starts in the background
    wanted = sum(1 << number - 1 for number in CODES)
    while process.poll() is None and _caught(process) & wanted != wanted:
        time.sleep(0.001)
    return process


def _caught(process: subprocess.Popen) -> int:
    """The mask of signals that the process has handlers for."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next((int(line.split()[1], 16) for line in lines if line.startswith("SigCgt")), 0)


def whole(folder: Path, words: list[str]) -> tuple[float, dict]:
    """Seconds that an undisturbed run takes, and its weights."""
    folder.mkdir()
    process, began = started(folder, words), time.monotonic()
    assert process.wait() == 0, (folder / "output.txt").read_text()
    return time.monotonic() - began, weights(folder)


def weights(folder: Path) -> dict:
    """Every tensor of the model."""
    state = torch.load(folder / "run" / "weights.pt", weights_only=True)
    return state["cloud"]["tensors"] if "cloud" in state else state["field"]["tensors"]


def disturbed(folder: Path, words: list[str], seconds: float, chance: random.Random, moments: int) -> list[tuple]:
    """A run with some signals, one each time that it is started, then to its end; the result of every signal: (name, moment,
    exit code, seconds until it)."""
    folder.mkdir()
    told = []
    while len(told) < moments:
        number, moment = chance.choice(list(CODES)), chance.uniform(0, seconds)
        process, began = started(folder, words), time.monotonic()
        try:
            process.wait(moment)
        except subprocess.TimeoutExpired:
            process.send_signal(number)
        else:  # it was faster than the one that was measured, or had less left to do
            seconds = time.monotonic() - began
            continue
        sent = time.monotonic()
        code = process.wait(120)
        told.append((number.name, round(moment, 2), code, round(time.monotonic() - sent, 2)))
        report = folder / "run" / "report.json"
        if code != CODES[number]:  # the signal came too late to matter
            assert code == 0 and not json.loads(report.read_text())["run"]["interrupted"], (told, output(folder))
    assert started(folder, words).wait() == 0, (told, output(folder))
    assert "Traceback" not in output(folder), (told, output(folder))
    assert not json.loads((folder / "run" / "report.json").read_text())["run"]["interrupted"]
    assert not list((folder / "run").rglob(".*")), told
    return told


def output(folder: Path) -> str:
    """All that the runs in a folder have said."""
    return (folder / "output.txt").read_text()


def same(one: dict, other: dict) -> bool:
    """Whether two models are equal to the bit."""
    return one.keys() == other.keys() and all(
        value is other[name] if value is None else torch.equal(value, other[name]) for name, value in one.items()
    )


def make_scene(folder: Path) -> Path:
    """Ten small pictures."""
    make_demo(folder, DemoSettings(width=24, height=20, train_views=8, val_views=1, test_views=2), quiet=True)
    return folder


@pytest.mark.parametrize("name", ["points", "grid"])
def test_signals_at_random_moments(tmp_path, name):
    words = ["--datadir", str(make_scene(tmp_path / "scene")), *RUNS[name]]
    seconds, expected = whole(tmp_path / "whole", words)
    chance, left = random.Random(f"{SEED} {name}"), -(-MOMENTS // 2)
    while left:
        folder = tmp_path / f"cut_{left}"
        told = disturbed(folder, words, seconds, chance, min(left, AT_ONCE))
        assert same(weights(folder), expected), told
        left -= len(told)


def main() -> None:
    """All runs of `RUNS`, and how long it took until the signals were answered."""
    with tempfile.TemporaryDirectory() as temporary:
        scene, ends = make_scene(Path(temporary) / "scene"), []
        for run, flags in RUNS.items():
            words = ["--datadir", str(scene), *flags]
            seconds, expected = whole(Path(temporary) / run, words)
            chance, left = random.Random(f"{SEED} {run}"), -(-MOMENTS // len(RUNS))
            while left:
                folder = Path(temporary) / f"{run}_{left}"
                told = disturbed(folder, words, seconds, chance, min(left, AT_ONCE))
                assert same(weights(folder), expected), told
                left, ends = left - len(told), ends + told
                print(run, f"{seconds:.1f} s", *told, flush=True)
        print(len(ends), "moments:", dict(Counter((name, code) for name, _, code, _ in ends)))
        for name in (signal.name for signal in CODES):
            waits = sorted(wait for sent, _, code, wait in ends if sent == name and code)
            print(name, f"answered within {waits[len(waits) // 2]} s (median), {waits[-1]} s (longest)" if waits else "-")


if __name__ == "__main__":
    main()
