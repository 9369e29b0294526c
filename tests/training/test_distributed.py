"""Several ranks take the steps that one would take, and hold the same model to the bit."""

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

import main
from methods.points.learn import choose_recipe
from methods.points.options import PointOptions
from settings.errors import InputError
from system import ranks, signals
from training import distributed

ROOT = Path(__file__).parents[2]
POINTS = ["--recipe", "default", "--epochs", "5", "--data_r", "0.02", "--batch_views", "3"]  # of 40 views: the last step has one
FIELD = ["--method", "nerf", "--N_iters", "112", "--N_rand", "301", "--perturb", "0", "--mixed_precision", "False"]


def port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def start(count, out, *words):
    """The processes of `count` ranks."""
    common = os.environ | {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port(), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.training.rank_worker", str(out), *words]
    return [
        subprocess.Popen(
            command, cwd=ROOT, env=common | {"RANK": str(rank), "LOCAL_RANK": str(rank)}, text=True, stderr=subprocess.PIPE
        )
        for rank in range(count)
    ]


def results(count, folder, *words):
    out = folder / f"ranks_{count}"
    words = [*words, "--basedir", str(folder / f"run_{count}")]
    for process in start(count, out, *words):
        error = process.communicate(timeout=300)[1]
        assert process.returncode == 0, error
    return [torch.load(f"{out}.{rank}", weights_only=True) for rank in range(count)]


@pytest.mark.parametrize("words", [POINTS, FIELD], ids=["points", "field"])
def test_two_ranks_learn_what_one_learns(tmp_path, demo_folder, words):
    """Gradients of the first step to 1e-6 of the largest; the same model on both, through splits, prunings and occupancies."""
    words = ["--datadir", str(demo_folder), "--img_s", "48", *words]
    (alone,) = results(1, tmp_path, *words)
    first, second = results(2, tmp_path, *words)
    for one, two in zip(alone["gradients"], first["gradients"], strict=True):
        assert one.abs().max() > 0 and (one - two).abs().max() < 1e-6 * one.abs().max()
    assert first["model"].keys() == second["model"].keys() and first["psnr"] == second["psnr"]
    assert all(torch.equal(value, second["model"][name]) for name, value in first["model"].items())
    assert len(alone["psnr"]) == len(first["psnr"]) and abs(alone["psnr"][-1] - first["psnr"][-1]) < 1
    assert alone["psnr"][-1] > alone["psnr"][0] + 1
    log = (tmp_path / "run_2" / "log.txt").read_text().splitlines()
    assert len(log) == len(first["psnr"])  # one rank writes
    if "field" in str(alone["model"].keys()):
        assert not first["model"]["occupancy.occupied"].all()


def test_a_rank_that_dies_ends_the_others_with_a_message(tmp_path, demo_folder):
    words = ["--datadir", str(demo_folder), "--img_s", "48", *FIELD, "--N_iters", "100000", "--basedir", str(tmp_path / "run")]
    one, two = start(2, tmp_path / "out", *words)
    until = time.monotonic() + 120
    while not (tmp_path / "run" / "config.txt").is_file():
        assert one.poll() is None and two.poll() is None and time.monotonic() < until
        time.sleep(0.1)
    two.kill()
    error = one.communicate(timeout=60)[1]
    two.communicate()
    assert one.returncode == 1 and "Lost" in error


def test_a_rank_that_waits_for_others_handles_a_signal(tmp_path, demo_folder):
    """Both the rank that the others connect to and one that starts too early."""
    words = ["main.py", "--datadir", str(demo_folder), "--img_s", "48", "--basedir", str(tmp_path / "run"), "--threads", "1"]
    common = os.environ | {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "LOCAL_RANK": "0", "PYTHONPATH": str(ROOT)}
    alone = [
        subprocess.Popen(
            [sys.executable, *words],
            cwd=ROOT,
            text=True,
            stderr=subprocess.PIPE,
            env=common | {"RANK": rank, "MASTER_PORT": port()},
        )
        for rank in ("0", "1")
    ]
    time.sleep(12)
    for process in alone:
        process.send_signal(signal.SIGUSR1)
        error = process.communicate(timeout=10)[1]
        assert process.returncode == signals.EXIT_CODE and "stopped by SIGUSR1" in error, error
        assert "Exception" not in error and "frame #" not in error


def test_exit_codes_of_ranks(monkeypatch, capsys):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")

    def ended(problem, told="", agreed=False):
        def run(argv):
            signals._state.update(requested=told, together=agreed)
            raise problem

        monkeypatch.setattr(main, "run", run)
        return main.main([])

    assert ended(ranks.Lost("another rank ended")) == 1 and ended(ranks.Lost("another rank ended"), "SIGTERM") == 1
    assert ended(ranks.Lost("another rank ended"), "SIGUSR1") == 75
    assert ended(signals.StopRequested("SIGUSR1"), agreed=True) == 0 and ended(signals.StopRequested("SIGUSR1")) == 75
    assert ended(InputError("wrong")) == 2
    assert all(line.startswith("main.py (rank 1): ") for line in capsys.readouterr().err.splitlines())


def test_devices_that_do_not_go_together_are_refused(monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    store = dist.HashStore()
    for first, own, sentence in (("a 1", "", "others did not"), ("", "a 1", "others did not"), ("a 1", "a 1", "share a GPU")):
        store.set("device_0", first)
        with pytest.raises(InputError, match=sentence):
            distributed._check_devices(store, own)
    store.set("device_0", "a 0")
    distributed._check_devices(store, "a 1")


def test_variables_that_do_not_fit_are_reported(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    given = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500", "RANK": "2"}
    for missing in given:
        for name, value in given.items():
            monkeypatch.setenv(name, "" if name == missing else value)
        with pytest.raises(InputError, match=f"missing or not valid: {missing}; start the ranks by torchrun"):
            ranks.check()
    monkeypatch.setenv("RANK", "2")
    with pytest.raises(InputError, match="RANK 2"):
        ranks.check()
    monkeypatch.setenv("MASTER_PORT", "70000")
    with pytest.raises(InputError, match="70000 is not a port"):
        ranks.check()


@pytest.mark.parametrize(("seen", "own", "left"), [(None, "1", "1"), ("", "1", ""), ("4,7", "1", "7"), ("3", "1", "3")])
def test_every_rank_keeps_its_own_gpu(monkeypatch, seen, own, left):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", own)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", seen or "")
    if seen is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    ranks.keep_own_gpu()
    assert os.environ["CUDA_VISIBLE_DEVICES"] == left


def test_ranks_draw_their_own_numbers_and_one_rank_the_shared_ones(monkeypatch):
    shared = torch.Generator().manual_seed(0)
    assert distributed.shard_generator(shared, 0, 5) is shared
    monkeypatch.setenv("WORLD_SIZE", "2")
    drawn = {}
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        for step in (5, 6):
            drawn[rank, step] = float(torch.rand((), generator=distributed.shard_generator(shared, 0, step)))
    assert len(set(drawn.values())) == 4
    assert distributed.shard(list(range(5))) == [1, 3]
    assert torch.equal(shared.get_state(), torch.Generator().manual_seed(0).get_state())


def test_step_sizes_grow_with_the_root_of_the_views_that_a_step_has(demo_scene):
    def rates(**changes):
        recipe, _ = choose_recipe(replace(PointOptions(), **changes), demo_scene)
        return [rate for stage in recipe.stages for rate in (stage.colour_rate, stage.position_rate, stage.opacity_rate)]

    plain = rates(batch_views=1)
    assert rates() == plain and rates(batch_views=4) == pytest.approx([2 * rate for rate in plain])
    assert rates(batch_views=4096) == pytest.approx([40**0.5 * rate for rate in plain])  # there are 40 views
    assert rates(recipe="paper", batch_views=4)[0] == rates(recipe="paper")[0]


def test_ranks_without_a_view_are_refused(monkeypatch, demo_scene):
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(InputError, match="--batch_views 3 leaves some of 4 ranks without a view"):
        choose_recipe(replace(PointOptions(), batch_views=3), demo_scene)


def test_more_ranks_than_gpus_are_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_RANK", "2")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    with pytest.raises(InputError, match="more ranks than the 2 GPUs"):
        ranks.keep_own_gpu()
