"""The course of the training as a small SVG: PSNR above, point count below, over the same time axis."""

import io
import re
from typing import Any

import matplotlib
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

# Stand-in colours that become the page's own, so that the plot follows its light and dark look.
_THEME = {
    "#010101": "var(--ink)",
    "#020202": "var(--muted)",
    "#030303": "var(--line)",
    "#040404": "var(--accent)",
}
_INK, _MUTED, _LINE, _ACCENT = _THEME
_LETTER = 0.008  # of the axis' width, that a letter of a stage's name takes
_STYLE = {
    "svg.fonttype": "none",  # text stays text: readable by machines, drawn in the page's font
    "svg.hashsalt": "report",  # the same run gives the same bytes
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": _INK,
    "axes.edgecolor": _LINE,
    "axes.labelcolor": _MUTED,
    "xtick.color": _LINE,
    "ytick.color": _LINE,
    "xtick.labelcolor": _MUTED,
    "ytick.labelcolor": _MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": _LINE,
    "grid.linewidth": 0.6,
    "text.parse_math": False,  # a stage's name may hold dollar signs
}


def training_plot(history: list[dict[str, Any]]) -> Markup | None:
    """Training and validation PSNR, and the number of points or of rays a step, over the seconds of training, as inline SVG.

    history: one dict an epoch as in `RunRecord.history`; None where it has no epochs. Values that are None or
    not finite leave a gap.
    """
    if not history:
        return None
    unit, name = (60.0, "minutes") if history[-1]["seconds"] >= 180 else (1.0, "seconds")
    time = [row["seconds"] / unit for row in history]
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(9.6, 4.4), layout="constrained")
        quality, points = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        train = _series(time, history, "train_psnr")
        validation = _series(time, history, "validation_psnr")
        if train:
            quality.plot(*train, color=_MUTED, linewidth=1.2, linestyle=(0, (3, 2)), label="training views")
        if validation:
            quality.plot(
                *validation, color=_ACCENT, linewidth=2, marker="o", markersize=3, label="validation views"
            )
        quality.set_ylabel("PSNR (dB)")
        if train or validation:
            quality.legend(loc="lower right", frameon=False, labelcolor=_INK)
        _mark_stages(quality, time, history)
        kind = "rays" if "rays" in history[-1] else "points"
        count = _series(time, history, kind)
        if count:  # an epoch's row is written at its end, and holds for all of it
            count = [0.0, *count[0]], [count[1][0], *count[1]]
            points.plot(*count, color=_ACCENT, linewidth=2, drawstyle="steps-pre")
            points.fill_between(*count, color=_ACCENT, alpha=0.15, linewidth=0, step="pre")
        points.set_ylim(bottom=0)
        points.set_xlim(left=0)
        points.set_ylabel("rays a step" if kind == "rays" else "points")
        points.yaxis.set_major_formatter(EngFormatter(sep=""))
        points.yaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 2.5, 5, 10]))
        points.set_xlabel(f"training time ({name})")
        figure.align_ylabels()
        return _inline(figure)


def _series(
    time: list[float], history: list[dict[str, Any]], key: str
) -> tuple[list[float], list[float]] | None:
    """The times and values of the epochs that have this figure; None where none has."""
    known = [(t, row[key]) for t, row in zip(time, history, strict=True) if row.get(key) is not None]
    return tuple(map(list, zip(*known, strict=True))) if known else None


def _mark_stages(axes, time: list[float], history: list[dict[str, Any]]) -> None:
    """A thin line and the name where a stage begins; a name that would run into the last one is left out."""
    end, free_from = time[-1] or 1.0, 0.0
    for index, row in enumerate(history):
        stage = str(row.get("stage", ""))[:32]
        if index and row.get("stage") == history[index - 1].get("stage"):
            continue
        start = time[index - 1] if index else 0.0
        if index:
            axes.axvline(start, color=_LINE, linewidth=1)
        if start >= free_from:
            place = {"transform": axes.get_xaxis_transform(), "va": "bottom"}
            axes.text(start + 0.006 * end, 1.0, stage, color=_MUTED, fontsize=9, **place)
            free_from = start + (0.012 + _LETTER * len(stage)) * end


def _inline(figure: Figure) -> Markup:
    """The figure as an SVG element for an HTML page: no prologue, no metadata, the page's colours."""
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    document = buffer.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", document[document.index("<svg") :], flags=re.DOTALL)
    svg = svg.replace("*{", "svg *{")  # its style sheet would reach the whole page
    for stand_in, variable in _THEME.items():
        svg = svg.replace(stand_in, variable)
    svg = re.sub(
        r'^<svg [^>]*?(viewBox="[^"]*")[^>]*>',
        r'<svg \1 role="img" aria-labelledby="plot-title">',
        svg,
        count=1,
    )
    title = '<title id="plot-title">PSNR and size over training time</title>'
    return Markup(svg.replace(">", ">" + title, 1))
