"""The table and the figure of a study, from the reports that its runs left."""

import csv
import json
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

COLUMNS = ("kind", "amount", "method", "seed", "psnr_db", "ssim", "points", "hull_iou", "training_seconds", "fps", "protocol")
_PANELS = {"psnr_db": "PSNR, dB", "points": "points", "hull_iou": "hull IoU with clean masks"}


def finished(folder: Path) -> bool:
    """Whether the run in the folder ended and left its report."""
    report = _report(folder)
    return report is not None and not report["run"]["interrupted"]


def _report(folder: Path) -> dict | None:
    try:
        return json.loads((folder / "report.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return None


def write_table(path: Path, folders: dict) -> list[dict]:
    """Write a CSV row for every finished run of {(kind, amount, method, seed): folder}; returns the rows."""
    rows = []
    for cell, folder in folders.items():
        if not finished(folder):
            continue
        report = _report(folder)
        figures = report["figures"]
        rows.append(dict(zip(COLUMNS[:4], cell, strict=True)) | {name: figures[name] for name in COLUMNS[4:-1]} | {
            "protocol": report["protocol"]["name"]
        })
        if rows[-1]["hull_iou"] is None and not cell.amount:
            rows[-1]["hull_iou"] = 1.0  # clean masks are what the others are compared with
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return rows


def write_figure(path: Path, rows: list[dict]) -> None:
    """A page of curves: a row of panels for each kind, a curve for each method, seeds as a band from lowest to highest."""
    kinds = list(dict.fromkeys(row["kind"] for row in rows if row["amount"]))
    if not kinds:
        return
    methods = list(dict.fromkeys(row["method"] for row in rows))
    figure = Figure(figsize=(13, 3.4 * len(kinds)), layout="constrained")
    panels = figure.subplots(len(kinds), len(_PANELS), squeeze=False)
    for line, kind in zip(panels, kinds, strict=True):
        for axes, (key, title) in zip(line, _PANELS.items(), strict=True):
            for place, method in enumerate(methods):
                amounts, low, middle, high = _curve(rows, kind, method, key)
                axes.plot(amounts, middle, color=f"C{place}", marker="o", markersize=3, label=method)
                axes.fill_between(amounts, low, high, color=f"C{place}", alpha=0.2, linewidth=0)
            axes.set_title(title, fontsize=10)
            axes.set_xlabel(kind)
            axes.grid(alpha=0.3)
    panels[0, 0].legend(fontsize=8)
    figure.savefig(path, dpi=110)


def _curve(rows: list[dict], kind: str, method: str, key: str) -> tuple[list, list, list, list]:
    """(amounts, lowest, median, highest over the seeds) of one figure; clean runs of any kind are amount 0."""
    found: dict[float, list[float]] = {}
    for row in rows:
        if row["method"] == method and (row["kind"] == kind or not row["amount"]) and row[key] is not None:
            found.setdefault(row["amount"], []).append(row[key])
    amounts = sorted(found)
    values = [found[amount] for amount in amounts]
    return amounts, [min(v) for v in values], [float(np.median(v)) for v in values], [max(v) for v in values]
