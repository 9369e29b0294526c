"""The rays that a field learns from."""

import pytest
import torch

from methods.fields.ray_batches import RayBatches
from tests.scenes import sphere_scene, with_sizes


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
        index = int(row.round()), int(column.round())
        alpha = float(split.alpha[view][index]) / 255
        straight = torch.from_numpy(split.images[view][index]).float() / 255
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
    pixels, _ = split.cameras.project(batch.rays.origins + batch.rays.directions, view)
    middle = torch.tensor([split.cameras.width / 2, split.cameras.height / 2])
    assert ((pixels - middle).abs() <= middle * 0.25 + 0.5).all()
