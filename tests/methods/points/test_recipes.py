"""Recipes: what they learn, and their stages."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from datasets.scene import joined
from methods.points.learn import choose_recipe, fit_cloud
from methods.points.options import PointOptions
from methods.points.paper import filter_and_duplicate, filter_points
from settings.errors import InputError
from tests.methods.points.small_clouds import SMALL, run, same
from tests.scenes import sphere_scene


@pytest.mark.parametrize(
    "recipe, background, floor", [("default", "black", 27), ("default", "white", 29), ("paper", "black", 18)]
)
def test_learns_a_sphere(tmp_path, recipe, background, floor):
    """In 400 steps; frozen positions or colours stay below the floor."""
    trained = run(tmp_path, sphere_scene(background), replace(SMALL, recipe=recipe, data_r=0.003, epochs=20))
    figures = [h["validation_psnr"] for h in trained.history]
    assert figures[-1] > floor, figures


@pytest.mark.parametrize("seen", ["alpha", "no alpha"])
def test_the_papers_recipe_takes_everything_that_is_not_black(tmp_path, seen):
    """It needs no alpha channel: RGB pictures on black are carved as RGBA ones are, and pictures without black are refused."""
    scene = sphere_scene()
    if seen == "no alpha":
        black = joined([scene.train.over_black(view).numpy() for view in range(len(scene.train))])
        scene = replace(scene, train=replace(scene.train, images=black, alpha=None))
    trained = run(tmp_path, scene, replace(SMALL, data_r=0.003, epochs=20))
    assert trained.history[-1]["validation_psnr"] > 18
    bright = replace(scene.train, images=np.maximum(scene.train.images, 3), alpha=None)
    with pytest.raises(InputError, match="no black background"):
        run(tmp_path / "bright", replace(scene, train=bright))


def test_same_seed_same_weights(tmp_path):
    assert same(run(tmp_path / "a").cloud, run(tmp_path / "b").cloud)
    assert not same(run(tmp_path / "a").cloud, run(tmp_path / "c", options=replace(SMALL, seed=1)).cloud)


def test_the_default_recipe_starts_from_a_cloud_of_the_paper_recipe(tmp_path):
    """Such a cloud has neither opacities nor radii of its own; it gets them, and refinements work on them."""
    start = run(tmp_path / "paper", options=replace(SMALL, epochs=2)).cloud
    scene = sphere_scene()
    recipe, options = choose_recipe(replace(SMALL, recipe="default", refine_n=3), scene)
    trained = fit_cloud(scene, scene.test, options, recipe, tmp_path / "default", start=start)
    assert trained.cloud.opacity_logits is not None and trained.cloud.log_radii is not None
    assert trained.cloud.log_radii.std() > 0
    assert trained.finished and len(trained.history) == 5


@pytest.mark.parametrize("recipe", ["paper", "default"])
@pytest.mark.parametrize("epochs", [1, 2, 7, 33, 500])
def test_scaled_recipe_has_that_many_epochs(recipe, epochs):
    scaled, _ = choose_recipe(replace(SMALL, recipe=recipe, epochs=epochs), sphere_scene())
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
    options = replace(SMALL, posFirst="YES", epochs=0)
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


def test_a_run_that_learns_nothing_ends_early(tmp_path):
    scene = sphere_scene()
    recipe, options = choose_recipe(replace(SMALL, recipe="default", epochs=40), scene)
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
