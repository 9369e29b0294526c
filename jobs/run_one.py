"""Replace this process by one run of a sweep: the command of one element of the array.

python -m jobs.run_one runs/sweep 3
"""

import os
import sys
from pathlib import Path

from jobs.sweep import SweepRun, read_runs
from settings.errors import InputError


def run_at(words: list[str]) -> SweepRun:
    """The run that the command line names. Raises InputError if it does not exist."""
    if len(words) != 2:
        raise InputError("give the sweep's folder and the run's index in it: python -m jobs.run_one FOLDER NUMBER")
    runs, index = read_runs(Path(words[0])), words[1]
    if not (index.isascii() and index.isdigit() and len(index) < 10 and int(index) < len(runs)):
        raise InputError(f"run {index!r} does not exist: the runs of {words[0]} are numbered 0 to {len(runs) - 1}")
    return runs[int(index)]


if __name__ == "__main__":
    try:
        run = run_at(sys.argv[1:])
    except InputError as mistake:
        print(f"run_one: {mistake}", file=sys.stderr)
        sys.exit(2)
    os.execv(sys.executable, [sys.executable, str(Path(__file__).parents[1] / "main.py"), *run.words])  # signals reach main.py
