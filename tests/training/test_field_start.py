"""Before training a field: where it lies, how fine it is, and the rays it is to learn from."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from methods.fields.grid_start import field_box, initial_field
from methods.fields.ray_batches import RayBatches
from models.grid_field import GridShape
from settings.errors import InputError
from tests.scenes import sphere_scene, with_sizes


@pytest.fixture(autouse=True)
def few_cells(monkeypatch):
    monkeypatch.setattr("methods.fields.grid_start.CELLS", 32)
    monkeypatch.setattr("methods.fields.grid_start._SHAPES", {"grid": lambda finest: GridShape(5, 4, 8, 128, 13)})


def test_the_field_covers_the_object_and_little_more():
    scene = sphere_scene()
    box = field_box(scene)  # of a ball of radius 0.8 in a cube of half edge 2, by cells of 1/16
    assert (box[0] < -0.8).all() and (box[1] > 0.8).all() and box.abs().max() < 1.6
    grid = initial_field(scene, "grid", torch.Generator().manual_seed(0)).occupancy
    unit = (torch.arange(32) + 0.5) / 32
    axes = [box[0, a] + unit * (box[1, a] - box[0, a]) for a in (2, 1, 0)]
    distance = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).norm(dim=-1)
    assert grid.occupied[0].cpu()[distance < 0.8].all() and grid.occupied.float().mean() < 0.8
    blank = replace(scene, train=replace(scene.train, alpha=np.zeros_like(scene.train.alpha)))
    assert torch.equal(field_box(blank), scene.bounds)
    with pytest.raises(InputError, match="show no object that 50% of the training views see"):
        initial_field(blank, "grid", torch.Generator())


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
    grid = initial_field(replace(scene, train=train), "grid", torch.Generator()).occupancy
    assert chosen == [200 * times] and grid.step == pytest.approx(1.5 * 0.01 / times, rel=1e-3)


@pytest.mark.parametrize("sizes", ["one size", "three sizes"])
@pytest.mark.parametrize("background", ["black", "white", "random"])
def test_rays_have_the_colours_of_their_pixels(background, sizes):
    split = sphere_scene().train if sizes == "one size" else with_sizes(sphere_scene().train)
    batch = RayBatches(split, background, "cpu").draw(500, torch.Generator().manual_seed(0))
    views = (split.cameras.centers - batch.rays.origins[:, None]).norm(dim=2).argmin(1)
    for ray, view in enumerate(views.tolist()):
        pixel, _ = split.cameras.project((batch.rays.origins + 3 * batch.rays.directions)[ray : ray + 1], view)
        column, row = pixel[0] - 0.5
        assert max(abs(column - column.round()), abs(row - row.round())) < 1e-3  # each passes through a pixel's centre
        place = int(row.round()), int(column.round())
        alpha = float(split.alpha[view][place]) / 255
        straight = torch.from_numpy(split.images[view][place]).float() / 255
        torch.testing.assert_close(batch.colours[ray], straight * alpha + batch.background[ray] * (1 - alpha))
    assert batch.background.std(0).min() > 0.2 if background == "random" else batch.background.unique().numel() == 1


def test_every_pixel_of_every_size_has_the_same_chance():
    split = with_sizes(sphere_scene(views=6).train)
    batch = RayBatches(split, "white", "cpu").draw(60_000, torch.Generator().manual_seed(0))
    views = (split.cameras.centers - batch.rays.origins[:, None]).norm(dim=2).argmin(1)
    pixels = (split.cameras.widths * split.cameras.heights).double()
    torch.testing.assert_close(views.bincount().double() / len(views), pixels / pixels.sum(), atol=0.006, rtol=0)


def test_one_view_and_the_middle():
    split = sphere_scene().train
    batch = RayBatches(split, "white", "cpu").draw(300, torch.Generator().manual_seed(0), one_view=True, middle=0.25)
    assert batch.rays.origins.unique(dim=0).shape[0] == 1
    view = int((split.cameras.centers - batch.rays.origins[0]).norm(dim=1).argmin())
    places, _ = split.cameras.project(batch.rays.origins + batch.rays.directions, view)
    middle = torch.tensor([split.cameras.width / 2, split.cameras.height / 2])
    assert ((places - middle).abs() <= middle * 0.25 + 0.5).all()
