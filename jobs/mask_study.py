"""How much damage to masks costs: a grid of runs over types and amounts of damage, methods and seeds.

    python -m jobs.mask_study --datadir nerf_synthetic/lego --basedir runs/masks --damage affine:0,.04,.12,.2 --damage empty:.1

Every run is `python main.py` with a folder of its own under <basedir>/runs. Finished runs are not run again, and stopped ones
continue, so the study can be stopped and started at any time. At its end, or with --table at any time, <basedir>/study.csv and
study.png are written. `@FILE` stands for the flags in a file. On a cluster, jobs/masks.sbatch runs one --task in each element of
an array.
"""

import argparse
import os
import re
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from jobs.files import is_text, read_json_or_none
from jobs.row_flags import NEVER, check_options, check_words
from jobs.study_table import AT, damages, finished, write_figure, write_table
from jobs.sweep import seeds_in
from methods.command_line import parse
from settings.errors import InputError
from settings.masks import parse_corruption
from system.files import check_writable, write_json
from system.progress import progress

PROGRAM = Path(__file__).parents[1] / "main.py"
NO_MASKS = "no_masks"
METHODS = {  # the flags of main.py for each
    "paper": ["--recipe", "paper"],
    "fork": ["--recipe", "paper", "--posFirst", "YES", "--ridgePosition", "1", "--shAlone", "YES"],
    "default": ["--recipe", "default"],
}
_BY_STUDY = ("mask_corruption", "no_masks", "pc_jitter_amount", "filter_consistency_ratio", "recipe", "seed")
_REFUSED = {  # flags of main.py that the study sets, or that its runs cannot have: why
    **dict.fromkeys(_BY_STUDY, "is set by the study for each of its runs"),
    **dict.fromkeys(("method", "field"), "chooses the method, but the study is about clouds of points"),
    "render_only": "shows a model, but the study's runs train one",
} | NEVER
_CHOICES = f"{', '.join(METHODS)}, each alone or as in 'paper at .9', with that --filter_consistency_ratio"


class Cell(NamedTuple):
    """One run of the grid. Amount 0 is the run with clean masks, which belongs to all types of damage."""

    damage: str
    amount: float
    method: str
    seed: int

    def folder(self, basedir: Path) -> Path:
        """The folder of its run."""
        masks = "clean" if not self.amount else self.damage if self.damage == NO_MASKS else f"{self.damage}_{self.amount:g}"
        return basedir / "runs" / f"{masks}_{self.method.replace(' ', '_')}_{self.seed}"

    def flags(self, paper: list[str]) -> list[str]:
        """Its flags besides the scene's; `paper` is added to runs of the paper's recipe."""
        name, _, ratio = self.method.partition(AT)
        masks = (
            []
            if not self.amount
            else ["--no_masks"]
            if self.damage == NO_MASKS
            else ["--mask_corruption", f"{self.damage}:{self.amount:g}"]
        )
        return [
            *METHODS[name],
            *(["--filter_consistency_ratio", ratio] if ratio else []),
            *masks,
            *(paper if "paper" in METHODS[name] else []),
            "--seed",
            str(self.seed),
        ]


def grid(damages: list[str], methods: list[str], seeds: list[int]) -> list[Cell]:
    """Every run of the study, seed by seed, so that a stopped study has complete curves.

    damages: `damage:amount,amount,…`, or `no_masks`. Raises InputError for texts and methods that are not understood.
    """
    steps = []
    for text in damages:
        damage, _, amounts = text.partition(":")
        if damage == NO_MASKS:
            steps.append((NO_MASKS, 1.0))
            continue
        for amount in amounts.split(","):
            steps += parse_corruption(f"{damage}:{amount}")
    unknown = [method for method in methods if not _is_method(method)]
    if unknown:
        raise InputError(f"--methods: {unknown[0]!r} is not known: choose from {_CHOICES}")
    cells = [Cell(damage, amount, method, seed) for seed in seeds for damage, amount in steps for method in methods]
    cells = [cell for cell in cells if cell.damage != NO_MASKS or cell.method == "default"]
    if not cells:
        raise InputError("no run is left: only the default recipe trains without masks")
    return cells


def _is_method(text: str) -> bool:
    name, at, ratio = text.partition(AT)
    if name not in METHODS or not at:
        return name in METHODS
    return bool(re.fullmatch(r"\d*\.?\d+", ratio)) and 0 < float(ratio) <= 1


def run_cells(cells: list[Cell], basedir: Path, scene: list[str], paper: list[str], jobs: int) -> list[Path]:
    """Run the unfinished cells, `jobs` at a time, each on an equal number of cores; returns the folders of failed runs."""
    folders = {cell.folder(basedir): cell for cell in cells}
    left = [folder for folder in folders if not finished(folder)]
    threads = max(1, len(os.sched_getaffinity(0)) // jobs)

    def run(folder: Path) -> bool:
        words = [*scene, *folders[folder].flags(paper), "--basedir", str(folder), "--threads", str(threads)]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with (folder / "output.txt").open("w", encoding="utf-8") as output:
                return subprocess.run([sys.executable, str(PROGRAM), *words], stdout=output, stderr=output).returncode == 0
        except OSError:  # of this run's folder: the other runs go on
            return False

    with ThreadPoolExecutor(jobs) as pool:
        done = progress(pool.map(run, left), total=len(left), unit="run", desc="study")
        try:
            return [folder for folder, good in zip(left, done, strict=True) if not good]
        except KeyboardInterrupt:  # the running programs got it too, and save a checkpoint
            pool.shutdown(cancel_futures=True)
            raise


def replace_process(cell: Cell, basedir: Path, scene: list[str], paper: list[str]) -> None:
    """Replace this process by the run, so that a scheduler's signals reach it. Returns only if the run is done already."""
    folder = cell.folder(basedir)
    if finished(folder):
        print(f"{folder} is done")
        return
    words = [*scene, *cell.flags(paper), "--basedir", str(folder)]
    os.execv(sys.executable, [sys.executable, str(PROGRAM), *words])


def main(argv: list[str]) -> int:
    """Run the study, or one task of it; returns the exit code: 0, 1 if a run failed, 2 for a mistake in the flags."""
    given, scene = _parser().parse_known_args(argv)
    basedir = Path(os.path.expanduser(given.basedir))
    try:
        return _study(given, basedir, scene)
    except InputError as mistake:
        print(f"mask_study: {mistake}", file=sys.stderr)
    except OSError as problem:
        print(f"mask_study: {problem.filename or basedir}: {problem.strerror or problem}", file=sys.stderr)
    except KeyboardInterrupt:
        print("mask_study: interrupted; the same command continues", file=sys.stderr)
        return 130
    return 2


def _study(given: argparse.Namespace, basedir: Path, scene: list[str]) -> int:
    """Do what the flags say; returns the exit code."""
    cells = grid(given.damage, [name.strip() for name in given.methods.split(";")], _seeds(given.seeds))
    chosen = list({cell.folder(basedir): cell for cell in cells}.values())
    if given.count:
        print(len(chosen))
        return 0
    if given.task is not None and not 0 <= given.task < len(chosen):
        raise InputError(f"--task {given.task}: the study's runs are numbered 0 to {len(chosen) - 1}")
    if given.jobs < 1:
        raise InputError(f"--jobs {given.jobs}: at least one run at a time")
    if given.table and not basedir.is_dir():
        raise InputError(f"--basedir {basedir} is not a folder: run the study first, without --table")
    check_writable(basedir)
    paper = _words(given.paper, "--paper")
    if not given.table:
        _check_flags(chosen, basedir, scene, paper)
        _remember(basedir, scene, paper)
    if given.task is not None:
        replace_process(chosen[given.task], basedir, scene, paper)
        return 0
    failed = [] if given.table else run_cells(chosen, basedir, scene, paper, given.jobs)
    rows = write_table(basedir / "study.csv", {cell: cell.folder(basedir) for cell in cells})
    write_figure(basedir / "study.png", rows)
    figure = f", {basedir / 'study.png'}" if rows else "; there is nothing to draw yet"
    print(f"{len(rows)} of {len(cells)} figures: {basedir / 'study.csv'}{figure}")
    for folder in failed:
        print(f"mask_study: a run failed, see {folder / 'output.txt'}", file=sys.stderr)
    for sentence in damages([cell.folder(basedir) for cell in chosen]):
        print(f"mask_study: left out: {sentence}", file=sys.stderr)
    return 1 if failed else 0


def _seeds(text: str) -> list[int]:
    try:
        return seeds_in(text)
    except InputError as problem:
        raise InputError(f"--seeds: {problem}") from problem


def _words(text: str, flag: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        raise InputError(f"{flag} {text}: a quote is not closed: close it, or drop it") from None


def _check_flags(cells: list[Cell], basedir: Path, scene: list[str], paper: list[str]) -> None:
    """Raise InputError, before the first run starts, for flags that main.py would refuse, or that contradict the study."""
    check_words([*scene, *paper], _REFUSED)
    for cell in {(cell.damage, cell.amount > 0, cell.method): cell for cell in cells}.values():
        folder = cell.folder(basedir)
        options = check_options([*scene, *cell.flags(paper), "--basedir", str(folder)], folder)
        wanted = parse(["--dataname", "demo", *cell.flags([])])
        for name in _BY_STUDY:
            if getattr(options, name) != getattr(wanted, name):
                raise InputError(f"{name}, in the file of --config, {_REFUSED[name]}: leave it out")


def _remember(basedir: Path, scene: list[str], paper: list[str]) -> None:
    """Write the common flags of all runs to <basedir>/study.json. Raises InputError if the folder's runs have other flags."""
    path, shared = basedir / "study.json", {"scene": scene, "paper": paper}
    known = read_json_or_none(path)
    if known is None and not path.exists():
        write_json(path, shared)
        return
    texts = [known.get(name) for name in shared] if isinstance(known, dict) else [None]
    if not all(isinstance(words, list) and all(is_text(word) for word in words) for words in texts):
        raise InputError(f"{path} is damaged: it does not hold the flags of the study's runs; choose another --basedir")
    if known != shared:
        flags = shlex.join(word for words in texts for word in words or [])
        raise InputError(f"{basedir} holds runs made with {flags}: choose another --basedir")


class _Parser(argparse.ArgumentParser):
    def convert_arg_line_to_args(self, arg_line: str) -> list[str]:
        try:
            return shlex.split(arg_line.removeprefix("\ufeff"), comments=True)
        except ValueError:
            self.error(f"a quote in the line {arg_line!r} is not closed")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m jobs.mask_study",
        allow_abbrev=False,
        fromfile_prefix_chars="@",
        description="A grid of runs over damage to masks. Other flags than these go to main.py; "
        "@FILE stands for the flags in a file.",
    )
    parser.add_argument("--basedir", required=True, metavar="FOLDER", help="where the runs, study.csv and study.png go")
    parser.add_argument(
        "--damage",
        action="append",
        required=True,
        metavar="DAMAGE:AMOUNT,...",
        help="a damage of --mask_corruption with its amounts, 0 for clean masks; or no_masks; may be repeated",
    )
    parser.add_argument("--methods", default="paper; default", metavar="NAME; NAME", help=_CHOICES)
    parser.add_argument("--seeds", default="0,1,2", metavar="N,N,...", help="default: 0,1,2")
    parser.add_argument("--paper", default="", metavar='"FLAGS"', help="flags for the paper's recipe alone, in one word")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="runs at a time; they share the cores")
    parser.add_argument("--task", type=int, metavar="K", help="run the K-th run of the study alone, from 0")
    parser.add_argument("--count", action="store_true", help="print how many runs there are, and stop")
    parser.add_argument("--table", action="store_true", help="write the table and the figure of the runs that are done, and stop")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
