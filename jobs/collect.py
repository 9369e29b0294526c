"""Gather the reports of a sweep in its folder: table.csv (a line a run), table.md and table.html (medians over seeds; plots, and
what failed and why).

    python -m jobs.collect runs/sweep
"""

import argparse
import base64
import csv
import io
import json
import statistics
import sys
from pathlib import Path

import jinja2

from jobs.states import Known, of_sweep
from jobs.sweep import SweepRun
from reporting.lines import MEGABYTE
from settings.errors import InputError
from settings.files import write_text

COLUMNS = ("scene", "method", "seed", "psnr_db", "ssim", "training_seconds", "fps", "megabytes", "protocol", "folder")
_HEADINGS = ("scene", "method", "seeds", "PSNR, dB", "SSIM", "training, s", "fps", "size, MB", "protocol")
_PAGE = jinja2.Template("""\
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
""", autoescape=True)


def main(argv: list[str]) -> int:
    """Exit code 0, or 2 where the folder is no sweep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], usage="python -m jobs.collect FOLDER")
    parser.add_argument("sweep", type=Path)
    sweep = parser.parse_args(argv).sweep
    try:
        states = of_sweep(sweep)
    except InputError as mistake:
        print(f"collect: {mistake}", file=sys.stderr)
        return 2
    rows = [row_of(run) for run, state in states if state.state == "done"]
    others = [(run, state) for run, state in states if state.state != "done"]
    write(sweep, rows, others)
    print((sweep / "table.md").read_text(encoding="utf-8"), end="")
    for run, state in others:
        print(f"{run.name}: {state.state}. {state.remark}")
    print(f"{len(rows)} of {len(states)} runs are done: {sweep}/table.csv, table.md, table.html")
    return 0


def row_of(run: SweepRun) -> dict:
    """A finished run's figures, by `COLUMNS`."""
    report = json.loads((Path(run.folder) / "report.json").read_text(encoding="utf-8"))
    figures = report["figures"]
    found = {name: figures[name] for name in ("psnr_db", "ssim", "training_seconds", "fps")}
    return {"scene": run.scene, "method": run.method, "seed": run.seed} | found | {
        "megabytes": figures["model_bytes"] / MEGABYTE, "protocol": report["protocol"]["name"], "folder": run.folder}


def medians(rows: list[dict]) -> list[list[str]]:
    """A row of text for each scene and method: medians over seeds, and PSNR from the lowest to the highest."""
    groups: dict[tuple, list[dict]] = {}
    for row in rows:
        groups.setdefault((row["scene"], row["method"]), []).append(row)
    lines = []
    for (scene, method), own in groups.items():
        middle = lambda key, own=own: statistics.median(row[key] for row in own if row[key] is not None)  # noqa: E731
        values = [row["psnr_db"] for row in own]
        spread = f" ({min(values):.2f} to {max(values):.2f})" if len(values) > 1 else ""
        others = [f"{middle(key):.{digits}f}" for key, digits in
                  (("ssim", 3), ("training_seconds", 1), ("fps", 1), ("megabytes", 1))]
        lines.append([scene, method, str(len(own)), f"{middle('psnr_db'):.2f}{spread}", *others, own[0]["protocol"]])
    return lines


def write(sweep: Path, rows: list[dict], others: list[tuple[SweepRun, Known]]) -> None:
    """The three tables."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(sweep / "table.csv", text.getvalue())
    lines = medians(rows)
    markdown = [f"| {' | '.join(_HEADINGS)} |", f"|{'-|' * len(_HEADINGS)}", *(f"| {' | '.join(line)} |" for line in lines)]
    write_text(sweep / "table.md", "\n".join(markdown) + "\n")
    summary = f"{len(rows)} runs done, {len(others)} not. Medians over seeds; PSNR in brackets from the lowest to the highest."
    write_text(sweep / "table.html", _PAGE.render(
        title=f"Sweep {sweep.name}", headings=_HEADINGS, rows=lines, summary=summary, others=others, plot=_plot(rows)))


def _plot(rows: list[dict]) -> str:
    """PSNR and training time of each scene, a colour a method, a dot a seed; as PNG in base64, empty without rows."""
    if not rows:
        return ""
    from matplotlib.figure import Figure

    scenes, methods = (list(dict.fromkeys(row[key] for row in rows)) for key in ("scene", "method"))
    figure = Figure(figsize=(11, 2 + 0.35 * len(scenes) * len(methods) ** 0.5), layout="constrained")
    panels = {"psnr_db": "PSNR, dB", "training_seconds": "training, s"}
    for axes, (key, title) in zip(figure.subplots(1, 2), panels.items(), strict=True):
        for number, method in enumerate(methods):
            own = [row for row in rows if row["method"] == method]
            shift = 0.6 * (number - (len(methods) - 1) / 2) / max(len(methods), 1)
            places = [scenes.index(row["scene"]) + shift for row in own]
            axes.plot([row[key] for row in own], places, "o", label=method, alpha=0.8)
        axes.set(yticks=range(len(scenes)), yticklabels=scenes, xlabel=title)
        axes.invert_yaxis()
        axes.grid(alpha=0.3)
    figure.axes[0].legend(fontsize=8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return base64.b64encode(buffer.getvalue()).decode()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
