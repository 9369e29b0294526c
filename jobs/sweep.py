"""A sweep: the runs of a table, each with a folder of its own.

The table is a CSV file with the columns scene, method, flags and seeds, and a line for each group of runs:

    scene,method,flags,seeds
    nerf_synthetic/lego,points,--recipe paper,0-2
    demo,voxels,,0 1

scene: a scene's folder, or `demo`; method: points, or a --field of --method nerf; flags: more flags of main.py; seeds: numbers
and ranges. <sweep>/runs.json holds the resulting runs.
"""

import csv
import re
import shlex
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jobs.files import is_text, is_whole, one_line, read_json_or_none
from jobs.row_flags import check_options, check_scene, check_words, folder_name, label_of, with_seed
from methods import table_words
from settings.errors import InputError
from settings.options import DEMO_SCENES
from system.files import write_json

RUNS, TICKET = "runs.json", "job.txt"  # in the sweep's folder; in a run's folder, with the number of its job
MOST_RUNS = 10_000  # of a table; SLURM itself allows 1,000 in an array unless its MaxArraySize was raised
_COLUMNS = ("scene", "method", "flags", "seeds")
_LARGEST_SEED = 2**31 - 1  # of --seed


@dataclass(frozen=True)
class SweepRun:
    """One run of main.py."""

    scene: str
    method: str  # with its flags, which make it different from others of the scene
    seed: int
    folder: str
    words: list[str]  # after `python main.py`

    @property
    def name(self) -> str:
        return Path(self.folder).name


def read_table(table: Path, sweep: Path) -> list[SweepRun]:
    """The runs that a table asks for, in folders of the sweep. Raises InputError, with the line's number, for mistakes in a line,
    missing scenes, two runs of one name, and more than `MOST_RUNS` runs."""
    runs, line_of = [], {}
    for number, cells in _lines(table):
        try:
            group = _runs_of(cells, sweep, MOST_RUNS - len(runs))
            for run in group:
                if run.name in line_of:
                    raise InputError(
                        f"{run.name} is the folder of a run of line {line_of[run.name]} too, and the table asks for "
                        "it twice: drop one of the lines, or give the scenes' folders different names"
                    )
                line_of[run.name] = number
        except (InputError, ValueError) as problem:
            raise InputError(f"{table}, line {number}: {problem}") from problem
        runs += group
    if not runs:
        raise InputError(f"{table} asks for no run: below its first line, write a line for each group of runs")
    return runs


def _lines(table: Path) -> list[tuple[int, list[str]]]:
    """The table's lines below the first one, without blank ones, each with its number in the file."""
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            lines, number = [], 1
            for cells in reader:
                lines.append((number, [cell.strip() for cell in cells]))
                number = reader.line_num + 1
    except UnicodeDecodeError:
        raise InputError(f"cannot read the table {table}: it is not UTF-8 text; save it as CSV in UTF-8") from None
    except OSError as problem:
        raise InputError(f"cannot read the table {table}: {problem.strerror or problem}") from problem
    except csv.Error as problem:
        reason = "a quote is not closed" if "end of data" in str(problem) else problem
        raise InputError(f"cannot read the table {table}, line {reader.line_num}: {reason}") from problem
    lines = [(number, cells) for number, cells in lines if any(cells)]
    if not lines:
        raise InputError(f"{table} is empty: its first line must be {','.join(_COLUMNS)}")
    first = lines.pop(0)[1]
    if tuple(first) != _COLUMNS:
        raise InputError(f"{table}: the first line must be {','.join(_COLUMNS)}, but it is {one_line(','.join(first))}")
    return lines


def _runs_of(cells: list[str], sweep: Path, most: int) -> list[SweepRun]:
    if len(cells) != len(_COLUMNS):
        hint = ': quote a column that holds a comma, "0,1"' if len(cells) > len(_COLUMNS) else ""
        raise InputError(f"a line has {len(_COLUMNS)} columns, {', '.join(_COLUMNS)}, but this one has {len(cells)}{hint}")
    scene, method, flags, numbers = cells
    known = table_words()
    if method not in known:
        raise InputError(f"method {method!r} is not known: choose one of {', '.join(known)}")
    try:
        more = shlex.split(flags)
    except ValueError:
        raise InputError(f"a quote in the flags {one_line(flags)} is not closed: close it, or drop it") from None
    if not all(word.isprintable() for word in more):
        raise InputError(f"the flags {flags!r} hold a character that cannot be printed: drop it")
    check_words(more)
    seeds = seeds_in(numbers, most)
    where = ["--dataname", scene] if scene in DEMO_SCENES else ["--datadir", scene]
    words, label = [*where, *known[method], *more], label_of(method, more)
    called = Path(scene).name
    if called in ("", ".."):
        called = Path(scene).resolve().name
    folders = [sweep / folder_name(called, label, seed) for seed in seeds]
    options = check_options(with_seed(words, seeds[0], folders[0]), folders[0])  # the others differ in the seed alone
    check_scene(options, scene)
    if scene not in DEMO_SCENES:
        from datasets.find import find_scene  # here, because it takes seconds, and jobs.status and jobs.collect do not need it

        try:
            find_scene(options)
        except (OSError, RuntimeError) as problem:  # a name that is too long, the home of an unknown user
            raise InputError(
                f"cannot look for the scene {one_line(scene)}: {getattr(problem, 'strerror', None) or problem}"
            ) from problem
    return [
        SweepRun(called, label, seed, str(folder), with_seed(words, seed, folder))
        for seed, folder in zip(seeds, folders, strict=True)
    ]


def seeds_in(text: str, most: int = MOST_RUNS) -> list[int]:
    """Numbers and ranges, `0 1 5-7`. Raises InputError for anything else, for a seed that is there twice, and for more than
    `most` seeds."""
    found: dict[int, None] = {}
    for word in text.replace(",", " ").split():
        match = re.fullmatch(r"([0-9]{1,10})(?:-([0-9]{1,10}))?", word)
        if not match or max(int(number or 0) for number in match.groups()) > _LARGEST_SEED:
            raise InputError(f"seeds {one_line(text)!r} are not whole numbers and ranges, like 0-2 7, from 0 to {_LARGEST_SEED}")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise InputError(f"seeds {word} end before they begin: write {last}-{first}")
        if len(found) + last - first + 1 > most:
            raise InputError(f"with the seeds {one_line(text)} there are more than {MOST_RUNS:,} runs: make several sweeps")
        for seed in range(first, last + 1):
            if seed in found:
                raise InputError(f"seed {seed} is there twice in {one_line(text)!r}: name it once")
            found[seed] = None
    if not found:
        raise InputError("there is no seed: write numbers and ranges in the column seeds, for example 0-2 7")
    return list(found)


def write_runs(sweep: Path, runs: list[SweepRun]) -> None:
    """Write the sweep's runs.json. Raises CannotWrite."""
    write_json(sweep / RUNS, [asdict(run) for run in runs])


def read_runs(sweep: Path) -> list[SweepRun]:
    """The sweep's runs. Raises InputError if the folder has no runs.json, or it is damaged."""
    path = sweep / RUNS
    content = read_json_or_none(path)
    if content is None and not path.exists():
        what = "holds no " + RUNS if sweep.is_dir() else "does not exist"
        raise InputError(f"{sweep} {what}: submit a table first, python -m jobs.submit TABLE --sweep {sweep}")
    if not isinstance(content, list) or not content:
        raise InputError(f"{path} is damaged: it is not a list of runs")
    return [_run_in(entry, f"{path} is damaged: run {index}") for index, entry in enumerate(content)]


def _run_in(entry: Any, where: str) -> SweepRun:
    """A run of runs.json."""
    right = isinstance(entry, dict) and entry.keys() == SweepRun.__dataclass_fields__.keys()
    if not right:
        raise InputError(f"{where} does not hold {', '.join(SweepRun.__dataclass_fields__)} and nothing else")
    texts = all(is_text(entry[key]) for key in ("scene", "method", "folder")) and Path(entry["folder"]).name
    words = isinstance(entry["words"], list) and all(is_text(word) for word in entry["words"])
    if not (texts and words and is_whole(entry["seed"]) and 0 <= entry["seed"] <= _LARGEST_SEED):
        raise InputError(f"{where} holds a value of a wrong type")
    return SweepRun(**entry)
