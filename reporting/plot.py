"""The training as a small SVG: PSNR above, a size of the method below, over the same time axis."""

import io
import re
from collections.abc import Sequence
from typing import Any

import matplotlib
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

# Stand-in colours, which are replaced by the page's own, so that the plot follows its light and dark theme.
_THEME = {"#010101": "var(--ink)", "#020202": "var(--muted)", "#030303": "var(--line)", "#040404": "var(--accent)"}
_INK, _MUTED, _LINE, _ACCENT = _THEME
_LETTER = 0.008  # width of a letter of a stage's name, as a fraction of the axis
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text, drawn in the page's font
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


def training_plot(history: list[dict[str, Any]], size_label: Sequence[str] | None) -> Markup | None:
    """Training and validation PSNR, and below them a size, over the seconds of training, as inline SVG.

    history: one dict for each epoch as in `RunRecord.history`; without epochs None is returned. Values that are
    None or not finite leave a gap. size_label: the size's key in the rows, and the name of its axis; None draws
    the PSNR alone.
    """
    if not history:
        return None
    unit, name = (60.0, "minutes") if history[-1]["seconds"] >= 180 else (1.0, "seconds")
    time = [row["seconds"] / unit for row in history]
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(9.6, 4.4), layout="constrained")
        heights = [3, 1] if size_label else [1]
        panels = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights, squeeze=False)[:, 0]
        _draw_psnr(panels[0], time, history)
        if size_label:
            _draw_size(panels[1], time, history, *size_label)
        panels[-1].set_xlim(left=0)
        panels[-1].set_xlabel(f"training time ({name})")
        figure.align_ylabels()
        return _inline(figure)


def _draw_psnr(axes, time: list[float], history: list[dict[str, Any]]) -> None:
    train = _series(time, history, "train_psnr")
    validation = _series(time, history, "validation_psnr")
    if train:
        axes.plot(*train, color=_MUTED, linewidth=1.2, linestyle=(0, (3, 2)), label="training views")
    if validation:
        axes.plot(*validation, color=_ACCENT, linewidth=2, marker="o", markersize=3, label="validation views")
    axes.set_ylabel("PSNR (dB)")
    if train or validation:
        axes.legend(loc="lower right", frameon=False, labelcolor=_INK)
    _mark_stages(axes, time, history)


def _draw_size(axes, time: list[float], history: list[dict[str, Any]], key: str, name: str) -> None:
    size = _series(time, history, key)
    if size:  # an epoch's row is written at its end, but is valid for the whole epoch
        size = [0.0, *size[0]], [size[1][0], *size[1]]
        axes.plot(*size, color=_ACCENT, linewidth=2, drawstyle="steps-pre")
        axes.fill_between(*size, color=_ACCENT, alpha=0.15, linewidth=0, step="pre")
    axes.set_ylim(bottom=0)
    axes.set_ylabel(name)
    axes.yaxis.set_major_formatter(EngFormatter(sep=""))
    axes.yaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 2.5, 5, 10]))


def _series(time: list[float], history: list[dict[str, Any]], key: str) -> tuple[list[float], list[float]] | None:
    """The times and values of the epochs that have this figure; None if no epoch has it."""
    known = [(t, row[key]) for t, row in zip(time, history, strict=True) if row.get(key) is not None]
    return ([t for t, _ in known], [value for _, value in known]) if known else None


def _mark_stages(axes, time: list[float], history: list[dict[str, Any]]) -> None:
    """A thin line and a name at the beginning of each stage; names that would overlap the last one are left out."""
    end, free_from = time[-1] or 1.0, 0.0
    for index, row in enumerate(history):
        stage = str(row.get("stage", ""))[:32]
        if index and row.get("stage") == history[index - 1].get("stage"):
            continue
        start = time[index - 1] if index else 0.0
        if index:
            axes.axvline(start, color=_LINE, linewidth=1)
        if start >= free_from:
            above = {"transform": axes.get_xaxis_transform(), "va": "bottom"}
            axes.text(start + 0.006 * end, 1.0, stage, color=_MUTED, fontsize=9, **above)
            free_from = start + (0.012 + _LETTER * len(stage)) * end


def _inline(figure: Figure) -> Markup:
    """The figure as an SVG element for an HTML page: no prologue, no metadata, the page's colours."""
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    document = buffer.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", document[document.index("<svg") :], flags=re.DOTALL)
    svg = svg.replace("*{", "svg *{")  # else its style sheet would apply to the whole page
    for stand_in, variable in _THEME.items():
        svg = svg.replace(stand_in, variable)
    svg = re.sub(r'^<svg [^>]*?(viewBox="[^"]*")[^>]*>', r'<svg \1 role="img" aria-labelledby="plot-title">', svg, count=1)
    title = '<title id="plot-title">PSNR and size over training time</title>'
    return Markup(svg.replace(">", ">" + title, 1))
