"""How much damage to masks costs: a grid of runs over kinds and amounts of damage, methods and seeds.

    python -m jobs.mask_study --datadir nerf_synthetic/lego --basedir runs/masks --damage affine:0,.04,.12,.2 --damage empty:.1

Every run is `python main.py` with a folder of its own under <basedir>/runs; a run that is done is not run again, and one that was
cut off goes on, so the study can be stopped and started at will. At its end, or with --table at any time, <basedir>/study.csv and
study.png are written. `@FILE` stands for the flags in a file. On a cluster, jobs/masks.sbatch runs one --task an array
element.
"""

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from jobs.study_table import AT, finished, write_figure, write_table
from settings.errors import InputError
from settings.files import check_writable, write_json
from settings.masks import parse_corruption
from settings.progress import progress

PROGRAM = Path(__file__).parents[1] / "main.py"
NO_MASKS = "no_masks"
METHODS = {  # what each adds to main.py's flags
    "paper": ["--recipe", "paper"],
    "fork": ["--recipe", "paper", "--posFirst", "YES", "--ridgePosition", "1", "--shAlone", "YES"],
    "default": ["--recipe", "default"],
}
_CHOICES = f"{', '.join(METHODS)}, each alone or as in 'paper at .9', with that --filter_consistency_ratio"


class Cell(NamedTuple):
    """One run of the grid. Amount 0 is the run with clean masks, which all kinds share."""

    kind: str
    amount: float
    method: str
    seed: int

    def folder(self, basedir: Path) -> Path:
        """Where its run lives."""
        damage = "clean" if not self.amount else self.kind if self.kind == NO_MASKS else f"{self.kind}_{self.amount:g}"
        return basedir / "runs" / f"{damage}_{self.method.replace(' ', '_')}_{self.seed}"

    def flags(self, paper: list[str]) -> list[str]:
        """What it adds to the scene's flags; `paper` is added to runs of the paper's recipe."""
        name, _, ratio = self.method.partition(AT)
        damage = [] if not self.amount else ["--no_masks"] if self.kind == NO_MASKS else [
            "--mask_corruption", f"{self.kind}:{self.amount:g}"
        ]
        return [
            *METHODS[name], *(["--filter_consistency_ratio", ratio] if ratio else []), *damage,
            *(paper if "paper" in METHODS[name] else []), "--seed", str(self.seed),
        ]


def grid(damages: list[str], methods: list[str], seeds: list[int]) -> list[Cell]:
    """Every run that the study asks for, seed by seed, so that a study that is stopped has whole curves.

    damages: `kind:amount,amount,…`, or `no_masks`. Raises InputError for what is not understood.
    """
    places = []
    for text in damages:
        kind, _, amounts = text.partition(":")
        if kind == NO_MASKS:
            places.append((NO_MASKS, 1.0))
            continue
        for amount in amounts.split(","):
            places += parse_corruption(f"{kind}:{amount}")
    unknown = [method for method in methods if not _is_method(method)]
    if unknown:
        raise InputError(f"--methods: {unknown[0]!r} is not known: choose from {_CHOICES}")
    cells = [Cell(kind, amount, method, seed) for seed in seeds for kind, amount in places for method in methods]
    cells = [cell for cell in cells if cell.kind != NO_MASKS or cell.method == "default"]
    if not cells:
        raise InputError("no run is left: only the default recipe trains without masks")
    return cells


def _is_method(text: str) -> bool:
    name, at, ratio = text.partition(AT)
    if name not in METHODS or not at:
        return name in METHODS
    return bool(re.fullmatch(r"\d*\.?\d+", ratio)) and 0 < float(ratio) <= 1


def run_cells(cells: list[Cell], basedir: Path, scene: list[str], paper: list[str], jobs: int) -> list[Path]:
    """Run those that are not done yet, `jobs` at a time on an equal share of the cores each; the folders of those that failed."""
    folders = {cell.folder(basedir): cell for cell in cells}
    left = [folder for folder in folders if not finished(folder)]
    threads = max(1, len(os.sched_getaffinity(0)) // jobs)

    def run(folder: Path) -> bool:
        folder.mkdir(parents=True, exist_ok=True)
        words = [*scene, *folders[folder].flags(paper), "--basedir", str(folder), "--threads", str(threads)]
        with (folder / "output.txt").open("w", encoding="utf-8") as output:
            return subprocess.run([sys.executable, str(PROGRAM), *words], stdout=output, stderr=output).returncode == 0

    with ThreadPoolExecutor(jobs) as pool:
        done = progress(pool.map(run, left), total=len(left), unit="run", desc="study")
        try:
            return [folder for folder, good in zip(left, done, strict=True) if not good]
        except KeyboardInterrupt:  # the running programs got it too, and save what they have
            pool.shutdown(cancel_futures=True)
            raise


def become(cell: Cell, basedir: Path, scene: list[str], paper: list[str]) -> None:
    """Become the run, so that what a scheduler says to this process reaches it; returns where the run is done."""
    folder = cell.folder(basedir)
    if finished(folder):
        print(f"{folder} is done")
        return
    words = [*scene, *cell.flags(paper), "--basedir", str(folder)]
    os.execv(sys.executable, [sys.executable, str(PROGRAM), *words])


def main(argv: list[str]) -> int:
    """Run the study, or one task of it; returns the exit code: 0, 1 where a run failed, 2 for a mistake in the flags."""
    given, scene = _parser().parse_known_args(argv)
    basedir = Path(given.basedir).expanduser()
    try:
        cells = grid(given.damage, [name.strip() for name in given.methods.split(";")], _seeds(given.seeds))
        chosen = list({cell.folder(basedir): cell for cell in cells}.values())
        if given.count:
            print(len(chosen))
            return 0
        if given.task is not None and not 0 <= given.task < len(chosen):
            raise InputError(f"--task {given.task}: the study's runs are numbered 0 to {len(chosen) - 1}")
        if given.jobs < 1:
            raise InputError(f"--jobs {given.jobs}: at least one run at a time")
        if not given.table:
            _remember(basedir, scene, given.paper)
        if given.task is not None:
            become(chosen[given.task], basedir, scene, given.paper.split())
            return 0
        failed = [] if given.table else run_cells(chosen, basedir, scene, given.paper.split(), given.jobs)
    except InputError as mistake:
        print(f"mask_study: {mistake}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("mask_study: interrupted; the same command goes on", file=sys.stderr)
        return 130
    rows = write_table(basedir / "study.csv", {cell: cell.folder(basedir) for cell in cells})
    write_figure(basedir / "study.png", rows)
    print(f"{len(rows)} of {len(cells)} figures: {basedir / 'study.csv'}, {basedir / 'study.png'}")
    for folder in failed:
        print(f"mask_study: a run failed, see {folder / 'output.txt'}", file=sys.stderr)
    return 1 if failed else 0


def _seeds(text: str) -> list[int]:
    if not re.fullmatch(r"\d+(,\d+)*", text):
        raise InputError(f"--seeds {text!r}: write whole numbers, as in 0,1,2")
    return [int(seed) for seed in text.split(",")]


def _remember(basedir: Path, scene: list[str], paper: str) -> None:
    """Keep the flags that all runs share in <basedir>/study.json; InputError where the folder's runs were made with others."""
    set_by_grid = {"--mask_corruption", "--no_masks", "--pc_jitter_amount", "--filter_consistency_ratio", "--recipe", "--seed"}
    if mixed := set_by_grid & {word.partition("=")[0] for word in [*scene, *paper.split()]}:
        raise InputError(f"{mixed.pop()} is set by the study for each of its runs: leave it out")
    check_writable(basedir)
    path, shared = basedir / "study.json", {"scene": scene, "paper": paper.split()}
    if not path.is_file():
        write_json(path, shared)
    elif (known := json.loads(path.read_text(encoding="utf-8"))) != shared:
        flags = shlex.join(known["scene"] + known["paper"])
        raise InputError(f"{basedir} holds runs made with {flags}: choose another --basedir")


class _Parser(argparse.ArgumentParser):
    def convert_arg_line_to_args(self, arg_line: str) -> list[str]:
        return shlex.split(arg_line, comments=True)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m jobs.mask_study", allow_abbrev=False, fromfile_prefix_chars="@",
        description="A grid of runs over damage to masks. What is not listed here goes to main.py; "
        "@FILE stands for the flags in a file.",
    )
    parser.add_argument("--basedir", required=True, metavar="FOLDER", help="where the runs, study.csv and study.png go")
    parser.add_argument("--damage", action="append", required=True, metavar="KIND:AMOUNT,...",
                        help="a kind of --mask_corruption with its amounts, 0 for clean masks; or no_masks; may be repeated")
    parser.add_argument("--methods", default="paper; default", metavar="NAME; NAME", help=_CHOICES)
    parser.add_argument("--seeds", default="0,1,2", metavar="N,N,...", help="default: 0,1,2")
    parser.add_argument("--paper", default="", metavar='"FLAGS"', help="flags for the paper's recipe alone, in one word")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="runs at a time; the cores are shared out among them")
    parser.add_argument("--task", type=int, metavar="K", help="run the K-th run of the study alone, from 0")
    parser.add_argument("--count", action="store_true", help="print how many runs there are, and stop")
    parser.add_argument("--table", action="store_true", help="write the table and the figure of the runs that are done, and stop")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
