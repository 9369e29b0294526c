"""Flags for sbatch, and reading its answer."""

import re

from jobs.files import one_line
from settings.errors import InputError

_LONGEST_ARRAY = 100_000  # characters; the kernel takes 131,072 in one word
_REFUSED = {  # flag of sbatch: its letter, and the reason why a sweep cannot have it
    "array": ("a", "the sweep numbers its runs"),
    "output": ("o", "jobs.status reads why a run failed in the sweep's own folder"),
    "chdir": ("D", "runs start in the repository's folder"),
    "wrap": ("", "the sweep has a job script"),
    "test-only": ("", "nothing would be submitted; see --dry-run before the --"),
    "help": ("h", "nothing would be submitted"),
    "usage": ("", "nothing would be submitted"),
    "version": ("V", "nothing would be submitted"),
}


def check_sbatch_words(words: list[str]) -> None:
    """Raise InputError for a flag of sbatch that would break the sweep's array. Abbreviated flags count, because sbatch accepts
    them."""
    for word in words:
        name = word.partition("=")[0]
        for flag, (letter, reason) in _REFUSED.items():
            short = letter and re.match(rf"-{letter}", word)
            if short or (len(name) >= 5 and name.startswith("--") and f"--{flag}".startswith(name)):
                raise InputError(f"{word} after the -- cannot go to sbatch, because {reason}: leave it out")


def array_of(indices: list[int], at_once: int) -> str:
    """The value of --array for indices in rising order, for example `0-3,7%2`. Raises InputError if they are too many for a
    command line."""
    spans: list[list[int]] = []
    for index in indices:
        if spans and spans[-1][1] == index - 1:
            spans[-1][1] = index
        else:
            spans.append([index, index])
    text = ",".join(str(first) if first == last else f"{first}-{last}" for first, last in spans)
    if len(text) > _LONGEST_ARRAY:
        raise InputError("the runs that are left are too many for one array: make several sweeps of the table")
    return text + (f"%{at_once}" if at_once else "")


def job_number(answer: str) -> str:
    """The job's number in the output of `sbatch --parsable`: `12`, or `12;cluster`. Raises InputError if there is none."""
    for line in reversed(answer.splitlines()):
        if match := re.fullmatch(r"(?:Submitted batch job )?([0-9]+)(?:[; ].*)?", line.strip()):
            return match[1]
    raise InputError(
        f"sbatch answers {one_line(answer)!r} without the number of a job: check with squeue --me whether there is one, "
        "and scancel it before you submit again"
    )
