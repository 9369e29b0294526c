"""How far the runs of a sweep are: from their folders, their jobs' output and the queue."""

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
_STOPPED = re.compile(rf"^main\.py: {signals.STOPPED} ")  # what main.py ends with if a signal ended it
_JOB = re.compile(r"[0-9]+_[0-9]+")


@dataclass(frozen=True)
class Known:
    """What is known of a run."""

    state: str  # one of STATES
    remark: str = ""  # the log's last line, the last line that tells an error, or which file is damaged and how
    job: str = ""  # the number of its job, with its place in the array
    report: Report | None = None  # of a run that is done


def in_queue() -> dict[str, str]:
    """The states of the user's jobs that have not ended, {"12_3": "RUNNING"}; empty where there is no SLURM.

    Raises InputError where SLURM does not answer: the state of the queue is unknown then.
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


def of_sweep(sweep: Path) -> tuple[list[tuple[SweepRun, Known]], str]:
    """The runs of a sweep and how far each is; and why the queue is not known, empty where it is. Raises InputError where the
    folder holds no sweep."""
    runs, (queue, reason) = read_runs(sweep), _tried(in_queue)
    return [(run, known(run, queue, sweep)) for run in runs], reason


def ticket_of(folder: Path) -> str:
    """The number of the job that was submitted for the run in the folder; empty where there was none. Raises InputError where
    the file does not tell it."""
    lines = read_tail(folder / TICKET, 100)
    if not lines and not (folder / TICKET).exists():
        return ""
    if len(lines) != 1 or not _JOB.fullmatch(lines[0].strip()):
        raise InputError(f"{folder / TICKET} is damaged: it does not hold the number of a job, like 12_0")
    return lines[0].strip()


def known(run: SweepRun, queue: dict[str, str] | None, sweep: Path) -> Known:
    """How far a run is; `queue` is None where the queue is not known."""
    folder = Path(run.folder)
    report, damage = _tried(read_report, folder)
    job, lost = _tried(ticket_of, folder)
    lines, unread = _tried(read_tail, folder / "log.txt", 1 << 16)
    job, last = job or "", one_line(lines[-1]) if lines else unread
    waiting = (queue or {}).get(job)
    if waiting:
        return Known("queued" if waiting in ("PENDING", "REQUEUED") else "running", last, job)
    if report and not report.interrupted:
        return Known("done", last, job, report)
    if damage or lost:
        return Known("damaged", damage or lost, job)
    if not job:
        return Known("not submitted")
    if queue is None:
        return Known("unknown", last, job)
    told = _last_words(sweep / "output" / f"{job}.out")
    return Known("stopped" if _STOPPED.match(told) else "failed", told, job)


def _last_words(output: Path) -> str:
    """Why a job ended without a report, from what it printed."""
    lines, unread = _tried(read_tail, output)
    errors = [line for line in lines or () if _ERROR.match(line)]
    if errors:
        return one_line(errors[-1])
    end = f"; its output ends with: {lines[-1].strip()}" if lines else ""
    return unread or one_line(f"its output does not say why: the job was cancelled, or its node was lost{end}")


def _tried(read: Callable, *what: Any) -> tuple[Any, str]:
    """What `read` returns, None where it cannot; and the reason, empty where it can."""
    try:
        return read(*what), ""
    except InputError as problem:
        return None, str(problem)
