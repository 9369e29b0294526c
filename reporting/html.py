"""The report as one HTML file that needs no network and no other file."""

import base64
import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.colors import to_hex
from PIL import Image

from reporting.pictures import ERROR_COLOURS, ERROR_SCALE, panels_of
from reporting.plot import training_plot
from reporting.summary import scale_name
from reporting.video import first_frame
from system import signals
from system.files import write_text

# Characters of the page that its pictures and its video may take, so that it stays below 10 MB.
PAGE_BUDGET = 9_300_000
LARGE_BUDGET = 2_700_000  # of these: best, median and worst view at full size
VIDEO_BUDGET = 1_400_000  # of these: the orbit; the grid of all views takes the rest
GRID_SIDES = (640, 480, 400, 320, 280, 240, 200, 160, 120, 80)  # px, longer side of a picture in the grid
GRID_QUALITY = 80

_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class ShownView:
    """A view on the page; the pictures are data URIs."""

    label: str
    name: str
    psnr: str
    ssim: str | None
    predicted: str
    true: str
    error: str


def save_html(
    path: Path, report: dict[str, Any], pictures: list[Path], video: Path | None, sections: list[tuple[str, Markup]]
) -> None:
    """Writes the page, atomically.

    report: the dict of `reporting.report`, whose `views` are in the order of `pictures`, the files of
    `pictures.save_comparison`; video: the orbit, shown in the page if it is small enough; sections: titles
    and contents of further sections, which load no other file. Raises CannotWrite, and StopRequested if a
    signal came.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"duration": duration, "number": number, "setting": setting, "scale_name": scale_name}
    views = report["views"]
    large, shown_video = large_views(views, pictures), video_uri(video)
    spent = sum(len(v.predicted) + len(v.true) + len(v.error) for v in large) + len(shown_video or "")
    spent += sum(len(content) for _, content in sections)
    side, grid = grid_views(views, pictures, PAGE_BUDGET - spent)
    page = environment.get_template("report.html.j2").render(
        report=report,
        large=large,
        grid=grid,
        grid_side=side,
        plot=training_plot(report["history"], report["run"]["size_label"]),
        video=shown_video,
        poster=poster_uri(video),
        sections=sections,
        video_name=video.name if video else None,
        error_scale=ERROR_SCALE,
        error_ramp=colour_ramp(ERROR_COLOURS),
        psnr_span=psnr_span(views),
    )
    write_text(path, page)


def large_views(views: list[dict[str, Any]], pictures: list[Path]) -> list[ShownView]:
    """The views of highest, median and lowest PSNR (each view once), at the pictures' own size: as PNG if
    `LARGE_BUDGET` allows it, else as JPEG."""
    order = sorted(range(len(views)), key=lambda v: _rank(views[v]), reverse=True)
    labels: dict[int, str] = {}  # a view with two of these ranks is shown once
    for label, rank in (("Best view", 0), ("Worst view", -1), ("Median view", (len(order) - 1) // 2)):
        labels.setdefault(order[rank], label)
    chosen = [(labels[v], v) for v in order if v in labels]
    panels = [panels_of(pictures[v]) for _, v in chosen]
    uris = [[_data_uri(*_png(panel)) for panel in three] for three in panels]
    for quality in (92, 80):
        if sum(len(uri) for three in uris for uri in three) > LARGE_BUDGET:
            uris = [[_data_uri(*_jpeg(panel, quality)) for panel in three] for three in panels]
    return [_shown(label, views[v], three) for (label, v), three in zip(chosen, uris, strict=True)]


def grid_views(views: list[dict[str, Any]], pictures: list[Path], budget: int) -> tuple[int, list[ShownView]]:
    """(longer side in px, all views as JPEG of that size), which fit into `budget` characters, estimated from a sample."""
    sample = pictures[:: max(1, len(pictures) // 6)]
    for side in GRID_SIDES:
        size = sum(len(_data_uri(*part)) for picture in sample for part in _grid_pictures(picture, side))
        if size * len(pictures) <= budget * len(sample):
            break
    shown = [
        _shown(view["name"], view, [_data_uri(*part) for part in _grid_pictures(picture, side)])
        for view, picture in zip(views, pictures, strict=True)
    ]
    return min(side, max(panels_of(pictures[0])[0].size)), shown


def video_uri(video: Path | None) -> str | None:
    """The video as a data URI; None without a video, and if it is larger than `VIDEO_BUDGET`."""
    if video is None or video.stat().st_size * 4 / 3 > VIDEO_BUDGET:  # base64 adds a third
        return None
    return _data_uri("video/mp4", video.read_bytes())


def poster_uri(video: Path | None) -> str | None:
    """The video's first frame as a data URI, shown until it plays, because phones load no frame before; None without a video."""
    return None if video is None else _data_uri(*_jpeg(first_frame(video), GRID_QUALITY))


def colour_ramp(name: str) -> str:
    """A matplotlib colour map as the stops of a CSS gradient."""
    colours = matplotlib.colormaps[name](np.linspace(0, 1, 17))
    return ", ".join(to_hex(c) for c in colours)


def psnr_span(views: list[dict[str, Any]]) -> tuple[float, float]:
    """The PSNR at which the bars of the table are empty and full."""
    known = [v["psnr_db"] for v in views if v["psnr_db"] is not None] or [0.0]
    low, high = min(known), max(known)
    return low - max(1.0, 0.25 * (high - low)), high


def duration(seconds: float) -> str:
    """Seconds as text: `0.8 s`, `42 s`, `2 min 29 s`, `1 h 03 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 1:
        return f"{rest} s"
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def number(value: float | None, digits: int = 2) -> str:
    """A figure with thin spaces between thousands; a dash for None."""
    return "–" if value is None else f"{value:,.{digits}f}".replace(",", "\u202f")


def setting(value: Any) -> str:
    """A setting as text: yes or no for bools, a dash for None and ""."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "–" if value is None or value == "" else f"{value:g}" if isinstance(value, float) else str(value)


def _rank(view: dict[str, Any]) -> float:
    """The key by which views are sorted: the PSNR; infinite ones are best, and ones that are not a number worst."""
    if view["psnr_db"] is not None:
        return view["psnr_db"]
    return math.inf if view["psnr_text"] == "inf" else -math.inf


def _grid_pictures(picture: Path, side: int) -> list[tuple[str, bytes]]:
    signals.check()
    return [_jpeg(_shrink(panel, side), GRID_QUALITY) for panel in panels_of(picture)]


def _shown(label: str, view: dict[str, Any], uris: list[str]) -> ShownView:
    similarity = None if view["ssim"] is None else f"{view['ssim']:.4f}"
    return ShownView(label, view["name"], view["psnr_text"], similarity, *uris)


def _shrink(picture: Image.Image, side: int) -> Image.Image:
    if max(picture.size) <= side:
        return picture
    scale = side / max(picture.size)
    return picture.resize([max(1, round(length * scale)) for length in picture.size], Image.Resampling.LANCZOS)


def _png(picture: Image.Image) -> tuple[str, bytes]:
    return "image/png", _encoded(picture, format="PNG", optimize=True)


def _jpeg(picture: Image.Image, quality: int) -> tuple[str, bytes]:
    return "image/jpeg", _encoded(
        picture,
        format="JPEG",
        quality=quality,  # not optimized: Pillow would then fail on noise that is larger as JPEG than a byte a pixel
        subsampling="4:4:4" if quality >= 90 else "4:2:0",
    )


def _encoded(picture: Image.Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, **options)
    return buffer.getvalue()


def _data_uri(media_type: str, data: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode('ascii')}"
