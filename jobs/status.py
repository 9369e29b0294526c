"""The states of a sweep's runs: a line for each run, and the counts.

python -m jobs.status runs/sweep
"""

import argparse
import signal
import sys
from collections import Counter
from pathlib import Path

from jobs.states import STATES, states_of
from settings.errors import InputError


def main(argv: list[str]) -> int:
    """Exit code 0, or 2 if the folder is not a sweep."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0], usage="python -m jobs.status FOLDER")
    parser.add_argument("sweep", type=Path)
    sweep = parser.parse_args(argv).sweep
    try:
        states, queue_problem = states_of(sweep)
    except InputError as mistake:
        print(f"status: {mistake}", file=sys.stderr)
        return 2
    width = max(len(run.name) for run, _ in states)
    for run, state in states:
        print(f"{run.name:{width}}  {state.state:13}  {state.job:8}  {state.remark}".rstrip())
    counts = Counter(state.state for _, state in states)
    print(", ".join(f"{counts[state]} {state}" for state in STATES if counts[state]))
    if queue_problem:
        print(f"status: {queue_problem}; until then, the state of the queue is unknown", file=sys.stderr)
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `… | head` ends the program without a traceback
    sys.exit(main(sys.argv[1:]))
