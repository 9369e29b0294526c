"""Submit a sweep: every run of a table that is not done, as one SLURM array.

    python -m jobs.submit table.csv --sweep runs/sweep [--dry-run] [--at_once 8] [-- --time=02:00:00 --gres=gpu:1]

The table's format: jobs/sweep.py. Finished runs are left alone, stopped and failed ones continue from their checkpoints, and
nothing is submitted while one of them is still in the queue. Flags after -- go to sbatch. `python -m jobs.status runs/sweep`
shows the states of the runs, `python -m jobs.collect runs/sweep` gathers the reports. submitit is not used, because a run is a
command line that resumes by itself, and a job script that people can read is enough.
"""

import argparse
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

from jobs.files import one_line, read_tail
from jobs.reports import FILE
from jobs.sbatch import array_of, check_sbatch_words, job_number
from jobs.states import RunState, in_queue, state_of, ticket_of
from jobs.sweep import RUNS, TICKET, SweepRun, read_runs, read_table, write_runs
from settings.errors import InputError
from system.files import check_writable, write_text

ROOT = Path(__file__).parents[1]
SCRIPT, ENVIRONMENT = "jobs/scenes.sbatch", "jobs/cluster.env"


def main(argv: list[str]) -> int:
    """Exit code 0, or 2 for a mistake, which is printed before anything is submitted."""
    own, _, extra = ("\0".join(argv)).partition("\0--\0")
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0],
        usage="python -m jobs.submit TABLE --sweep FOLDER [--dry-run] [--at_once N] [-- flags of sbatch]",
    )
    parser.add_argument("table", type=Path)
    parser.add_argument("--sweep", required=True, help="folder of the sweep")
    parser.add_argument("--dry-run", action="store_true", help="show what would run")
    parser.add_argument("--at_once", type=int, default=0, help="never more runs at the same time; 0 = no limit")
    options = parser.parse_args(own.split("\0") if own else [])
    sweep = Path(os.path.expanduser(options.sweep))  # as main.py does it for --basedir
    try:
        return submit(options.table, sweep, options.dry_run, options.at_once, extra.split("\0") if extra else [])
    except InputError as mistake:
        print(f"submit: {mistake}", file=sys.stderr)
    except OSError as problem:
        print(f"submit: {problem.filename or sweep}: {problem.strerror or problem}", file=sys.stderr)
    return 2


def submit(table: Path, sweep: Path, dry_run: bool, at_once: int, extra: list[str]) -> int:
    """Submit the unfinished runs, or show them; returns the exit code. Raises InputError."""
    runs = read_table(table, sweep)
    check_writable(sweep, "--sweep")
    if at_once < 0:
        raise InputError(f"--at_once {at_once}: give 0 or more")
    check_sbatch_words(extra)
    queue = in_queue()
    states = {run.folder: state_of(run, queue, sweep) for run in runs}
    left = {index: run for index, run in enumerate(runs) if states[run.folder].state != "done"}
    for run in left.values() if dry_run else ():
        print("python main.py", shlex.join(run.words))
    done = len(runs) - len(left)
    if dry_run:
        print(f"{len(left)} runs to do, {done} done; nothing was submitted")
        return 0
    _check_queue({run.folder: run for run in runs}, states, queue, sweep)
    if not left:
        write_runs(sweep, runs)
        print(f"0 runs to do, {done} done")
        return 0
    if not (ROOT / ENVIRONMENT).is_file():
        raise InputError(f"{ENVIRONMENT} is missing: copy {ENVIRONMENT}.example and fill it in")
    for run in left.values():
        check_writable(Path(run.folder), "--sweep")
        report = Path(run.folder) / FILE
        if os.path.lexists(report) and not report.is_file():
            raise InputError(f"{report} is in the way of the run's report: move it away")
    write_runs(sweep, runs)
    (sweep / "output").mkdir(exist_ok=True)
    job = _sbatch(
        [f"--array={array_of(list(left), at_once)}", f"--output={_pattern(sweep)}", *extra, SCRIPT, str(sweep.absolute())]
    )
    for index, run in left.items():
        _leave_ticket(Path(run.folder), job, index)
    print(f"job {job}: {len(left)} runs submitted, {done} done before; python -m jobs.status {sweep}")
    for run in left.values():
        if states[run.folder].state == "damaged":
            print(f"{run.name} runs again: {states[run.folder].remark}")
    return 0


def _check_queue(runs: dict[str, SweepRun], states: dict[str, RunState], queue: dict[str, str], sweep: Path) -> None:
    """Raise InputError while a run of the table, or of the sweep's earlier table, is in the queue: it would meet another job in
    its folder, or find another run at its index in runs.json. Also if the state of the queue is unknown."""
    busy = []
    try:
        former = read_runs(sweep) if os.path.lexists(sweep / RUNS) else []
        for folder, run in ({run.folder: run for run in former} | runs).items():
            state = states.get(folder) or state_of(run, queue, sweep)
            if state.state == "damaged":
                ticket_of(Path(folder))  # raises if the ticket is damaged, and not the report
            if state.state in ("running", "queued"):
                busy.append(run.name)
    except InputError as problem:
        raise InputError(
            f"{problem}, so the state of the queue is unknown: remove it when squeue --me shows none of them, and submit again"
        ) from None
    if busy:
        names = f"{', '.join(busy[:10])}{' …' if len(busy) > 10 else ''} {'is' if len(busy) == 1 else 'are'}"
        raise InputError(f"{names} still in the queue: wait, or scancel them first")


def _pattern(sweep: Path) -> str:
    """The path for SLURM's output of the array's jobs; a % of the folder is doubled, because SLURM replaces %A and %a."""
    return f"{str(sweep.absolute()).replace('%', '%%')}/output/%A_%a.out"


def _leave_ticket(folder: Path, job: str, index: int) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / TICKET, f"{job}_{index}\n")
    except OSError as problem:
        raise InputError(
            f"job {job} is submitted, but {folder / TICKET} cannot be written ({problem.strerror or problem}), so "
            f"jobs.status cannot find it: scancel {job}, and submit again"
        ) from problem


def _sbatch(words: list[str]) -> str:
    """Run sbatch; returns the job's number. Raises InputError if sbatch fails."""
    environment = os.environ | _environment()
    try:
        done = subprocess.run(
            ["sbatch", "--parsable", *words], cwd=ROOT, env=environment, capture_output=True, encoding="utf-8", errors="replace"
        )
    except OSError as problem:
        raise InputError(f"sbatch cannot be run ({problem.strerror}): is this a machine of a cluster with SLURM?") from problem
    if done.returncode:
        raise InputError(f"sbatch refused: {one_line(done.stderr) or f'exit code {done.returncode}, without a reason'}")
    return job_number(done.stdout)


def _environment() -> dict[str, str]:
    """The variables for sbatch itself in jobs/cluster.env."""
    found = {}
    for line in read_tail(ROOT / ENVIRONMENT):
        name, equals, value = line.split("#")[0].strip().partition("=")
        value = value.strip("'\"")
        if equals and name.startswith("SBATCH_") and value.isprintable() and value:
            found[name] = value
    return found


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `… | head` ends the program without a traceback
    sys.exit(main(sys.argv[1:]))
