"""Hull and trained cloud against the built-in scene's exact shape: its signed distances and its depth maps."""

import numpy as np
import torch

from datasets.demo.sphere_tracing import demo_distance
from methods.points.hull import hull_cells
from methods.points.learn import choose_recipe, fit_cloud
from methods.points.options import PointOptions


def test_the_hull_holds_the_scene_and_little_more(demo_scene):
    scene = demo_scene
    low, high = scene.bounds
    axes = [torch.linspace(float(low[a]), float(high[a]), 96) for a in range(3)]
    cells = hull_cells(scene.train, axes, torch.from_numpy(scene.train.alpha), margin=0.0).cpu()
    inside = torch.zeros(96, 96, 96, dtype=torch.bool)
    inside[cells[:, 0], cells[:, 1], cells[:, 2]] = True
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    distance = demo_distance(grid)[0].cpu().reshape(96, 96, 96)
    assert (distance < 0).sum() > 2000
    assert inside[distance < 0].all()  # a point of the solid is foreground in every view
    far = (distance > 0.35) & inside
    assert far.sum() < 0.02 * inside.sum()  # concave parts stay filled, empty space does not


def test_a_trained_cloud_has_the_scenes_depth(demo_scene, demo_folder, tmp_path):
    scene = demo_scene
    options = PointOptions(basedir=str(tmp_path), epochs=20)
    recipe, options = choose_recipe(options, scene)
    cloud = fit_cloud(scene, scene.val, options, recipe, tmp_path).cloud
    cloud.use_sh = True
    errors = []
    for view in range(len(scene.test)):
        truth = torch.from_numpy(np.load(demo_folder / "test" / f"r_{view}_depth.npy"))
        with torch.no_grad():
            seen = cloud.render(scene.test.cameras, view)
        solid = (truth > 0) & (seen.alpha.cpu() > 0.95)
        assert solid.sum() > 0.8 * (truth > 0).sum()
        errors.append((seen.depth.cpu() - truth)[solid].abs())
    error = torch.cat(errors)
    assert error.median() < 0.05, error.median()  # the scene is about 2.5 wide, 4 away
