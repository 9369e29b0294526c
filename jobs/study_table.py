"""The table and the figure of a study, from the reports of its runs."""

import csv
import io
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from jobs.reports import STUDY_FIGURES, read_report
from settings.errors import InputError
from system.files import atomic

COLUMNS = ("kind", "amount", "method", "seed", *STUDY_FIGURES, "protocol")
AT = " at "  # "paper at .9": with --filter_consistency_ratio .9
_PANELS = {"psnr_db": "PSNR, dB", "points": "points", "hull_iou": "hull IoU with clean masks"}
Curves = dict[str, list[tuple[float, dict]]]  # for each method: x and its row
Line = tuple[str, Curves]  # a line of panels: the label of x, and the curves


def finished(folder: Path) -> bool:
    """Whether the run in the folder ended and left a report that can be used."""
    try:
        report = read_report(folder, STUDY_FIGURES)
    except InputError:
        return False
    return report is not None and not report.interrupted


def damages(folders: list[Path]) -> list[str]:
    """A sentence for each run whose report exists but cannot be used."""
    found = []
    for folder in folders:
        try:
            read_report(folder, STUDY_FIGURES)
        except InputError as problem:
            found.append(str(problem))
    return found


def write_table(path: Path, folders: dict) -> list[dict]:
    """Write a CSV row for every finished run of {(damage, amount, method, seed): folder}; returns the rows, in which figures that
    were not measured, or are not finite, are None."""
    rows, lines = [], []
    for cell, folder in folders.items():
        try:
            report = read_report(folder, STUDY_FIGURES)
        except InputError:
            continue
        if report is None or report.interrupted:
            continue
        rows.append(dict(zip(COLUMNS[:4], cell, strict=True)) | report.figures | {"protocol": report.protocol})
        if rows[-1]["hull_iou"] is None and not cell.amount:
            rows[-1]["hull_iou"] = 1.0  # clean masks are what the others are compared with
        psnr = rows[-1]["psnr_db"]
        lines.append(rows[-1] | {"psnr_db": report.psnr_text if psnr is None else psnr})
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    writer.writerows(lines)
    with atomic(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8", newline="")
    return rows


def write_figure(path: Path, rows: list[dict]) -> None:
    """A page of curves, one for each method, with seeds as a band from lowest to highest: a line of panels over the amounts for
    each type of damage, and one over the ratio for each damage that a method had at several ratios ("paper at .9")."""
    lines = _over_amounts(rows) + _over_ratios(rows)
    if not lines:
        return
    figure = Figure(figsize=(13, 3.4 * len(lines)), layout="constrained")
    panels = figure.subplots(len(lines), len(_PANELS), squeeze=False)
    for line, (label, curves) in zip(panels, lines, strict=True):
        for axes, (key, title) in zip(line, _PANELS.items(), strict=True):
            for index, (method, points) in enumerate(curves.items()):
                _draw(axes, points, key, method, f"C{index}")
            axes.set_title(title, fontsize=10)
            axes.set_xlabel(label)
            axes.grid(alpha=0.3)
            axes.locator_params(axis="x", nbins=6)
        line[0].legend(fontsize=8)
    with atomic(path) as temporary:
        figure.savefig(temporary, dpi=110)


def _over_amounts(rows: list[dict]) -> list[Line]:
    """A line for each damage; clean runs (amount 0) belong to all. Ratios with one amount alone are left to `_over_ratios`."""
    damages = dict.fromkeys(row["kind"] for row in rows if row["amount"])
    lines: dict[str, Curves] = {damage: {} for damage in damages}
    for damage, curves in lines.items():
        for row in rows:
            if row["kind"] == damage or not row["amount"]:
                curves.setdefault(row["method"], []).append((row["amount"], row))
        for method in [method for method, points in curves.items() if AT in method and len({x for x, _ in points}) == 1]:
            del curves[method]
    return [(damage, curves) for damage, curves in lines.items() if curves]


def _over_ratios(rows: list[dict]) -> list[Line]:
    """A line for each damage with curves over the ratio; the default recipe, which has no ratio, is a level line."""
    lines = []
    for damage, amount in dict.fromkeys((row["kind"], row["amount"]) for row in rows if row["amount"]):
        curves, level = {}, []
        for row in rows:
            name, _, ratio = row["method"].partition(AT)
            if (row["kind"], row["amount"]) != (damage, amount):
                continue
            if ratio or name != "default":
                curves.setdefault(name, []).append((float(ratio or 1), row))
            else:
                level.append(row)
        ratios = sorted({x for points in curves.values() for x, _ in points})
        if len(ratios) > 1:
            if level:
                curves["default, by itself"] = [(x, row) for x in ratios for row in level]
            lines.append((f"--filter_consistency_ratio, {damage} {amount:g}", curves))
    return lines


def _draw(axes, points: list[tuple[float, dict]], key: str, label: str, colour: str) -> None:
    found: dict[float, list[float]] = {}
    for x, row in points:
        if row[key] is not None:
            found.setdefault(x, []).append(row[key])
    xs = sorted(found)
    low, middle, high = ([float(statistic(found[x])) for x in xs] for statistic in (min, np.median, max))
    axes.plot(xs, middle, color=colour, marker="o", markersize=3, label=label)
    axes.fill_between(xs, low, high, color=colour, alpha=0.2, linewidth=0)
