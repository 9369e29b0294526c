"""Gather the reports of a sweep in its folder: table.csv (a line for each run), table.md and table.html (medians over seeds;
plots, and the runs that failed, with the reason).

    python -m jobs.collect runs/sweep
"""

import argparse
import csv
import io
import signal
import statistics
import sys
from collections import Counter
from pathlib import Path

import jinja2

from jobs.reports import Report, read_report
from jobs.states import RunState, states_of
from jobs.sweep import SweepRun
from jobs.sweep_plot import plot
from reporting.summary import MEGABYTE
from settings.errors import InputError
from system.files import write_text

COLUMNS: tuple[str, ...] = (
    "scene",
    "method",
    "seed",
    "psnr_db",
    "ssim",
    "training_seconds",
    "fps",
    "megabytes",
    "protocol",
    "folder",
)
_FIGURES = ("psnr_db", "ssim", "training_seconds", "fps")
_DIGITS = {"ssim": 3, "training_seconds": 1, "fps": 1, "megabytes": 1}  # behind the point, in tables of medians
_HEADINGS = ("scene", "method", "seeds", "PSNR, dB", "SSIM", "training, s", "fps", "size, MB", "protocol")
_PAGE = jinja2.Template(
    """\
<!doctype html><html lang="en"><meta charset="utf-8"><title>{{ title }}</title>
<style>body{font:15px/1.5 sans-serif;margin:2em auto;max-width:70em;padding:0 1em}table{border-collapse:collapse}
td,th{padding:.2em .8em;border-bottom:1px solid #ccc;text-align:left;overflow-wrap:anywhere}
.figures :is(td,th):nth-child(n+3):not(:last-child){text-align:right;white-space:nowrap}td:first-child{min-width:4em}
.figures :is(td:nth-child(2),td:last-child){min-width:7em}.others td:nth-child(2){white-space:nowrap}
img{max-width:100%}code{white-space:pre-wrap}</style>
<h1>{{ title }}</h1><p>{{ summary }}</p>
{% if rows %}<table class="figures"><tr>{% for name in headings %}<th>{{ name }}</th>{% endfor %}</tr>
{% for row in rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table>{% endif %}
{% if plot %}<p><img alt="PSNR and training time of each scene and method" src="data:image/png;base64,{{ plot }}"></p>{% endif %}
{% if others %}<h2>Runs that are not done</h2><table class="others">
{% for run, state in others %}<tr><td>{{ run.name }}</td><td>{{ state.state }}</td><td><code>{{ state.remark }}</code></td></tr>
{% endfor %}</table>{% endif %}
</html>
""",
    autoescape=True,
)


def main(argv: list[str]) -> int:
    """Exit code 0, or 2 if the folder is not a sweep or the tables cannot be written."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0], usage="python -m jobs.collect FOLDER")
    parser.add_argument("sweep", type=Path)
    sweep = parser.parse_args(argv).sweep
    try:
        states, queue_problem = states_of(sweep)
        rows = [row_of(run, state.report) for run, state in states if state.report is not None]
        others = [(run, state) for run, state in states if state.report is None]
        write(sweep, rows, others)
    except InputError as mistake:
        print(f"collect: {mistake}", file=sys.stderr)
        return 2
    print((sweep / "table.md").read_text(encoding="utf-8"), end="")
    for run, state in others:
        print(f"{run.name}: {state.state}. {state.remark}".rstrip())
    if queue_problem:
        print(f"collect: {queue_problem}; until then, the state of the queue is unknown", file=sys.stderr)
    print(f"{len(rows)} of {len(states)} runs are done: {sweep}/table.csv, table.md, table.html")
    return 0


def row_of(run: SweepRun, report: Report | None = None) -> dict:
    """A finished run's figures by `COLUMNS`, None if not measured; `psnr_text` explains a PSNR that is None. Without `report`
    it is read. Raises InputError if the report is damaged or missing."""
    report = report or read_report(Path(run.folder))
    if report is None:
        raise InputError(f"{run.folder} holds no report: the run is not done")
    found, size = {name: report.figures[name] for name in _FIGURES}, report.figures["model_bytes"]
    return (
        {"scene": run.scene, "method": run.method, "seed": run.seed}
        | found
        | {
            "megabytes": None if size is None else size / MEGABYTE,
            "protocol": report.protocol,
            "folder": run.folder,
            "psnr_text": report.psnr_text,
        }
    )


def medians(rows: list[dict]) -> list[list[str]]:
    """A row of text for each scene and method: medians over seeds, and PSNR from the lowest to the highest. Figures that are None
    are left out; if all are None, the cell is `-`, or for the PSNR inf or nan."""
    groups: dict[tuple, list[dict]] = {}
    for row in rows:
        groups.setdefault((row["scene"], row["method"]), []).append(row)
    return [
        [
            scene,
            method,
            str(len(own)),
            _psnr_cell(own),
            *(_cell(own, key, digits) for key, digits in _DIGITS.items()),
            own[0]["protocol"],
        ]
        for (scene, method), own in groups.items()
    ]


def _cell(rows: list[dict], key: str, digits: int) -> str:
    values = [row[key] for row in rows if row[key] is not None]
    return f"{statistics.median(values):.{digits}f}" if values else "-"


def _psnr_cell(rows: list[dict]) -> str:
    """For example `31.00 (30.00 to 33.00; 1 inf)`, if one of the seeds has an infinite PSNR."""
    values = [row["psnr_db"] for row in rows if row["psnr_db"] is not None]
    words = Counter(row.get("psnr_text") or "-" for row in rows if row["psnr_db"] is None)
    if not values:
        return ", ".join(words)
    notes = [f"{min(values):.2f} to {max(values):.2f}"] if len(values) > 1 else []
    notes += [f"{count} {'without' if word == '-' else word}" for word, count in words.items()]
    return _cell(rows, "psnr_db", 2) + (f" ({'; '.join(notes)})" if notes else "")


def write(sweep: Path, rows: list[dict], others: list[tuple[SweepRun, RunState]]) -> None:
    """The three tables."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(row | {"psnr_db": row["psnr_text"] if row["psnr_db"] is None else row["psnr_db"]} for row in rows)
    write_text(sweep / "table.csv", text.getvalue())
    lines = medians(rows)
    cells = [[cell.replace("|", r"\|") for cell in line] for line in lines]
    markdown = [f"| {' | '.join(_HEADINGS)} |", f"|{'-|' * len(_HEADINGS)}", *(f"| {' | '.join(line)} |" for line in cells)]
    write_text(sweep / "table.md", "\n".join(markdown) + "\n")
    picture = plot(rows)
    summary = (
        f"{len(rows)} runs done, {len(others)} not. Medians over seeds; PSNR in brackets from the lowest to the highest. "
        "Medians leave out figures that were not measured (-), and a PSNR that is not finite (inf, nan)."
    )
    if rows and not picture:
        summary += " There are too many scenes or methods for a plot."
    write_text(
        sweep / "table.html",
        _PAGE.render(
            title=f"Sweep {sweep.resolve().name}", headings=_HEADINGS, rows=lines, summary=summary, others=others, plot=picture
        ),
    )


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `… | head` ends the program without a traceback
    sys.exit(main(sys.argv[1:]))
