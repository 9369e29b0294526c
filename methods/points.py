"""--method points: a cloud that a recipe trains."""

from pathlib import Path

from datasets.scene import Scene, Split
from models.points import PointCloud
from reporting.outlines import save_outlines
from reporting.ply import load_ply, ply_settings
from settings.errors import InputError
from settings.flags import to_config_text
from settings.options import Options
from system.reading import reading
from taichi_kernels import runtime
from training import choose_recipe, fit, load_run
from training.checkpoint import CHECKPOINT, load_weights
from training.point_run import PointRun


def learn(options: Options, scene: Scene, evaluation: Split, folder: Path) -> tuple[PointRun, Options, dict]:
    """Train or load a cloud, see `methods.learn`."""
    recipe, options = choose_recipe(options, scene)
    goes_on = not options.no_reload and not options.render_only and (folder / CHECKPOINT).is_file()  # from its own cloud
    start = _start_cloud(options) if options.ft_path and not goes_on else None
    if options.render_only:
        run = load_run(folder, start)
    else:
        outlines = folder / "outlines.png"
        run = fit(
            scene, evaluation, options, recipe, folder, start=start, config_text=to_config_text(options),
            begun=lambda start: save_outlines(outlines, scene, start.outlines) if start.outlines else outlines.unlink(True),
        )
    cloud, tensors = run.model, {k: v.cpu() for k, v in run.model.tensors().items()}
    learned = {
        "opacity": None if cloud.opacity_logits is None else cloud.opacities().detach().cpu(),
        "radius": None if cloud.log_radii is None else tensors["log_radii"].exp(),
    }
    points = {"positions": tensors["positions"], "base": tensors["base"], "sh": tensors["sh"], "settings": cloud.settings()}
    settings = {"splatting_r": cloud.radius, "raster_n": cloud.max_layers, "profile": cloud.profile, "sh_per": cloud.sh_per}
    return run, options, {
        "cloud": points | learned, "points": cloud.point_count(), "hull_iou": run.masks.hull_iou,
        "warnings": [run.masks.remark] if run.masks.remark else [], "options": settings,
    }


def _start_cloud(options: Options) -> PointCloud:
    """The cloud that --ft_path names: weights, a checkpoint, or an exported PLY."""
    path, device = Path(options.ft_path).expanduser(), runtime.torch_device()
    cloud = load_weights(path, device) if path.suffix.lower() != ".ply" else _cloud_of_ply(path, options).to(device)
    if not cloud.point_count():
        raise InputError(f"--ft_path {path} holds no points: name another file")
    return cloud


def _cloud_of_ply(path: Path, options: Options) -> PointCloud:
    tensors = load_ply(path)
    settings = {
        "radius": options.splatting_r, "max_layers": options.raster_n, "profile": options.profile, "sh_per": options.sh_per,
    }
    settings |= {name: value for name, value in ply_settings(path).items() if name in (*settings, "use_sh", "frame")}
    with reading(path):
        return PointCloud.from_appearance(tensors, **settings)
