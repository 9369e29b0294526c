"""The plot of a sweep's page."""

import base64
import io
import math
import warnings

_MOST = {"scene": 100, "method": 20}  # more cannot be distinguished


def plot(rows: list[dict]) -> str:
    """PSNR and training time of each scene, with a colour for each method and a dot for each seed; as PNG in base64. Figures that
    are None have no dot. Empty without rows, and with more scenes or methods than a plot can show."""
    names = {key: list(dict.fromkeys(row[key] for row in rows)) for key in _MOST}
    if not rows or any(len(names[key]) > most for key, most in _MOST.items()):
        return ""
    from matplotlib.figure import Figure

    scenes, methods = names["scene"], names["method"]
    figure = Figure(figsize=(11, 2 + 0.35 * len(scenes) * len(methods) ** 0.5), layout="constrained")
    panels = {"psnr_db": "PSNR, dB", "training_seconds": "training, s"}
    for axes, (key, title) in zip(figure.subplots(1, 2), panels.items(), strict=True):
        for number, method in enumerate(methods):
            own = [row for row in rows if row["method"] == method]
            shift = 0.6 * (number - (len(methods) - 1) / 2) / len(methods)
            heights = [scenes.index(row["scene"]) + shift for row in own]
            values = [math.nan if row[key] is None else row[key] for row in own]
            axes.plot(values, heights, "so"[number < 10], color=f"C{number % 10}", label=_plain(method), alpha=0.8)
        axes.set(yticks=range(len(scenes)), yticklabels=[_plain(scene) for scene in scenes], xlabel=title)
        axes.invert_yaxis()
        axes.grid(alpha=0.3)
    figure.axes[0].legend(fontsize=8)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about letters that the font does not have
        figure.savefig(buffer, format="png", dpi=110)
    return base64.b64encode(buffer.getvalue()).decode()


def _plain(name: str) -> str:
    """The name with dollars escaped: matplotlib reads text between them as formulas."""
    return name.replace("$", r"\$")
