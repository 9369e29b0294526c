"""A job of two ranks on a real SLURM: they are cut off together and go on, and one that dies ends the job."""

import os
import signal
import time
from pathlib import Path

import pytest
import torch

from tests.cluster.test_train_job import output, wait_for_steps, weights

TRAINING = ["--img_s", "64", "--recipe", "paper", "--data_r", "0.02", "--epochs", "40", "--refine_n", "1"]
ASKED = ["--ntasks-per-node=2", "--cpus-per-task=1", "--mem-per-cpu=1500M", "--time=5"]


def submit(cluster, program, name):
    return cluster.submit(*ASKED, "jobs/multi_gpu.sbatch", "--datadir", "scene", "--basedir", name, *TRAINING, folder=program)


@pytest.fixture(scope="module")
def uninterrupted(cluster, program):
    job = submit(cluster, program, "ranks_whole")
    assert cluster.wait(job, ("COMPLETED", "FAILED")) == "COMPLETED", output(program, job)
    text = output(program, job)
    assert text.count("Training time") == 1 and text.count("test views: 100%") == 1, text  # one rank speaks
    assert "batch_views = 2" in (program / "ranks_whole" / "config.txt").read_text()
    return weights(program, "ranks_whole")


def test_ranks_are_cut_off_together_and_go_on(cluster, program, uninterrupted):
    job = submit(cluster, program, "ranks_cut")
    wait_for_steps(program, "ranks_cut", 3)
    cluster.ask("scancel", "-b", "--signal=USR1", str(job))
    cluster.wait(job, ("PENDING",), 60)
    time.sleep(8)  # until the credential of its last start has expired
    cluster.start_now(job)
    assert cluster.wait(job, ("COMPLETED", "FAILED", "TIMEOUT")) == "COMPLETED", output(program, job)
    text = output(program, job)
    assert text.count("stopped by") == 1 and text.count("Training time") == 1 and "Traceback" not in text, text
    found = weights(program, "ranks_cut")
    assert all(torch.equal(found[key], value) for key, value in uninterrupted.items() if value is not None)


def test_a_rank_that_dies_ends_the_job(cluster, program):
    job = submit(cluster, program, "ranks_lost")
    wait_for_steps(program, "ranks_lost", 3)
    os.kill(_process_of_rank(1, job), signal.SIGKILL)
    assert cluster.wait(job, ("COMPLETED", "FAILED"), 60) == "FAILED", output(program, job)
    text = output(program, job)
    assert "another rank ended" in text and "Traceback" not in text, text


def _process_of_rank(rank: int, job: int) -> int:
    wanted = {f"RANK={rank}", f"SLURM_JOB_ID={job}"}
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and wanted <= set((folder / "environ").read_text(errors="replace").split("\0")):
                return int(folder.name)
        except OSError:
            continue
    raise AssertionError(f"no rank {rank} of job {job}")
