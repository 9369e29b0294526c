"""Scenes whose pictures have several sizes: learned and shown as well as those of one size."""

from dataclasses import replace

import pytest
import torch

from methods.points.learn import choose_recipe, fit_cloud
from methods.points.options import PointOptions
from models.points import frame_of
from tests.scenes import sphere_scene, with_sizes


def several_sizes():
    """The sphere, and the same with training pictures that are whole, cut at the right, or cut at the left and at the bottom."""
    scene = sphere_scene(views=21, width=64, height=64)
    return scene, replace(scene, train=with_sizes(scene.train))


@pytest.mark.parametrize("recipe", ["default", "paper"])
def test_clouds_learn_as_well(tmp_path, recipe):
    figures = []
    for number, scene in enumerate(several_sizes()):
        options = PointOptions(recipe=recipe, data_r=0.003, basedir="unused", epochs=16)
        chosen, options = choose_recipe(options, scene)
        trained = fit_cloud(scene, scene.test, options, chosen, tmp_path / str(number))
        figures.append(trained.history[-1]["validation_psnr"])
        if recipe == "default":
            assert trained.model.settings()["frame"] == pytest.approx((32, 28)[number] / (1.4 * 64))
    assert figures[1] > figures[0] - 1, figures


def test_a_part_of_a_view_shows_that_part_of_the_cloud(tmp_path):
    """Points have one size in all pictures of one lens, whatever is cut off."""
    scene, mixed = several_sizes()
    options = PointOptions(recipe="default", data_r=0.003, basedir="unused", epochs=5)
    chosen, options = choose_recipe(options, scene)
    cloud = fit_cloud(scene, scene.test, options, chosen, tmp_path).cloud
    assert cloud.frame == frame_of(scene.train.cameras)
    whole, part = (cloud.render(one.train.cameras, 2).image for one in (scene, mixed))
    torch.testing.assert_close(part, whole[: part.shape[0], 8:], atol=2e-5, rtol=0)
    assert part.shape == (54, 56, 3) and part.max() > 0.5
