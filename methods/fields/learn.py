"""--method nerf: a radiance field along rays."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from datasets.bounds import without_odd_views
from datasets.paths import through_photographs
from datasets.scene import Scene, Split
from methods.command_line import to_config_text
from methods.fields.network_start import network_flags
from methods.fields.options import FieldOptions
from methods.fields.run import FieldRun, load_field_run
from methods.fields.task import FieldTask
from methods.fields.unbounded_start import contracted
from models.proposal_normals import ProposalNormals
from models.proposed_cones import ProposedCones
from models.proposed_field import ProposedField
from reporting.snapshots import snapshots
from settings.errors import InputError
from training import loop
from training.callbacks import Snapshots
from training.task import Callback


def fit_field(
    scene: Scene,
    validation: Split,
    options: FieldOptions,
    folder: Path,
    *,
    config_text: str = "",
    callbacks: Sequence[Callback] = (),
) -> FieldRun:
    """Train a field on the scene's training views, or continue the run in `folder`, see `training.loop.fit`.

    options: complete, see `FieldOptions.complete`.
    """
    task = FieldTask(scene, validation, options)
    loop.fit(task, folder, callbacks=callbacks, config_text=config_text)
    return task.run


def learn(options: FieldOptions, scene: Scene, evaluation: Split, folder: Path) -> tuple[FieldRun, FieldOptions, dict]:
    """Train or load a field, see `methods.learn`."""
    calls, options = options.radiance_calls, options.complete()
    if scene.carving is not None:
        masks, way_out = ("--maskdir", "drop the flag") if options.maskdir else ("mask_path of its frames", "give --no_masks")
        raise InputError(f"{masks}: these pictures have an alpha channel, which is what --method nerf uses: {way_out}")
    if contracted(scene, options):
        scene = _filmed_from_within(scene)
    if options.render_only:
        run = load_field_run(scene, options, folder)
        if run.model.contracted:  # whatever the flags say
            scene = _filmed_from_within(scene)
    else:
        save = snapshots(scene, evaluation, folder, pictures=options.i_testset, video=options.i_video)
        run = fit_field(scene, evaluation, options, folder, config_text=to_config_text(options), callbacks=[Snapshots(save)])
    run.model.chunk, run.model.points = options.chunk or run.model.chunk, options.netchunk
    if calls is not None and options.render_only:
        try:
            run.model.radiance_samples = calls
        except ValueError as problem:
            raise InputError(f"--radiance_calls {calls} does not fit this model: {problem}") from problem
    own = {"mixed_precision": run.model.in_bfloat16, "field": run.model.field_word, "radiance_calls": run.model.radiance_samples}
    if own["field"] == "reflective":
        own["field"] = "grid"
    by_proposals = isinstance(run.model, (ProposedField, ProposedCones))
    if own["field"] in ("grid", "voxels") or by_proposals:
        own |= network_flags(run.model)
    if own["field"] == "grid" or by_proposals:
        own["sampler"] = "proposals" if by_proposals else "occupancy"
    proposals = None
    if options.prop_normal:
        if not isinstance(run.model, ProposedField):
            raise InputError("--prop_normal shows proposals, and this model has none: drop the flag")
        proposals = ProposalNormals(run.model)
    return (
        run,
        options,
        {"proposals": proposals, "options": own, "size_label": ("rays", "rays a step"), "render_path": scene.render_path},
    )


def _filmed_from_within(scene: Scene) -> Scene:
    """The scene with a path of the video along its photographs, if it has none: an orbit would lead through walls."""
    return replace(scene, render_path=scene.render_path or through_photographs(without_odd_views(scene.train.cameras)))
