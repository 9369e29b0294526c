"""Jobs on a real SLURM of one node: they run, are cut off, come back, and end with the same bits."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

TRAINING = ["--img_s", "64", "--recipe", "paper", "--data_r", "0.02", "--epochs", "40", "--refine_n", "1", "--threads", "1"]


def words(name: str) -> list[str]:
    return ["jobs/train.sbatch", "--datadir", "scene", "--basedir", name, *TRAINING]


def small(*more: str) -> list[str]:
    return ["--cpus-per-task=1", "--mem=2G", "--time=5", *more]


def output(program: Path, job: int) -> str:
    file = program / f"radiance_{job}.out"
    return file.read_text() if file.is_file() else ""


def wait_for_steps(program: Path, name: str, epochs: int) -> None:
    log, until = program / name / "log.txt", time.monotonic() + 120
    while not log.is_file() or len(log.read_text().splitlines()) < epochs:
        assert time.monotonic() < until, f"no {epochs} epochs in {log}"
        time.sleep(0.05)


def weights(program: Path, name: str) -> dict:
    return torch.load(program / name / "weights.pt", weights_only=True)["cloud"]["tensors"]


@pytest.fixture(scope="module")
def uninterrupted(program):
    command = [sys.executable, "main.py", *words("whole")[1:]]
    done = subprocess.run(command, cwd=program, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return weights(program, "whole")


def test_preempted_three_times_and_requeued(cluster, program, uninterrupted):
    job = cluster.submit(*small(), *words("preempted"), folder=program)
    for turn in range(3):
        wait_for_steps(program, "preempted", 3 + 8 * turn)
        cluster.ask("scancel", "-b", "--signal=USR1", str(job))
        cluster.wait(job, ("PENDING",), 60)
        time.sleep(8)  # until the credential of its last start has expired
        cluster.start_now(job)
        cluster.wait(job, ("RUNNING",), 60)
    assert cluster.wait(job, ("COMPLETED", "FAILED", "TIMEOUT")) == "COMPLETED", output(program, job)
    assert cluster.field(job, "Restarts") == "3"
    text = output(program, job)
    assert text.count("stopped by SIGUSR1") == 3 and text.count("Training time") == 1 and "Traceback" not in text
    found = weights(program, "preempted")
    assert all(torch.equal(found[key], value) for key, value in uninterrupted.items() if value is not None)


def test_a_job_that_is_cancelled_saves_and_stays_away(cluster, program, uninterrupted):
    job = cluster.submit(*small(), *words("cancelled"), folder=program)
    wait_for_steps(program, "cancelled", 3)
    cluster.ask("scancel", str(job))
    assert cluster.wait(job, ("CANCELLED",)) == "CANCELLED"
    assert "stopped by SIGTERM" in output(program, job) and cluster.field(job, "Restarts") == "0"
    again = cluster.submit(*small(), *words("cancelled"), folder=program)
    assert cluster.wait(again, ("COMPLETED", "FAILED")) == "COMPLETED", output(program, again)
    assert all(
        torch.equal(weights(program, "cancelled")[key], value) for key, value in uninterrupted.items() if value is not None
    )


def test_a_job_whose_time_is_up_goes_on_in_the_next(cluster, program):
    """SLURM sends the signal by itself. It checks its jobs twice a minute, and sends it up to 30 s early: here 10 to 40 s after
    the start, when the script has set its traps and the training has not ended."""
    if os.environ.get("RADIANCE_LONG_TESTS", "") == "":
        pytest.skip("takes three minutes: RADIANCE_LONG_TESTS=1 runs it")
    flags = [*words("limited")[1:3], *TRAINING, "--epochs", "400"]
    minute = small("--time=1", "--signal=B:USR1@20")
    job = cluster.submit(*minute, "jobs/train.sbatch", *flags, "--basedir", "limited", folder=program)
    whole = subprocess.Popen(
        [sys.executable, "main.py", *flags, "--basedir", "unlimited"], cwd=program, stderr=subprocess.DEVNULL
    )
    ends = ("COMPLETED", "FAILED", "TIMEOUT")
    while cluster.wait(job, (*ends, "PENDING"), 150) == "PENDING":
        time.sleep(8)
        cluster.start_now(job)
        cluster.wait(job, ("RUNNING", *ends), 60)
    assert whole.wait(timeout=240) == 0
    assert cluster.field(job, "JobState") == "COMPLETED" and int(cluster.field(job, "Restarts")) >= 1, output(program, job)
    assert output(program, job).count("stopped by SIGUSR1") == int(cluster.field(job, "Restarts"))
    found, expected = weights(program, "limited"), weights(program, "unlimited")
    assert all(torch.equal(found[key], value) for key, value in expected.items() if value is not None)


def test_a_mistake_fails_and_is_not_tried_again(cluster, program):
    job = cluster.submit(*small(), *words("wrong"), "--data_r", "-1", folder=program)
    assert cluster.wait(job, ("COMPLETED", "FAILED")) == "FAILED"
    assert cluster.field(job, "ExitCode") == "2:0" and "--data_r" in output(program, job)


def test_without_a_cluster_env_the_job_says_so(cluster, program):
    env = program / "jobs" / "cluster.env"
    kept = env.read_text()
    env.unlink()
    try:
        job = cluster.submit(*small(), *words("none"), folder=program)
        assert cluster.wait(job, ("COMPLETED", "FAILED")) == "FAILED"
    finally:
        env.write_text(kept)
    assert cluster.field(job, "ExitCode") == "2:0" and "cluster.env.example" in output(program, job)
