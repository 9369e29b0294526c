"""Short trainings of small clouds, for the tests of this room."""

import torch

from methods.points.learn import choose_recipe, fit_cloud
from methods.points.options import PointOptions
from tests.scenes import sphere_scene

SMALL = PointOptions(recipe="paper", data_r=0.002, splatting_r=0.05, basedir="unused", epochs=5, refine_n=1, lr_s=0.03)


def run(folder, scene=None, options=SMALL, callbacks=()):
    scene = scene or sphere_scene()
    recipe, options = choose_recipe(options, scene)
    return fit_cloud(scene, scene.test, options, recipe, folder, callbacks=callbacks)


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.tensors().values(), b.tensors().values(), strict=True))
