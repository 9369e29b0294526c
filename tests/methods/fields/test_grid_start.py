"""Before training a grid: where it lies, and how fine it is."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from methods.fields.grid_start import field_box, initial_field
from methods.fields.options import FieldOptions
from models.grid_field import GridShape
from settings.errors import InputError
from tests.scenes import sphere_scene


@pytest.fixture(autouse=True)
def few_cells(monkeypatch):
    monkeypatch.setattr("methods.fields.grid_start.CELLS", 32)
    monkeypatch.setattr("methods.fields.grid_start._SHAPES", {"grid": lambda finest: GridShape(5, 4, 8, 128, 13)})


def test_the_field_covers_the_object_and_little_more():
    scene = sphere_scene()
    box = field_box(scene)  # of a ball of radius 0.8 in a cube of half edge 2, by cells of 1/16
    assert (box[0] < -0.8).all() and (box[1] > 0.8).all() and box.abs().max() < 1.6
    grid = initial_field(scene, FieldOptions(basedir="unused"), torch.Generator().manual_seed(0)).occupancy
    unit = (torch.arange(32) + 0.5) / 32
    axes = [box[0, a] + unit * (box[1, a] - box[0, a]) for a in (2, 1, 0)]
    distance = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).norm(dim=-1)
    assert grid.occupied[0].cpu()[distance < 0.8].all() and grid.occupied.float().mean() < 0.8
    blank = replace(scene, train=replace(scene.train, alpha=np.zeros_like(scene.train.alpha)))
    assert torch.equal(field_box(blank), scene.bounds)
    with pytest.raises(InputError, match="show no object that 50% of the training views see"):
        initial_field(blank, FieldOptions(basedir="unused"), torch.Generator())


@pytest.mark.parametrize("times", [1, 2])
def test_cells_and_steps_are_as_large_as_pixels(monkeypatch, times):
    """At the middle of a box of 2 x 4 x 1 units that cameras see from 3 away through pixels of 3 / focal."""
    chosen = []

    def shape(finest):
        chosen.append(finest)
        return GridShape(levels=2, coarsest=8, finest=16, log2_rows=10)

    monkeypatch.setattr("methods.fields.grid_start._SHAPES", {"grid": shape})
    box = torch.tensor([[-1.0, -2, -0.5], [1, 2, 0.5]])
    monkeypatch.setattr("methods.fields.grid_start.field_box", lambda scene: box)
    scene = sphere_scene()
    cameras = scene.train.cameras
    focal = times * 3.0 * 100
    k = cameras.intrinsics.clone()
    k[:, 0, 0] = focal
    poses = cameras.camera_to_world.clone()
    poses[:, :, 3] *= 3 / poses[:, :, 3].norm(dim=1, keepdim=True)
    train = replace(scene.train, cameras=replace(cameras, intrinsics=k, camera_to_world=poses), alpha=None)
    grid = initial_field(replace(scene, train=train), FieldOptions(basedir="unused"), torch.Generator()).occupancy
    assert chosen == [200 * times] and grid.step == pytest.approx(1.5 * 0.01 / times, rel=1e-3)
