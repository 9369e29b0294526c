"""The last lines that every run prints."""

from pathlib import Path
from typing import Any

MEGABYTE = 1024 * 1024  # the original program divides by 1024 twice and calls it MB; figures stay comparable


def closing_lines(report: dict[str, Any], folder: Path) -> str:
    """The protocol, the files of the report, and the four lines, from a report (report.json) in `folder`."""
    files = {"report": report["files"]["page"]} | {key: name for key, name in report["files"].items() if key != "page"}
    named = "   ".join(f"{key}: {folder / name}" for key, name in files.items() if name is not None)
    lines = [f"protocol: {report['protocol']['name']}", named, four_lines(report["figures"])]
    if report.get("scales"):
        figures = ", ".join(f"{scale_name(row['scale'])}: {_decibels(row['psnr_db'])}" for row in report["scales"])
        lines.insert(1, f"PSNR by size: {figures}")
    if (degrees := report["figures"].get("normal_degrees")) is not None:
        lines.insert(1, f"normals: mean angular error {degrees:.1f}°")
    return "\n".join(lines)


def scale_name(scale: int) -> str:
    """The size of pictures at 1 / scale of the full one, in words."""
    return "full" if scale == 1 else f"1/{scale}"


def _decibels(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.2f} dB"


def four_lines(figures: dict[str, Any]) -> str:
    """The four lines, without a newline at the end, from the figures of a report (`report["figures"]`).

    A PSNR of None is one that JSON cannot hold; `psnr_text` is then inf or nan.
    """
    quality = figures["psnr_text"] if figures["psnr_db"] is None else f"{figures['psnr_db']:.2f}"
    return "\n".join(
        [
            f"Training time: {figures['training_seconds']:.2f} s",
            f"Rendering quality: {quality} dB",
            f"Rendering speed: {figures['fps']:.2f} fps",
            f"Model size: {figures['model_bytes'] / MEGABYTE:.2f} MB",
        ]
    )
