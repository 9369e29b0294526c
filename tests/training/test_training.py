"""Training: recipes, the loop, checkpoints and what goes wrong."""

import math
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch

from datasets.scene import joined
from methods.points.default import DefaultRecipe
from methods.points.hull import allowed_misses
from methods.points.learn import choose_recipe, fit_cloud
from methods.points.losses import silhouette_loss
from methods.points.options import PointOptions
from methods.points.paper import filter_and_duplicate, filter_points
from methods.points.run import PointRun, load_run, load_weights
from methods.points.task import PointTask
from settings.errors import InputError
from system import signals
from tests.scenes import sphere_scene
from tests.training.hooks import Killed, kill_before, signal_before
from training.callbacks import settled
from training.checkpoint import save_weights, weights_size

_SMALL = PointOptions(recipe="paper", data_r=0.002, splatting_r=0.05, basedir="unused", epochs=5, refine_n=1, lr_s=0.03)


def run(folder, scene=None, options=_SMALL, callbacks=()):
    scene = scene or sphere_scene()
    recipe, options = choose_recipe(options, scene)
    return fit_cloud(scene, scene.test, options, recipe, folder, callbacks=callbacks)


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.tensors().values(), b.tensors().values(), strict=True))


@pytest.mark.parametrize(
    "recipe, background, floor", [("default", "black", 27), ("default", "white", 29), ("paper", "black", 18)]
)
def test_learns_a_sphere(tmp_path, recipe, background, floor):
    """In 400 steps; frozen positions or colours stay below the floor."""
    trained = run(tmp_path, sphere_scene(background), replace(_SMALL, recipe=recipe, data_r=0.003, epochs=20))
    figures = [h["validation_psnr"] for h in trained.history]
    assert figures[-1] > floor, figures


@pytest.mark.parametrize("seen", ["alpha", "no alpha"])
def test_the_papers_recipe_carves_what_is_not_black(tmp_path, seen):
    """It needs no alpha channel: RGB pictures on black are carved as RGBA ones are, and pictures without black are refused."""
    scene = sphere_scene()
    if seen == "no alpha":
        black = joined([scene.train.over_black(view).numpy() for view in range(len(scene.train))])
        scene = replace(scene, train=replace(scene.train, images=black, alpha=None))
    trained = run(tmp_path, scene, replace(_SMALL, data_r=0.003, epochs=20))
    assert trained.history[-1]["validation_psnr"] > 18
    bright = replace(scene.train, images=np.maximum(scene.train.images, 3), alpha=None)
    with pytest.raises(InputError, match="no black background"):
        run(tmp_path / "bright", replace(scene, train=bright))


def test_same_seed_same_weights(tmp_path):
    assert same(run(tmp_path / "a").cloud, run(tmp_path / "b").cloud)
    assert not same(run(tmp_path / "a").cloud, run(tmp_path / "c", options=replace(_SMALL, seed=1)).cloud)


@pytest.mark.parametrize("recipe", ["paper", "default"])
@pytest.mark.parametrize("after", [5, 24, 51, 85])
def test_resumed_run_ends_with_the_same_bits(tmp_path, recipe, after):
    """Cut off in the middle of an epoch, in any stage, as by kill -9; then run again."""
    options = replace(_SMALL, recipe=recipe)
    whole = run(tmp_path / "whole", options=options)
    with pytest.raises(Killed):
        run(tmp_path / "cut", options=options, callbacks=[kill_before(after)])
    resumed = run(tmp_path / "cut", options=options)
    assert same(whole.cloud, resumed.cloud)
    assert [h["epoch"] for h in resumed.history] == [1, 2, 3, 4, 5]
    assert [h["train_psnr"] for h in resumed.history] == [h["train_psnr"] for h in whole.history]


@pytest.mark.parametrize("recipe", ["paper", "default"])
@pytest.mark.parametrize("at", [[1], [13, 14, 75], [20, 40, 60]])
def test_cut_off_in_the_middle_of_an_epoch_ends_with_the_same_bits(tmp_path, recipe, at):
    """However often, and wherever: between two steps of an epoch of 20, at its end, at the first step of a stage."""
    options = replace(_SMALL, recipe=recipe)
    whole = run(tmp_path / "whole", options=options)
    steps, stops = signal_before(at, signal.SIGUSR1), []
    for _ in range(len(at) + 1):
        try:
            with signals.handled():
                pieces = run(tmp_path / "cut", options=options, callbacks=[steps])
        except signals.StopRequested as told_by:
            stops.append(str(told_by))
    assert stops == ["SIGUSR1"] * len(at) and pieces.finished
    assert steps.count == len(whole.history) * 20  # none twice
    assert same(whole.cloud, pieces.cloud)
    assert [h["train_psnr"] for h in pieces.history] == [h["train_psnr"] for h in whole.history]
    assert pieces.seconds["training"] > 0.3 * whole.seconds["training"]  # of all pieces


def test_interrupt_keeps_the_run(tmp_path):
    whole, steps = run(tmp_path / "whole"), signal_before([30], signal.SIGINT)
    with signals.handled():
        assert run(tmp_path / "cut", callbacks=[steps]).interrupted
        signals.check()  # the report may be made
    assert steps.count == 30 and load_run(tmp_path / "cut", None).interrupted
    assert same(run(tmp_path / "cut").cloud, whole.cloud)


def test_cut_off_in_the_validation_makes_it_again(tmp_path, monkeypatch):
    whole, original, passes = run(tmp_path / "whole"), PointTask.validation_psnr, []

    def told(task):
        passes.append(1)
        if len(passes) == 3:
            signal.raise_signal(signal.SIGTERM)
        return original(task)

    monkeypatch.setattr(PointTask, "validation_psnr", told)
    with signals.handled(), pytest.raises(signals.StopRequested):
        run(tmp_path / "cut")
    resumed = run(tmp_path / "cut")
    assert same(resumed.cloud, whole.cloud)
    figures = ("train_psnr", "validation_psnr", "epoch", "step")
    assert [[h[f] for f in figures] for h in resumed.history] == [[h[f] for f in figures] for h in whole.history]
    assert len((tmp_path / "cut" / "log.txt").read_text().splitlines()) == len(whole.history)


def test_resume_needs_a_checkpoint(tmp_path):
    with pytest.raises(InputError, match="--resume"):
        run(tmp_path, options=replace(_SMALL, resume=True))


def test_other_flags_do_not_continue_a_run(tmp_path):
    run(tmp_path, options=replace(_SMALL, epochs=1))
    with pytest.raises(InputError, match="--lr1"):
        run(tmp_path, options=replace(_SMALL, epochs=1, lr1=0.5))
    run(tmp_path, options=replace(_SMALL, epochs=1, lr1=0.01, no_reload=True))


@pytest.mark.parametrize("recipe", ["paper", "default"])
def test_a_run_that_is_lengthened_goes_on(tmp_path, recipe):
    """A finished one in its last stage; one that was stopped, in the stage that it was in. Never a shorter one."""
    options = replace(_SMALL, recipe=recipe)
    ended = run(tmp_path / "ended", options=options)
    longer = run(tmp_path / "ended", options=replace(options, epochs=8))
    assert longer.finished and longer.history[:5] == ended.history and len(longer.history) == 8
    assert {row["stage"] for row in longer.history[5:]} == {ended.history[-1]["stage"]}
    assert not same(longer.cloud, ended.cloud)
    with signals.handled(), pytest.raises(signals.StopRequested):
        run(tmp_path / "cut", options=options, callbacks=[signal_before([30], signal.SIGTERM)])
    assert len(run(tmp_path / "cut", options=replace(options, epochs=10)).history) > 7
    with pytest.raises(InputError, match="--epochs 10, this one has 4"):
        run(tmp_path / "cut", options=replace(options, epochs=4))


def test_damaged_checkpoint_is_named(tmp_path):
    (tmp_path / "checkpoint.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(InputError, match=r"checkpoint\.pt"):
        run(tmp_path)


def test_empty_hull_names_the_view(tmp_path):
    scene = sphere_scene()
    scene.train.alpha[7] = 0
    scene.train.images[7] = 0
    with pytest.raises(InputError, match="r_7"):
        run(tmp_path, scene)


def test_an_empty_hull_names_the_largest_ratio_that_keeps_points(tmp_path):
    scene = sphere_scene()
    scene.train.alpha[[3, 7, 11]] = 0
    scene.train.images[[3, 7, 11]] = 0
    with pytest.raises(InputError, match=r"--filter_consistency_ratio 0\.\d+ or less") as caught:
        run(tmp_path, scene, replace(_SMALL, filter_consistency_ratio=0.99))
    largest = float(str(caught.value).split("--filter_consistency_ratio ")[1].split()[0])
    run(tmp_path, scene, replace(_SMALL, filter_consistency_ratio=largest, epochs=1))
    with pytest.raises(InputError):
        run(tmp_path / "more", scene, replace(_SMALL, filter_consistency_ratio=largest + 0.06, epochs=1))


@pytest.mark.parametrize("ratio, votes", [(1.0, 100), (0.97, 97), (0.94, 94), (0.9, 90), (0.8, 80), (0.7, 70), (0.001, 1)])
def test_ratios_are_the_forks(ratio, votes):
    assert 100 - allowed_misses(100, ratio) == votes


def test_weights_round_trip(tmp_path):
    cloud = run(tmp_path, options=replace(_SMALL, epochs=1)).cloud
    weights = PointRun(model=cloud).weights()
    size = save_weights(tmp_path, weights)
    assert size == (tmp_path / "weights.pt").stat().st_size
    assert same(cloud, load_weights(tmp_path / "weights.pt", cloud.positions.device))
    assert weights_size(weights) == pytest.approx(size, abs=4096)  # the archive pads


def test_the_default_recipe_starts_from_a_cloud_of_the_paper_recipe(tmp_path):
    """Such a cloud has neither opacities nor radii of its own; it gets them, and refinements work on them."""
    start = run(tmp_path / "paper", options=replace(_SMALL, epochs=2)).cloud
    scene = sphere_scene()
    recipe, options = choose_recipe(replace(_SMALL, recipe="default", refine_n=3), scene)
    trained = fit_cloud(scene, scene.test, options, recipe, tmp_path / "default", start=start)
    assert trained.cloud.opacity_logits is not None and trained.cloud.log_radii is not None
    assert trained.cloud.log_radii.std() > 0
    assert trained.finished and len(trained.history) == 5


def test_parameters_that_are_not_finite_stop_the_run(tmp_path):
    """Points that are not a number vanish from the picture, so the loss alone would not tell."""
    start = run(tmp_path / "a", options=replace(_SMALL, epochs=1)).cloud
    with torch.no_grad():
        start.positions[3, 1] = math.nan
    scene = sphere_scene()
    recipe, options = choose_recipe(_SMALL, scene)
    with pytest.raises(InputError, match="finite"):
        fit_cloud(scene, scene.test, options, recipe, tmp_path / "b", start=start)


def test_a_run_cut_off_before_its_harmonics_is_shown_without_them(tmp_path):
    """The paper's recipe starts them at random."""
    scene = sphere_scene()
    recipe, options = choose_recipe(_SMALL, scene)
    first = replace(recipe, stages=recipe.stages[:1])
    fit_cloud(scene, scene.test, options, first, tmp_path)
    cloud = load_run(tmp_path, None).cloud
    assert not cloud.use_sh and not load_weights(tmp_path / "checkpoint.pt", cloud.positions.device).use_sh


@pytest.mark.parametrize("recipe", ["paper", "default"])
@pytest.mark.parametrize("epochs", [1, 2, 7, 33, 500])
def test_scaled_recipe_has_that_many_epochs(recipe, epochs):
    scaled, _ = choose_recipe(replace(_SMALL, recipe=recipe, epochs=epochs), sphere_scene())
    assert scaled.epochs == epochs


def test_paper_recipe_is_the_original_schedule():
    recipe, options = choose_recipe(PointOptions(recipe="paper"), sphere_scene())
    assert [s.epochs for s in recipe.stages] == [20, 30, 30, 30]
    assert [s.use_sh for s in recipe.stages] == [False, True, True, True]
    assert [s.colour_rate for s in recipe.stages] == [3e-3, 22e-3, 22e-3, 22e-3]
    assert {s.position_rate for s in recipe.stages} == {8e-4} and {s.decay for s in recipe.stages} == {0.93}
    assert options.raster_n == 15 and options.data_r == 0.012 and options.splatting_r == 0.015


def test_the_forks_stages_come_before_the_papers():
    options = PointOptions(recipe="paper", posFirst="YES", ridgePosition=1.0, shAlone="YES")
    stages = choose_recipe(options, sphere_scene())[0].stages
    assert [s.epochs for s in stages] == [7, 10, 20, 30, 30, 30]
    first, colours, *_ = stages
    assert (first.loss, first.ridge, first.colour_rate, first.position_rate, first.use_sh) == ("silhouette", 1.0, 0.0, 4e-3, True)
    assert (colours.loss, colours.colour_rate, colours.position_rate, colours.use_sh) == ("photometric", 1.5e-2, 0.0, True)
    assert [s.change for s in stages] == [None, filter_points, None, None, filter_and_duplicate, filter_and_duplicate]
    assert [s.epochs for s in choose_recipe(replace(options, posFirst="NO"), sphere_scene())[0].stages] == [10, 20, 30, 30, 30]


def test_the_position_stage_moves_points_alone_and_the_ridge_pulls_them_in(tmp_path):
    options = replace(_SMALL, posFirst="YES", epochs=0)
    recipe, options = choose_recipe(options, sphere_scene())
    widths = []
    for ridge in (0.0, 10.0):
        stage = replace(recipe.stages[0], ridge=ridge)
        start = recipe.initial_cloud(sphere_scene(), options, torch.Generator().manual_seed(0)).cloud
        before = {name: value.clone() for name, value in start.tensors().items()}
        only = replace(recipe, stages=(stage,))
        moved = fit_cloud(sphere_scene(), sphere_scene().val, options, only, tmp_path / str(ridge), start=start).cloud.tensors()
        assert torch.equal(moved["base"], before["base"]) and torch.equal(moved["sh"], before["sh"])
        assert not torch.equal(moved["positions"], before["positions"])
        widths.append(moved["positions"].norm(dim=1).mean())
    assert widths[1] < 0.9 * widths[0]


def test_silhouettes_do_not_know_colours():
    red, blue = torch.zeros(2, 4, 4, 3)
    red[1:3, 1:3, 0], blue[1:3, 1:3, 2] = 0.7, 0.7
    loss, _ = silhouette_loss(red, blue, torch.ones(5, 3), ridge=0.0)
    assert loss == 0
    loss, squared = silhouette_loss(red, torch.zeros(4, 4, 3), torch.full((5, 3), 2.0), ridge=0.1)
    assert squared == pytest.approx(math.tanh(3.5) ** 2 / 4) and loss - squared == pytest.approx(0.4)
    byte = silhouette_loss(red, (blue * 255).to(torch.uint8), torch.ones(5, 3), ridge=0.0)[0]
    assert byte < 1e-6


def test_a_stage_settles_when_a_window_of_epochs_gains_nothing():
    assert not settled([20, 20, 20], 2)  # too early to tell
    assert settled([10, 20, 20, 20.01, 20.02], 2)
    assert not settled([20, 20, 20.1, 20.1], 2)
    assert not settled([20, 20, 20, 20], 0)


def test_a_run_that_learns_nothing_ends_early(tmp_path):
    scene = sphere_scene()
    recipe, options = choose_recipe(replace(_SMALL, recipe="default", epochs=40), scene)
    frozen = {"colour_rate": 0.0, "harmonics_rate": 0.0, "position_rate": 0.0, "opacity_rate": 0.0, "radius_rate": 0.0}
    recipe = replace(recipe, stages=tuple(replace(stage, change=None, **frozen) for stage in recipe.stages))
    ended = fit_cloud(scene, scene.test, options, recipe, tmp_path)
    window = recipe.stages[-1].window
    stages = [h["stage"] for h in ended.history]
    assert [h["epoch"] for h in ended.history] == list(range(1, len(stages) + 1))
    assert [stages.count(stage.name) for stage in recipe.stages] == [min(stage.epochs, 2 * window) for stage in recipe.stages]
    assert stages.count(recipe.stages[-1].name) < recipe.stages[-1].epochs
    assert ended.history[-1]["validation_psnr"] is not None
    again = fit_cloud(scene, scene.test, options, recipe, tmp_path)  # nothing is left to do
    assert len(again.history) == len(stages) and same(again.cloud, ended.cloud)


def test_what_is_black_before_black_becomes_opaque(tmp_path):
    """Colours alone say nothing about it; the alpha channel does."""
    scene = sphere_scene()
    scene = replace(scene, train=replace(scene.train, images=np.zeros_like(scene.train.images)))
    opacities = []
    for name, method in {"with": DefaultRecipe(opacity=0.05), "without": DefaultRecipe(opacity=0.05, alpha_weight=0.0)}.items():
        options = method.settings(replace(_SMALL, recipe="default", epochs=0), scene)
        cloud = fit_cloud(scene, scene.val, options, method.recipe(options, scene).scaled(20), tmp_path / name).cloud
        with torch.no_grad():
            alpha = cloud.composite(scene.test.cameras, 0)[1].cpu()
        opacities.append(alpha[torch.from_numpy(scene.test.alpha[0]) == 255].mean())
    assert opacities[0] > 0.9 and opacities[1] < 0.6, opacities
