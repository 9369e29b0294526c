"""Signals in a job script, without SLURM: a stand-in for scontrol writes down its arguments."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def ended(folder: Path, setup: str, command: str, number: int, after: str) -> tuple[int, bool, str]:
    """Exit code of a job that is sent a signal when its output holds a word, whether it is back in the queue, and its output."""
    (folder / "jobs").mkdir()
    (folder / "bin").mkdir()
    shutil.copy(ROOT / "jobs" / "job.sh", folder / "jobs")
    (folder / "jobs" / "cluster.env").write_text(f"RADIANCE_SETUP='{setup}'\n")
    stand_in = folder / "bin" / "scontrol"
    stand_in.write_text('#!/bin/sh\necho "$@" > asked\n')
    stand_in.chmod(0o755)
    script = f"source jobs/job.sh\necho set up\nrun bash -c '{command}'\n"
    environment = os.environ | {"PATH": f"{folder}/bin:{os.environ['PATH']}", "SLURM_JOB_ID": "12"}
    output = folder / "output"
    with output.open("w") as stream:
        job = subprocess.Popen(["bash", "-c", script], cwd=folder, env=environment, stdout=stream, stderr=stream)
    until = time.monotonic() + 20
    while after not in output.read_text():
        assert time.monotonic() < until
        time.sleep(0.02)
    job.send_signal(number)
    code = job.wait(20)
    asked = folder / "asked"
    return code, asked.is_file() and asked.read_text() == "requeue 12\n", output.read_text()


PROGRAM = 'trap "exit 75" USR1 TERM; echo works; while :; do sleep .1; done'  # single quotes stand around it


@pytest.mark.parametrize(
    ("setup", "command", "number", "after", "expected"),
    [
        ("", PROGRAM, signal.SIGUSR1, "works", (75, True)),
        ("", PROGRAM, signal.SIGTERM, "works", (75, False)),  # cancelled: it stays away
        ("", "echo works; sleep 2", signal.SIGUSR1, "works", (138, True)),  # the program does not listen yet
        ("echo works; sleep 1", PROGRAM, signal.SIGUSR1, "works", (75, True)),  # nor is it there yet
        ("echo works; sleep 1", PROGRAM, signal.SIGTERM, "works", (143, False)),
        ("", 'trap "exit 2" USR1; echo works; while :; do sleep .1; done', signal.SIGUSR1, "works", (2, False)),  # a mistake
    ],
)
def test_a_job_answers_signals_from_its_start(tmp_path, setup, command, number, after, expected):
    code, requeued, said = ended(tmp_path, setup, command, number, after)
    assert (code, requeued) == expected, said
    assert ("back in the queue" in said) == requeued
