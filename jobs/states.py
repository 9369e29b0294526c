"""How far the runs of a sweep are: from their folders, their jobs' output and the queue."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from jobs.study_table import finished
from jobs.sweep import TICKET, SweepRun, read_runs

STATES = ("done", "running", "queued", "cut off", "failed", "not submitted")
_ERROR = re.compile(r"^(main\.py: .*|\w*(?:Error|Exception)\b.*|slurmstepd: error: .*|.*\bKilled\b.*)$")


@dataclass(frozen=True)
class Known:
    """What is known of a run."""

    state: str  # one of STATES
    remark: str = ""  # the log's last line, or the last line that tells an error
    job: str = ""  # the number of its job, with its place in the array


def in_queue() -> dict[str, str]:
    """The states of the user's jobs that have not ended, {"12_3": "RUNNING"}; empty where there is no SLURM."""
    try:
        done = subprocess.run(["squeue", "--me", "-h", "-r", "-o", "%i %T"], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    return dict(line.split(maxsplit=1) for line in done.stdout.splitlines() if " " in line)


def of_sweep(sweep: Path) -> list[tuple[SweepRun, Known]]:
    """The runs of a sweep and how far each is. Raises InputError where the folder is none."""
    runs, queue = read_runs(sweep), in_queue()
    return [(run, known(run, queue, sweep)) for run in runs]


def known(run: SweepRun, queue: dict[str, str], sweep: Path) -> Known:
    """How far a run is."""
    folder = Path(run.folder)
    ticket = folder / TICKET
    job = ticket.read_text(encoding="utf-8").strip() if ticket.is_file() else ""
    log = folder / "log.txt"
    lines = log.read_text(encoding="utf-8").splitlines() if log.is_file() else []
    last = lines[-1] if lines else ""
    waiting = job in queue
    if finished(folder) and not waiting:
        return Known("done", last, job)
    if waiting:
        return Known("queued" if queue[job] in ("PENDING", "REQUEUED") else "running", last, job)
    if not job:
        return Known("not submitted")
    output = sweep / "output" / f"{job}.out"
    errors = [line for line in output.read_text(encoding="utf-8", errors="replace").splitlines() if _ERROR.match(line)] \
        if output.is_file() else []
    told = errors[-1] if errors else "it left no word of why: the job was cancelled, or its node was lost"
    return Known("cut off" if "cut off by" in told else "failed", told, job)
