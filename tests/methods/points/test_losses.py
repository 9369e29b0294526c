"""The silhouette loss and the loss of the alpha channel."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from methods.points.default import DefaultRecipe
from methods.points.learn import fit_cloud
from methods.points.losses import silhouette_loss
from tests.methods.points.small_clouds import SMALL
from tests.scenes import sphere_scene


def test_silhouettes_do_not_know_colours():
    red, blue = torch.zeros(2, 4, 4, 3)
    red[1:3, 1:3, 0], blue[1:3, 1:3, 2] = 0.7, 0.7
    loss, _ = silhouette_loss(red, blue, torch.ones(5, 3), ridge=0.0)
    assert loss == 0
    loss, squared = silhouette_loss(red, torch.zeros(4, 4, 3), torch.full((5, 3), 2.0), ridge=0.1)
    assert squared == pytest.approx(math.tanh(3.5) ** 2 / 4) and loss - squared == pytest.approx(0.4)
    byte = silhouette_loss(red, (blue * 255).to(torch.uint8), torch.ones(5, 3), ridge=0.0)[0]
    assert byte < 1e-6


def test_black_surfaces_before_black_become_opaque(tmp_path):
    """Colours alone cannot tell; the alpha channel can."""
    scene = sphere_scene()
    scene = replace(scene, train=replace(scene.train, images=np.zeros_like(scene.train.images)))
    opacities = []
    for name, method in {"with": DefaultRecipe(opacity=0.05), "without": DefaultRecipe(opacity=0.05, alpha_weight=0.0)}.items():
        options = method.settings(replace(SMALL, recipe="default", epochs=0), scene)
        cloud = fit_cloud(scene, scene.val, options, method.recipe(options, scene).scaled(20), tmp_path / name).cloud
        with torch.no_grad():
            alpha = cloud.composite(scene.test.cameras, 0)[1].cpu()
        opacities.append(alpha[torch.from_numpy(scene.test.alpha[0]) == 255].mean())
    assert opacities[0] > 0.9 and opacities[1] < 0.6, opacities
