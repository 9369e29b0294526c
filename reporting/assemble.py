"""The report of a run: measures the model and writes the report's files into the run's folder."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor

from models.rendering import Rendering
from reporting.environment import environment, gpu_peak_memory_mib, peak_memory_mib
from reporting.evaluate import Quality, Speed, ViewQuality, evaluate, measure_speed
from reporting.html import save_html
from reporting.maps import Maps
from reporting.pictures import remove_older, save_comparison
from reporting.run_record import RunRecord
from reporting.video import depth_scale, try_orbit
from system import signals
from system.files import to_jsonable, write_json

FORMAT = 1  # of report.json; raised when a key changes its meaning
PICTURES, VIDEO, PAGE, JSON = "pictures", "orbit.mp4", "report.html", "report.json"


def report(run: RunRecord) -> dict[str, Any]:
    """Evaluates the run's model on its protocol and fills the run folder; returns the content of report.json.

    Writes pictures/*.png (predicted | true | error), orbit.mp4, the run's artifacts, report.html and, last of
    all, report.json; each atomically. The dict holds JSON's own types only: a PSNR that is not finite is None
    in `psnr_db`, and `psnr_text` and `notes` give its value. Prints nothing to stdout: the caller prints
    `four_lines(report["figures"])` at the very end. Raises ValueError for a split without views, CannotWrite,
    and StopRequested if a signal came.
    """
    folder = Path(run.folder)
    written: list[Path] = []
    scale = depth_scale(run.model, run.evaluation.cameras, run.background) if run.depth_maps else None
    maps = Maps(scale, run.normal_maps, run.background)

    def save(view: int, rendering: Rendering, true: Tensor, figures: ViewQuality) -> None:
        written.append(save_comparison(folder / PICTURES, view, figures.name, figures.psnr, rendering.image, true))
        views = run.evaluation.cameras, view, run.background
        others = run.proposals
        proposed = None if others is None else others.render(*views, antialias=run.antialias, with_normal=True)
        maps.save(folder, view, figures.name, rendering, proposed)

    quality = evaluate(
        run.model, run.evaluation, run.background, antialias=run.antialias, with_normal=run.normal_maps, on_view=save
    )
    remove_older(folder / PICTURES, written)
    maps.remove_older(folder)
    speed = measure_speed(run.model, run.evaluation, run.background, quality.seconds_per_view, antialias=run.antialias)
    warnings = list(run.warnings)
    if run.interrupted:
        warnings.insert(0, "The training was interrupted: these are the figures of an unfinished run.")
    orbit = run.model, run.train_cameras, run.bounds, run.background, 1 / speed.fps, run.render_path
    video, problem = try_orbit(folder / VIDEO, *orbit, normals=run.normal_maps)
    warnings += [problem] if problem else []
    for artifact in run.artifacts:
        artifact.save(folder)
    result = to_jsonable(_content(run, quality, speed, video, warnings, maps))
    signals.check()
    sections = [(artifact.title, artifact.html(folder)) for artifact in run.artifacts]
    if maps.written:
        sections.insert(0, (" and ".join(maps.written).replace("_", " ").capitalize(), maps.html()))
    save_html(folder / PAGE, result, written, folder / VIDEO if video else None, sections)
    signals.check()
    write_json(folder / JSON, result)
    return result


def _content(
    run: RunRecord, quality: Quality, speed: Speed, video: dict[str, Any] | None, warnings: list[str], maps: Maps
) -> dict[str, Any]:
    cameras = run.evaluation.cameras
    return {
        "format": FORMAT,
        "scene": run.scene_name,
        "method": run.options.get("method"),
        "recipe": run.options.get("recipe"),
        "protocol": {
            "name": run.protocol,
            "views": len(run.evaluation),
            "width": cameras.width,
            "height": cameras.height,
            "same_size": cameras.same_size,  # else width and height are the largest
            "background": run.background,
        },
        "figures": run.figures
        | {
            "psnr_db": quality.psnr,
            "psnr_text": f"{quality.psnr:.2f}",
            "ssim": quality.ssim,
            "lpips": quality.lpips,
            "normal_degrees": quality.normal_degrees,
            "fps": speed.fps,
            "training_seconds": run.training_seconds,
            "hull_seconds": run.setup_seconds,
            "compile_seconds": run.compile_seconds,
            "evaluation_seconds": run.evaluation_seconds,
            "model_bytes": run.model_bytes,
            "model": run.model.describe(),
            "peak_memory_mib": peak_memory_mib(),
            "gpu_peak_memory_mib": gpu_peak_memory_mib(),
        },
        "run": {
            "seed": run.seed,
            "device": run.device,
            "threads": run.threads,
            "stages": run.stages,
            "size_label": run.size_label,
            "interrupted": run.interrupted,
        },
        "warnings": warnings,
        "notes": _notes(run, quality, speed),
        "views": [
            {
                "name": v.name,
                "psnr_db": v.psnr,
                "psnr_text": f"{v.psnr:.2f}",
                "ssim": v.ssim,
                "lpips": v.lpips,
                "normal_degrees": v.normal_degrees,
            }
            for v in quality.views
        ],
        "scales": [{"scale": s.scale, "psnr_db": s.psnr, "ssim": s.ssim} for s in quality.scales],
        "speed": asdict(speed),
        "video": video,
        "history": run.history,
        "options": run.options,
        "environment": environment(),
        "files": {"pictures": PICTURES, "video": VIDEO if video else None, "page": PAGE}
        | {name: name for name in maps.written}
        | {artifact.key: artifact.file for artifact in run.artifacts},
    }


def _notes(run: RunRecord, quality: Quality, speed: Speed) -> list[str]:
    """How the figures were measured, in sentences."""
    notes = [
        "PSNR and SSIM are computed for each view on pictures clamped to [0, 1] and then averaged; SSIM is "
        "scikit-image's with a Gaussian window of sigma 1.5.",
        quality.lpips_note,
        f"Rendering speed is the median of {speed.passes} passes over {speed.views} of the protocol's "
        f"{len(run.evaluation)} views, rendering alone, after a warm-up and with the device synchronised; "
        f"the passes lie between {speed.fps_slowest:.2f} and {speed.fps_fastest:.2f} fps.",
        "Training time excludes the compilation of kernels, which is given beside it.",
        "Model size is that of the saved weights; MB are 2^20 bytes.",
        *run.notes,
    ]
    unusual = [v.name for v in quality.views if not abs(v.psnr) < float("inf")]
    if unusual:
        notes.append(
            f"PSNR is infinite (equal pictures) or not a number for {len(unusual)} views, the first of them "
            f"{unusual[0]}; JSON holds null there, and the mean is not finite either."
        )
    if quality.normal_degrees is not None:
        notes.append(
            "The normals' error is the mean angle to the data's normals, weighted by the true alpha times the rendered one, for "
            "each view, and then averaged."
        )
    elif run.evaluation.normals is not None or run.normal_maps:
        without = "the model has none" if run.evaluation.normals is not None else "the data have none"
        notes.append(f"Normals were not measured: {without}.")
    if quality.ssim is None:
        notes.append("SSIM was not measured: the pictures are smaller than its window of 11 pixels.")
    return notes
