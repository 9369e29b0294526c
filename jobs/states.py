"""The states of a sweep's runs: from their folders, their jobs' output and the queue."""

import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.files import one_line, read_tail
from jobs.reports import Report, read_report
from jobs.sweep import TICKET, SweepRun, read_runs
from settings.errors import InputError
from system import signals

STATES = ("done", "running", "queued", "stopped", "failed", "damaged", "unknown", "not submitted")
_ERROR = re.compile(r"^(main\.py: .*|run_one: .*|\w*(?:Error|Exception)\b.*|slurmstepd: error: .*|.*\bKilled\b.*)$")
_STOPPED = re.compile(rf"^main\.py: {signals.STOPPED} ")  # main.py's last line if a signal ended it
_JOB = re.compile(r"[0-9]+_[0-9]+")


@dataclass(frozen=True)
class RunState:
    """The state of a run."""

    state: str  # one of STATES
    remark: str = ""  # the log's last line, the last line with an error, or the damaged file and its damage
    job: str = ""  # the number of its job and its index in the array
    report: Report | None = None  # None unless it is done


def in_queue() -> dict[str, str]:
    """The states of the user's jobs that have not ended, {"12_3": "RUNNING"}; empty without SLURM.

    Raises InputError if SLURM does not answer: the state of the queue is unknown then.
    """
    try:
        done = subprocess.run(
            ["squeue", "--me", "-h", "-r", "-o", "%i %T"], capture_output=True, encoding="utf-8", errors="replace", timeout=60
        )
    except FileNotFoundError:
        return {}
    except subprocess.TimeoutExpired:
        raise InputError("squeue does not answer within a minute: try again later") from None
    except OSError as problem:
        raise InputError(f"squeue cannot be run: {problem.strerror or problem}") from problem
    if done.returncode:
        raise InputError(f"squeue failed ({one_line(done.stderr) or f'exit code {done.returncode}'}): try again later")
    return dict(re.findall(r"^\s*(\S+) +(\S+)\s*$", done.stdout, re.MULTILINE))


def states_of(sweep: Path) -> tuple[list[tuple[SweepRun, RunState]], str]:
    """(the runs of a sweep with their states; why the state of the queue is unknown, or ""). Raises InputError if the folder is
    not a sweep."""
    runs, (queue, reason) = read_runs(sweep), _tried(in_queue)
    return [(run, state_of(run, queue, sweep)) for run in runs], reason


def ticket_of(folder: Path) -> str:
    """The number of the job that was submitted for the run in the folder; "" if there was none. Raises InputError if the file
    is damaged."""
    lines = read_tail(folder / TICKET, 100)
    if not lines and not (folder / TICKET).exists():
        return ""
    if len(lines) != 1 or not _JOB.fullmatch(lines[0].strip()):
        raise InputError(f"{folder / TICKET} is damaged: it does not hold the number of a job, like 12_0")
    return lines[0].strip()


def state_of(run: SweepRun, queue: dict[str, str] | None, sweep: Path) -> RunState:
    """The state of a run; `queue` is None if the state of the queue is unknown."""
    folder = Path(run.folder)
    report, damage = _tried(read_report, folder)
    job, lost = _tried(ticket_of, folder)
    lines, unread = _tried(read_tail, folder / "log.txt", 1 << 16)
    job, last = job or "", one_line(lines[-1]) if lines else unread
    waiting = (queue or {}).get(job)
    if waiting:
        return RunState("queued" if waiting in ("PENDING", "REQUEUED") else "running", last, job)
    if report and not report.interrupted:
        return RunState("done", last, job, report)
    if damage or lost:
        return RunState("damaged", damage or lost, job)
    if not job:
        return RunState("not submitted")
    if queue is None:
        return RunState("unknown", last, job)
    told = _last_words(sweep / "output" / f"{job}.out")
    return RunState("stopped" if _STOPPED.match(told) else "failed", told, job)


def _last_words(output: Path) -> str:
    """Why a job ended without a report, from what it printed."""
    lines, unread = _tried(read_tail, output)
    errors = [line for line in lines or () if _ERROR.match(line)]
    if errors:
        return one_line(errors[-1])
    end = f"; its output ends with: {lines[-1].strip()}" if lines else ""
    return unread or one_line(f"its output does not say why: the job was cancelled, or its node was lost{end}")


def _tried(read: Callable, *what: Any) -> tuple[Any, str]:
    """(the result of `read`, "") or, after an InputError, (None, its message)."""
    try:
        return read(*what), ""
    except InputError as problem:
        return None, str(problem)
