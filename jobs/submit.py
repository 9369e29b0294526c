"""Submit a sweep: every run of a table that is not done, as one SLURM array.

    python -m jobs.submit table.csv --sweep runs/sweep [--dry-run] [--at_once 8] [-- --time=02:00:00 --gres=gpu:1]

What the table holds: jobs/sweep.py. Runs that are done are left alone, runs that were cut off or failed go on from their
checkpoints, and nothing is submitted while one of them is still in the queue. What stands after -- goes to sbatch.
`python -m jobs.status runs/sweep` shows how far they are, `python -m jobs.collect runs/sweep` gathers the reports.
Own code, and not submitit, because a run is a command line that resumes by itself, which a person can read in the job script.
"""

import argparse
import os
import shlex
import subprocess
import sys
from pathlib import Path

from jobs.states import in_queue, known
from jobs.sweep import TICKET, read_table, write_runs
from settings.errors import InputError
from settings.files import check_writable, write_text

ROOT = Path(__file__).parents[1]
SCRIPT, ENVIRONMENT = "jobs/scenes.sbatch", "jobs/cluster.env"


def main(argv: list[str]) -> int:
    """Exit code 0, or 2 for a mistake, which is told before anything is submitted."""
    own, _, extra = ("\0".join(argv)).partition("\0--\0")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], usage="python -m jobs.submit TABLE --sweep FOLDER "
                                     "[--dry-run] [--at_once N] [-- flags of sbatch]")
    parser.add_argument("table", type=Path)
    parser.add_argument("--sweep", type=Path, required=True, help="folder of the sweep")
    parser.add_argument("--dry-run", action="store_true", help="show what would run")
    parser.add_argument("--at_once", type=int, default=0, help="never more runs at the same time; 0 = no limit")
    options = parser.parse_args(own.split("\0") if own else [])
    try:
        return submit(options.table, options.sweep, options.dry_run, options.at_once, extra.split("\0") if extra else [])
    except InputError as mistake:
        print(f"submit: {mistake}", file=sys.stderr)
        return 2


def submit(table: Path, sweep: Path, dry_run: bool, at_once: int, extra: list[str]) -> int:
    """Submit the runs that are left, or show them."""
    runs = read_table(table, sweep)
    check_writable(sweep)
    if at_once < 0:
        raise InputError(f"--at_once {at_once}: give 0 or more")
    queue = in_queue()
    states = [known(run, queue, sweep) for run in runs]
    left = [run for run, state in zip(runs, states, strict=True) if state.state != "done"]
    for run in left if dry_run else ():
        print("python main.py", shlex.join(run.words))
    done = len(runs) - len(left)
    if dry_run or not left:
        print(f"{len(left)} runs to do, {done} done" + ("; nothing was submitted" if dry_run else ""))
        return 0
    busy = [run.name for run, state in zip(runs, states, strict=True) if state.state in ("running", "queued")]
    if busy:
        raise InputError(f"{', '.join(busy)} {'is' if len(busy) == 1 else 'are'} still in the queue: wait, or scancel them first")
    if not (ROOT / ENVIRONMENT).is_file():
        raise InputError(f"{ENVIRONMENT} is missing: copy {ENVIRONMENT}.example and fill it in")
    write_runs(sweep, runs)
    (sweep / "output").mkdir(exist_ok=True)
    places = ",".join(str(runs.index(run)) for run in left) + (f"%{at_once}" if at_once else "")
    job = _sbatch([f"--array={places}", f"--output={sweep.absolute()}/output/%A_%a.out", *extra, SCRIPT, str(sweep.absolute())])
    for run in left:
        Path(run.folder).mkdir(parents=True, exist_ok=True)
        write_text(Path(run.folder) / TICKET, f"{job}_{runs.index(run)}\n")
    print(f"job {job}: {len(left)} runs submitted, {done} done before; python -m jobs.status {sweep}")
    return 0


def _sbatch(words: list[str]) -> str:
    settings = (ROOT / ENVIRONMENT).read_text(encoding="utf-8").splitlines()
    chosen = dict(line.split("#")[0].strip().split("=", 1) for line in settings if line.startswith("SBATCH_") and "=" in line)
    environment = os.environ | {name: value.strip("'\"") for name, value in chosen.items() if value.strip("'\"")}
    try:
        done = subprocess.run(["sbatch", "--parsable", *words], cwd=ROOT, env=environment, capture_output=True, text=True)
    except OSError as problem:
        raise InputError(f"sbatch cannot be run ({problem.strerror}): is this a machine of a cluster with SLURM?") from problem
    if done.returncode:
        raise InputError(f"sbatch refused: {done.stderr.strip()}")
    return done.stdout.split(";")[0].strip()




if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
