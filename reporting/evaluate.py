"""Quality and speed of a model on a protocol's views."""

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from datasets.scene import Split
from models.rendering import Rendering
from reporting.metrics import lpips_or_none, normal_error, psnr, ssim
from reporting.run_record import RadianceModel
from system import signals
from system.progress import progress

LEAST_SECONDS = 1.0  # of measured rendering
MOST_SECONDS = 15.0  # slow models render fewer views, to stay below it
LEAST_PASSES = 3


@dataclass(frozen=True)
class ViewQuality:
    """One view's figures; those that could not be measured are None."""

    name: str
    psnr: float
    ssim: float | None
    lpips: float | None
    normal_degrees: float | None = None  # see `metrics.normal_error`


@dataclass(frozen=True)
class ScaleQuality:
    """Means over the views at 1 / scale of the size; ssim is None if it could not be measured in all of them."""

    scale: int
    psnr: float
    ssim: float | None


@dataclass(frozen=True)
class Quality:
    """A split's figures: those of its views, and their means."""

    views: list[ViewQuality]
    scales: list[ScaleQuality]  # empty if the views have no scales
    psnr: float
    ssim: float | None
    lpips: float | None
    normal_degrees: float | None  # None without normals in the data, or in the renderings
    lpips_note: str
    seconds_per_view: float  # median render time of this pass: a first estimate, not the measured speed


@dataclass(frozen=True)
class Speed:
    """Rendering speed: the median over passes, and how it was measured."""

    fps: float
    fps_slowest: float  # of the passes
    fps_fastest: float
    views: int  # rendered in one pass
    passes: int


def evaluate(
    model: RadianceModel,
    split: Split,
    background: str,
    *,
    antialias: bool = True,
    with_normal: bool = False,
    on_view: Callable[[int, Rendering, Tensor, ViewQuality], None] | None = None,
) -> Quality:
    """Renders every view and compares it with the photograph over the same background.

    on_view(view, rendering, true, quality) is called after each view, so that pictures can be written without
    keeping all of them in memory. If the split has normals, those of the renderings are compared with them.
    Raises ValueError for a split without views.
    """
    if len(split) == 0:
        raise ValueError("there are no views to evaluate")
    lpips, lpips_note = lpips_or_none()
    views, seconds = [], []
    with torch.no_grad(), progress(range(len(split)), desc="test views", unit="view") as bar:
        for view in bar:
            start = time.perf_counter()
            normals = with_normal or split.normals is not None
            rendering = model.render(split.cameras, view, background, antialias=antialias, with_normal=normals)
            synchronize()
            seconds.append(time.perf_counter() - start)
            image, true = rendering.image.detach().float().cpu(), split.picture(view, background)
            distance = lpips(image, true) if lpips else None
            angle = _normal_error(rendering, split, view)
            quality = ViewQuality(split.names[view], psnr(image, true), ssim(image, true), distance, angle)
            views.append(quality)
            bar.set_postfix_str(f"PSNR {_mean([v.psnr for v in views]):.2f} dB")
            if on_view is not None:
                on_view(view, rendering, true, quality)
    return Quality(
        views,
        _by_scale(views, split.scales or []),
        sum(v.psnr for v in views) / len(views),
        _mean([v.ssim for v in views]),
        _mean([v.lpips for v in views]),
        _mean([v.normal_degrees for v in views]),
        lpips_note,
        statistics.median(seconds),
    )


def _normal_error(rendering: Rendering, split: Split, view: int) -> float | None:
    if split.normals is None or rendering.normal is None:
        return None
    cover = torch.ones_like(rendering.alpha) if split.alpha is None else torch.from_numpy(split.alpha[view]) / 255
    return normal_error(rendering.normal, rendering.alpha, split.normal(view), cover)


def _by_scale(views: list[ViewQuality], scales: list[int]) -> list[ScaleQuality]:
    found = []
    for scale in sorted(set(scales)):
        some = [view for view, own in zip(views, scales, strict=True) if own == scale]
        similarities = [view.ssim for view in some]
        ssim = None if None in similarities else _mean(similarities)
        found.append(ScaleQuality(scale, sum(view.psnr for view in some) / len(some), ssim))
    return found


def measure_speed(
    model: RadianceModel, split: Split, background: str, seconds_per_view: float, *, antialias: bool = True
) -> Speed:
    """Frames per second on the split's own views, colour alone: no depth, no gradient, no metric, no copy to the host.

    After one warm-up view, whole passes over the views are timed, each between two synchronisations of the
    device, until both `LEAST_PASSES` and `LEAST_SECONDS` are reached; the median pass counts. If that would
    take more than `MOST_SECONDS` (by seconds_per_view, a first estimate), a pass takes evenly spaced views
    only. A model that takes that long for one view is timed once, on one view.
    """
    affordable = max(1, int(MOST_SECONDS / LEAST_PASSES / max(seconds_per_view, 1e-6)))
    count = min(len(split), affordable)
    views = [round(i * len(split) / count) for i in range(count)]
    passes: list[float] = []
    with torch.no_grad():
        if seconds_per_view < MOST_SECONDS:
            model.render(split.cameras, views[0], background, with_depth=False, antialias=antialias)
        while sum(passes) < MOST_SECONDS and (len(passes) < LEAST_PASSES or sum(passes) < LEAST_SECONDS):
            synchronize()
            start = time.perf_counter()
            for view in views:
                signals.check()
                model.render(split.cameras, view, background, with_depth=False, antialias=antialias)
            synchronize()
            passes.append(max(time.perf_counter() - start, 1e-9))
    return Speed(count / statistics.median(passes), count / max(passes), count / min(passes), count, len(passes))


def synchronize() -> None:
    """Waits until the device has finished all work."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    # A model without kernels never loads Taichi: it is not started here.
    taichi = sys.modules.get("taichi")
    if taichi is not None and taichi.lang.impl.get_runtime().prog is not None:
        taichi.sync()


def _mean(values: list[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return sum(known) / len(known) if known else None
