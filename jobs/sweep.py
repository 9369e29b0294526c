"""A sweep: the runs of a table, each with a folder of its own, and what is known of them.

The table is a CSV file with the columns scene, method, flags and seeds, a line a group of runs:

    scene,method,flags,seeds
    nerf_synthetic/lego,points,--recipe paper,0-2
    demo,voxels,,0 1

scene: a scene's folder, or `demo`; method: points, or a --field of --method nerf; flags: more flags of main.py; seeds: numbers
and ranges. <sweep>/runs.json holds what was made of it.
"""

import csv
import json
import shlex
from dataclasses import asdict, dataclass
from pathlib import Path

from datasets.find import find_scene
from settings.errors import InputError
from settings.files import write_json
from settings.flags import parse

RUNS, TICKET = "runs.json", "job.txt"  # of the sweep; in a run's folder, the job that was submitted for it
_COLUMNS = ("scene", "method", "flags", "seeds")
_METHODS = {"points": ["--method", "points"]} | {
    field: ["--method", "nerf", "--field", field] for field in ("grid", "voxels", "mlp")}


@dataclass(frozen=True)
class SweepRun:
    """One run of main.py."""

    scene: str
    method: str  # with its flags: what tells it from others of the scene
    seed: int
    folder: str
    words: list[str]  # after `python main.py`

    @property
    def name(self) -> str:
        return Path(self.folder).name


def read_table(table: Path, sweep: Path) -> list[SweepRun]:
    """The runs that a table asks for, in folders of the sweep. Raises InputError, with the line, for what is not understood, for
    scenes that are not there, and for two runs of one name."""
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            lines = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as problem:
        raise InputError(f"cannot read the table {table}: {problem}") from problem
    if tuple(reader.fieldnames or ()) != _COLUMNS:
        raise InputError(f"{table}: the first line is to be {','.join(_COLUMNS)}")
    runs = []
    for number, line in enumerate(lines, 2):
        try:
            runs += _runs_of(line, sweep)
        except (InputError, ValueError) as problem:
            raise InputError(f"{table}, line {number}: {problem}") from problem
    if not runs:
        raise InputError(f"{table} asks for no run")
    names = [run.folder for run in runs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise InputError(f"{table} asks for {Path(twice).name} twice: drop one of the lines")
    return runs


def _runs_of(line: dict, sweep: Path) -> list[SweepRun]:
    if any(line[column] is None for column in _COLUMNS) or None in line:
        raise InputError(f"a line has {len(_COLUMNS)} columns")
    scene, method, flags = (line[column].strip() for column in _COLUMNS[:3])
    if method not in _METHODS:
        raise InputError(f"method {method!r} is not known: choose one of {', '.join(_METHODS)}")
    where = ["--dataname", "demo"] if scene == "demo" else ["--datadir", scene]
    more = shlex.split(flags)
    label = "_".join([method, *(word.lstrip("-").replace("/", "-") for word in more)])
    runs = []
    for seed in seeds_in(line["seeds"]):
        folder = sweep / f"{Path(scene).name}_{label}_{seed}"
        words = [*where, *_METHODS[method], *more, "--seed", str(seed), "--basedir", str(folder)]
        options = parse(words)
        if scene != "demo":
            find_scene(options)
        runs.append(SweepRun(Path(scene).name, label, seed, str(folder), words))
    return runs


def seeds_in(text: str) -> list[int]:
    """Numbers and ranges, `0 1 5-7`. Raises InputError for anything else."""
    found = []
    for word in text.replace(",", " ").split():
        first, _, last = word.partition("-")
        if not first.isdigit() or not (last or first).isdigit():
            raise InputError(f"seeds {text!r} are not numbers and ranges, like 0-2 7")
        found += range(int(first), int(last or first) + 1)
    if not found:
        raise InputError("there is no seed")
    return found


def write_runs(sweep: Path, runs: list[SweepRun]) -> None:
    """Remember what the sweep is made of."""
    write_json(sweep / RUNS, [asdict(run) for run in runs])


def read_runs(sweep: Path) -> list[SweepRun]:
    """The sweep's runs. Raises InputError where the folder holds none."""
    try:
        return [SweepRun(**run) for run in json.loads((sweep / RUNS).read_text(encoding="utf-8"))]
    except FileNotFoundError:
        raise InputError(f"{sweep} holds no {RUNS}: submit a table first, python -m jobs.submit TABLE --sweep {sweep}") from None
    except (json.JSONDecodeError, TypeError, OSError) as problem:
        raise InputError(f"cannot read {sweep / RUNS}: {problem}") from problem
