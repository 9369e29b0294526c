"""Become one run of a sweep: what an element of the array does.

    python -m jobs.run_one runs/sweep 3
"""

import os
import sys
from pathlib import Path

from jobs.sweep import read_runs
from settings.errors import InputError

if __name__ == "__main__":
    try:
        run = read_runs(Path(sys.argv[1]))[int(sys.argv[2])]
    except (InputError, IndexError, ValueError) as mistake:
        sys.exit(f"run_one: {mistake}")
    os.execv(sys.executable, [sys.executable, str(Path(__file__).parents[1] / "main.py"), *run.words])  # signals reach main.py
