"""--method nerf: a radiance field along rays."""

from pathlib import Path

from datasets.scene import Scene, Split
from reporting.snapshots import snapshots
from settings.errors import InputError
from settings.flags import to_config_text
from settings.options import Options
from training.fields import FieldRun, complete, fit_field, load_field_run


def learn(options: Options, scene: Scene, evaluation: Split, folder: Path) -> tuple[FieldRun, Options, dict]:
    """Train or load a field, see `methods.learn`."""
    calls, options = options.radiance_calls, complete(options)
    if scene.carving is not None:
        masks, way_out = ("--maskdir", "drop the flag") if options.maskdir else ("mask_path of its frames", "give --no_masks")
        raise InputError(f"{masks}: these pictures have an alpha channel, which is what --method nerf uses: {way_out}")
    if options.render_only:
        run = load_field_run(scene, options, folder)
    else:
        every = snapshots(scene, evaluation, folder, pictures=options.i_testset, video=options.i_video)
        run = fit_field(scene, evaluation, options, folder, config_text=to_config_text(options), every=every)
    run.model.chunk, run.model.points = options.chunk, options.netchunk
    if calls is not None and options.render_only:
        try:
            run.model.calls = calls
        except ValueError as problem:
            raise InputError(f"--radiance_calls {calls} does not fit this model: {problem}") from problem
    own = {"mixed_precision": run.model.in_bfloat16, "field": run.model.kind, "radiance_calls": run.model.calls}
    return run, options, {"options": own}
