"""A sweep on a real SLURM: submitted, watched, collected."""

import csv
import os
import subprocess
import sys
import time

import pytest

SMALL = "--img_s 32 --recipe paper --data_r 0.02 --epochs 2 --refine_n 1 --threads 1"


def tool(cluster, program, name, *words):
    done = subprocess.run(
        [sys.executable, "-m", f"jobs.{name}", *words],
        cwd=program,
        env=cluster.environment | {"PYTHONPATH": ""},
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout, done.stderr


def ended(cluster, seconds=240):
    until = time.monotonic() + seconds
    while cluster.ask("squeue", "-h"):
        assert time.monotonic() < until, cluster.ask("squeue")
        time.sleep(0.5)


def test_an_array_is_submitted_watched_and_collected(cluster, program):
    (program / "table.csv").write_text(f"scene,method,flags,seeds\nscene,points,{SMALL},0-3\nscene,points,{SMALL} --resume,0\n")
    sbatch = ["--", "--cpus-per-task=1", "--mem=1500M"]
    code, out, _ = tool(cluster, program, "submit", "table.csv", "--sweep", "sweep", "--dry-run")
    assert code == 0 and out.count("python main.py") == 5 and not (program / "sweep").exists()
    code, out, error = tool(cluster, program, "submit", "table.csv", "--sweep", "sweep", *sbatch)
    assert code == 0 and "5 runs submitted" in out, error
    code, _, error = tool(cluster, program, "submit", "table.csv", "--sweep", "sweep", *sbatch)
    assert code == 2 and "still in the queue" in error
    assert "queued" in (shown := tool(cluster, program, "status", "sweep")[1]) or "running" in shown
    ended(cluster)
    status = tool(cluster, program, "status", "sweep")[1].splitlines()
    assert status[-1] == "4 done, 1 failed" and any("holds no checkpoint" in line for line in status), status
    code, out, error = tool(cluster, program, "collect", "sweep")
    assert code == 0 and "4 of 5 runs are done" in out, error
    with (program / "sweep" / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["seed"] for row in rows] == ["0", "1", "2", "3"] and all(float(row["psnr_db"]) > 5 for row in rows)
    page = (program / "sweep" / "table.html").read_text()
    assert "holds no checkpoint" in page and "data:image/png" in page
    code, out, _ = tool(cluster, program, "submit", "table.csv", "--sweep", "sweep", "--dry-run")
    assert "1 runs to do, 4 done" in out


def test_twenty_jobs_at_once_lose_none(cluster, program):
    if os.environ.get("RADIANCE_LONG_TESTS", "") == "":
        pytest.skip("takes two minutes: RADIANCE_LONG_TESTS=1 runs it")
    (program / "twenty.csv").write_text(f"scene,method,flags,seeds\nscene,points,{SMALL},0-19\n")
    began = time.monotonic()
    assert tool(cluster, program, "submit", "twenty.csv", "--sweep", "twenty", "--", "--cpus-per-task=1", "--mem=1500M")[0] == 0
    submitted = time.monotonic() - began
    ended(cluster, 600)
    began = time.monotonic()
    _, out, _ = tool(cluster, program, "collect", "twenty")
    overhead = (submitted + time.monotonic() - began) / 20
    print(f"submitting and collecting: {overhead:.2f} s a job")
    assert "20 of 20 runs are done" in out and overhead < 2
    rows = (program / "twenty" / "table.csv").read_text().splitlines()
    assert len(rows) == 21 and len(set(rows)) == 21
