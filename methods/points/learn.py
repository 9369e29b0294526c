"""--method points: a cloud that a recipe trains."""

from collections.abc import Callable, Sequence
from pathlib import Path

from datasets.scene import Scene, Split
from methods.command_line import to_config_text
from methods.points.carving import with_carving_masks
from methods.points.default import DefaultRecipe
from methods.points.options import PointOptions, paper_defaults
from methods.points.paper import paper_recipe
from methods.points.recipe import Recipe, Start
from methods.points.run import PointRun, load_run, load_weights
from methods.points.task import PointTask
from models.points import PointCloud
from reporting.cloud import CloudArtifact
from reporting.outlines import save_outlines
from reporting.ply import load_ply, ply_settings
from settings.errors import InputError
from system import ranks
from system.reading import reading
from taichi_kernels import runtime
from training import loop
from training.callbacks import EarlyStop
from training.checkpoint import CHECKPOINT
from training.task import Callback


def choose_recipe(options: PointOptions, scene: Scene) -> tuple[Recipe, PointOptions]:
    """The recipe that the options name, at their length, and the options with the recipe's values filled in."""
    if (options.batch_views or ranks.count()) < ranks.count():
        raise InputError(
            f"--batch_views {options.batch_views} leaves some of {ranks.count()} ranks without a view: give more "
            "views, or start fewer ranks"
        )
    if options.recipe == "paper":
        options = options.filled(paper_defaults() | {"batch_views": ranks.count()})
        recipe = paper_recipe(options)
    else:
        method = DefaultRecipe()
        options = method.settings(options, scene)
        recipe = method.recipe(options, scene)
    return (recipe.scaled(options.epochs) if options.epochs else recipe), options


def fit_cloud(
    scene: Scene,
    validation: Split,
    options: PointOptions,
    recipe: Recipe,
    folder: Path,
    *,
    start: PointCloud | None = None,
    config_text: str = "",
    on_start: Callable[[Start], None] | None = None,
    callbacks: Sequence[Callback] = (),
) -> PointRun:
    """Train a cloud on the scene's training views, or continue the run in `folder`, see `training.loop.fit`.

    options and recipe: of `choose_recipe`; start: a cloud to begin with instead of the recipe's initial one; on_start: called
    with the start of a fresh run. Raises InputError for an empty hull.
    """
    task = PointTask(scene, validation, options, recipe, cloud=start, on_start=on_start)
    loop.fit(task, folder, callbacks=[EarlyStop(), *callbacks], config_text=config_text)
    return task.run


def learn(options: PointOptions, scene: Scene, evaluation: Split, folder: Path) -> tuple[PointRun, PointOptions, dict]:
    """Train or load a cloud, see `methods.learn`."""
    scene = with_carving_masks(scene, options)
    recipe, options = choose_recipe(options, scene)
    goes_on = not options.no_reload and not options.render_only and (folder / CHECKPOINT).is_file()  # from its own cloud
    start = _start_cloud(options) if options.ft_path and not goes_on else None
    if options.render_only:
        run = load_run(folder, start)
    else:
        outlines = folder / "outlines.png"
        run = fit_cloud(
            scene,
            evaluation,
            options,
            recipe,
            folder,
            start=start,
            config_text=to_config_text(options),
            on_start=lambda start: save_outlines(outlines, scene, start.outlines) if start.outlines else outlines.unlink(True),
        )
    cloud = run.model
    settings = {"splatting_r": cloud.radius, "raster_n": cloud.max_layers, "profile": cloud.profile, "sh_per": cloud.sh_per}
    return (
        run,
        options,
        {
            "artifacts": [CloudArtifact(cloud)],
            "figures": {"points": cloud.point_count(), "hull_iou": run.masks.hull_iou},
            "size_label": ("points", "points"),
            "warnings": [run.masks.note] if run.masks.note else [],
            "options": settings,
        },
    )


def _start_cloud(options: PointOptions) -> PointCloud:
    """The cloud that --ft_path names: weights, a checkpoint, or an exported PLY."""
    path, device = Path(options.ft_path or "").expanduser(), runtime.torch_device()
    cloud = load_weights(path, device) if path.suffix.lower() != ".ply" else _cloud_of_ply(path, options).to(device)
    if not cloud.point_count():
        raise InputError(f"--ft_path {path} holds no points: name another file")
    return cloud


def _cloud_of_ply(path: Path, options: PointOptions) -> PointCloud:
    tensors = load_ply(path)
    settings = {
        "radius": options.splatting_r,
        "max_layers": options.raster_n,
        "profile": options.profile,
        "sh_per": options.sh_per,
    }
    settings |= {name: value for name, value in ply_settings(path).items() if name in (*settings, "use_sh", "frame")}
    with reading(path):
        return PointCloud.from_appearance(tensors, **settings)
