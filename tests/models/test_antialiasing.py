"""Pixels larger than those that a model learned from are means of several rays."""

from dataclasses import replace

import pytest
import torch

from datasets.cameras import Cameras
from models.antialiasing import AntialiasedModel, PixelSize, averaged, pixel_size_from
from models.fields import field_from_state
from models.points import PointCloud
from models.rendering import Rendering
from tests.models.test_golden_pictures import cameras, cloud, grid, networks


def pose_at(distance: float) -> torch.Tensor:
    pose = torch.eye(4)[:3].clone()
    pose[2, 3] = distance
    return pose


def views(width=24, height=20, *, focal=30.0, distance=4.0) -> Cameras:
    k = torch.tensor([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    return Cameras(k[None], pose_at(distance)[None], width, height)


class Stripes(AntialiasedModel):
    """A world of stripes, as a pixel's central ray shows them; it lies at a distance of 4."""

    frequency = 40.0

    def render_at(self, cameras, view, background, *, with_depth, with_normal=False):
        width, height = cameras.size(view)
        k = cameras.intrinsics[view]
        x = (torch.arange(width) + 0.5 - k[0, 2]) / k[0, 0] * 4
        image = (0.5 + 0.5 * torch.sign(torch.sin(self.frequency * x)))[None, :, None].expand(height, width, 3)
        alpha = torch.ones(height, width)
        return Rendering(image, alpha, 4 * alpha)


def test_a_picture_at_half_the_size_is_the_mean_of_the_large_one():
    model = Stripes()
    model.pixel = PixelSize.of(views())
    large, small = model.render(views(), 0), model.render(views(12, 10, focal=15.0), 0)
    torch.testing.assert_close(small.image, large.image.view(10, 2, 12, 2, 3).mean((1, 3)))
    aliased = model.render(views(12, 10, focal=15.0), 0, antialias=False)
    assert (aliased.image - small.image).abs().mean() > 0.1


@pytest.mark.parametrize(
    ("focal", "distance", "across"), [(30, 4, 1), (30, 5.5, 1), (30, 8, 2), (10, 4, 3), (90, 1, 1), (1, 40, 16)]
)
def test_rays_across_a_pixel_follow_the_focal_length_and_the_distance(focal, distance, across):
    size = PixelSize.of(views(), torch.zeros(3))
    assert size.rays_across(views(focal=float(focal), distance=float(distance)), 0) == across


def test_inside_a_scene_the_distance_does_not_count():
    size = PixelSize.of(views())
    assert size.rays_across(views(distance=400.0), 0) == 1
    assert size.rays_across(views(focal=15.0), 0) == 2


def test_a_large_picture_stays_within_the_bound_of_memory():
    huge = views(4000, 3000, focal=1.0)
    assert PixelSize.of(views()).rays_across(huge, 0) == 1


def test_alpha_weighs_depths_and_normals():
    alpha = torch.tensor([[1.0, 0.5], [0.0, 0.5]])
    depth = torch.tensor([[2.0, 4.0], [0.0, 6.0]])
    up, right = torch.tensor([0.0, 0, 1]), torch.tensor([1.0, 0, 0])
    normal = torch.stack([torch.stack([up, right]), torch.stack([0 * up, right])])
    found = averaged(Rendering(torch.rand(2, 2, 3), alpha, depth, normal), 2)
    assert found.alpha.item() == 0.5 and found.depth.item() == pytest.approx((2 + 2 + 3) / 2)
    torch.testing.assert_close(found.normal[0, 0], (up + right) / 2**0.5)
    empty = averaged(Rendering(torch.zeros(2, 2, 3), torch.zeros(2, 2), torch.zeros(2, 2)), 2)
    assert empty.depth.item() == 0


@pytest.mark.parametrize("make", [cloud, grid, networks])
def test_models_of_every_type_average_and_keep_their_pixel_in_their_state(device, make):
    model, one = make().to(device), cameras()
    with torch.no_grad():
        large = model.render(one, 0)
        model.pixel = PixelSize.of(one, torch.zeros(3))
        assert torch.equal(model.render(one, 0).image, large.image)
        width, height = (side // 2 for side in one.size(0))
        half = one.scaled(width, height)
        small, expected = model.render(half, 0), averaged(large, 2)
        torch.testing.assert_close(small.image, expected.image, atol=1e-5, rtol=0)
        torch.testing.assert_close(small.depth, expected.depth, atol=1e-4, rtol=0)
        assert not torch.allclose(model.render(half, 0, antialias=False).image, small.image, atol=1e-3)
        if isinstance(model, PointCloud):
            again = PointCloud.checked(model.tensors(), model.settings())
        else:
            again = field_from_state(model.state()).to(device)
        assert again.pixel == model.pixel and torch.equal(again.render(half, 0).image, small.image)


def test_models_of_earlier_versions_have_one_ray_a_pixel():
    state = grid().state()
    del state["settings"]["pixel"]
    assert field_from_state(state).pixel is None
    old = {name: value for name, value in cloud().settings().items() if name != "pixel"}
    assert PointCloud.checked(cloud().tensors(), old).pixel is None


@pytest.mark.parametrize("saved", [3.0, (1.0,), ("a", None), (-1.0, None), (1.0, (0.0, 0.0)), (1.0, (0.0, 0.0, float("nan")))])
def test_damaged_sizes_are_refused(saved):
    with pytest.raises(ValueError, match="pixel's size"):
        pixel_size_from(saved)


def test_views_of_several_sizes_learn_the_median():
    several = replace(
        views(),
        intrinsics=torch.cat([views(focal=f).intrinsics for f in (10.0, 30.0, 30.0)]),
        camera_to_world=views().camera_to_world.expand(3, -1, -1),
        widths=24,
        heights=20,
    )
    assert PixelSize.of(several).size == pytest.approx(1 / 30)
