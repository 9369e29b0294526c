"""The report that a finished run leaves in its folder, checked before it is used."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.files import is_text, read_json_or_none
from settings.errors import InputError

FILE = "report.json"
SWEEP_FIGURES = ("psnr_db", "ssim", "training_seconds", "fps", "model_bytes")
STUDY_FIGURES = ("psnr_db", "ssim", "points", "hull_iou", "training_seconds", "fps")
_LARGEST = 1e15  # far above every figure of a run, and small enough for a plot or a column of a table


@dataclass(frozen=True)
class Report:
    """The parts of a report that tables need."""

    interrupted: bool  # by Ctrl-C: the figures are those of an unfinished training
    protocol: str
    figures: dict[str, float | None]  # None: not measured, or not finite
    psnr_text: str  # the PSNR if JSON cannot hold it: inf, -inf or nan; else empty


def read_report(folder: Path, wanted: tuple[str, ...] = SWEEP_FIGURES) -> Report | None:
    """The report of the run in the folder with the figures `wanted`; None if there is no report yet.

    Raises InputError, which names the file and the damage, for a damaged report.
    """
    path = folder / FILE
    content = read_json_or_none(path)
    if content is None and not path.exists():
        return None
    figures, run, protocol = (_part(content, name, path) for name in ("figures", "run", "protocol"))
    if not isinstance(run.get("interrupted"), bool):
        raise InputError(f"{path} is damaged: run.interrupted is neither true nor false")
    if not is_text(protocol.get("name")):
        raise InputError(f"{path} is damaged: protocol.name is not text")
    told = figures.get("psnr_text") if figures.get("psnr_db") is None else ""
    return Report(
        run["interrupted"],
        protocol["name"],
        {name: _figure(figures, name, path) for name in wanted},
        told if told in ("inf", "-inf", "nan") else "",
    )


def _part(content: Any, name: str, path: Path) -> dict:
    part = content.get(name) if isinstance(content, dict) else None
    if not isinstance(part, dict):
        raise InputError(f"{path} is damaged: it holds no {name}")
    return part


def _figure(figures: dict, name: str, path: Path) -> float | None:
    if name not in figures:
        raise InputError(f"{path} is damaged: it holds no figures.{name}")
    value = figures[name]
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < _LARGEST:
        raise InputError(f"{path} is damaged: figures.{name} is not a number below {_LARGEST:g}")
    return value
