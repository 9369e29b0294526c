"""Become one run of a sweep: what an element of the array does.

python -m jobs.run_one runs/sweep 3
"""

import os
import sys
from pathlib import Path

from jobs.sweep import SweepRun, read_runs
from settings.errors import InputError


def run_at(words: list[str]) -> SweepRun:
    """The run that the command line names. Raises InputError where there is none."""
    if len(words) != 2:
        raise InputError("give the sweep's folder and the run's place in it: python -m jobs.run_one FOLDER NUMBER")
    runs, place = read_runs(Path(words[0])), words[1]
    if not (place.isascii() and place.isdigit() and len(place) < 10 and int(place) < len(runs)):
        raise InputError(f"run {place!r} is not there: the runs of {words[0]} are numbered 0 to {len(runs) - 1}")
    return runs[int(place)]


if __name__ == "__main__":
    try:
        run = run_at(sys.argv[1:])
    except InputError as mistake:
        print(f"run_one: {mistake}", file=sys.stderr)
        sys.exit(2)
    os.execv(sys.executable, [sys.executable, str(Path(__file__).parents[1] / "main.py"), *run.words])  # signals reach main.py
