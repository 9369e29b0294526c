"""The point cloud as a model: changes that must not change a picture, and the meaning of its depth and radii."""

import math

import pytest
import torch

from datasets.cameras import Cameras
from models.points import PointCloud, morton_codes
from tests.scenes import look_at_origin

C1 = 0.4886025119029199


def cameras(pose=None, width=48, height=40):
    pose = look_at_origin(torch.tensor([2.0, 3.0, 1.5])) if pose is None else pose
    k = torch.tensor([[60.0, 0, width / 2], [0, 60.0, height / 2], [0, 0, 1]])
    return Cameras(k[None], pose[None], width, height)


def cloud(device, count=400, **settings):
    """Random points with base colours and harmonics of degree 0 and 1."""
    g = torch.Generator().manual_seed(4)
    sh = torch.zeros(count, 9, 3)
    sh[:, :4] = 0.3 * torch.randn(count, 4, 3, generator=g)
    values = [torch.randn(count, 3, generator=g) * 0.5, torch.rand(count, 3, generator=g), sh]
    return PointCloud(*(v.to(device) for v in values), **({"radius": 0.1} | settings))


def rotated_harmonics(sh, rotation):
    """Harmonics of degree 1 are a vector's dot product with the direction: C1 (-c3, -c1, c2)."""
    vector = C1 * torch.stack([-sh[:, 3], -sh[:, 1], sh[:, 2]], 1)  # (N, xyz, rgb)
    turned = torch.einsum("ab,nbc->nac", rotation, vector) / C1
    sh = sh.clone()
    sh[:, 3], sh[:, 1], sh[:, 2] = -turned[:, 0], -turned[:, 1], turned[:, 2]
    return sh


def test_rotating_world_and_cameras_together_changes_nothing(device):
    rotation = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(1)))[0]
    rotation *= torch.linalg.det(rotation)
    shift = torch.tensor([0.3, -2.0, 5.0])
    pose = cameras().camera_to_world[0]
    moved_pose = torch.cat([rotation @ pose[:, :3], (rotation @ pose[:, 3] + shift)[:, None]], 1)
    one, other = cloud(device), cloud(device)
    on_device = rotation.to(device)
    with torch.no_grad():
        other.positions.copy_(one.positions @ on_device.T + shift.to(device))
        other.sh.copy_(rotated_harmonics(one.sh, on_device))
    pictures, gradients = [], []
    for model, view in ((one, cameras()), (other, cameras(moved_pose))):
        image, alpha = model.composite(view, 0)
        weights = torch.rand(image.shape, generator=torch.Generator().manual_seed(2)).to(device)
        pictures.append(image)
        gradients.append(torch.autograd.grad((image * weights).sum() + alpha.sum(), model.positions)[0])
    torch.testing.assert_close(pictures[1], pictures[0], atol=2e-4, rtol=0)
    scale = gradients[0].abs().max().item()
    torch.testing.assert_close(gradients[1], gradients[0] @ on_device.T, atol=2e-3 * scale, rtol=0)


def test_harmonics_matter_and_can_be_left_out(device):
    model = cloud(device)
    with torch.no_grad():
        seen = model.render(cameras(), 0).image
        model.use_sh = False
        plain = model.render(cameras(), 0).image
        model.use_sh = True
        model.sh.zero_()
        assert torch.equal(model.render(cameras(), 0).image, plain)
    assert (seen - plain).abs().max() > 0.1


def test_depth_is_along_the_cameras_axis_and_zero_in_empty_pixels(device):
    pose = torch.tensor([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 4]])  # looks down -z from (0, 0, 4)
    one = torch.ones(1, 3, device=device)
    model = PointCloud(torch.tensor([[0.5, 0.2, 1.0]], device=device), one, torch.zeros(1, 9, 3, device=device), radius=0.2)
    with torch.no_grad():
        seen = model.render(cameras(pose), 0)
        assert model.render(cameras(pose), 0, with_depth=False).depth is None
    covered = seen.alpha > 0
    assert covered.sum() > 20
    torch.testing.assert_close(seen.depth[covered], torch.full_like(seen.depth[covered], 3.0))
    assert (seen.depth[~covered] == 0).all()


@pytest.mark.parametrize("width, height", [(48, 40), (30, 50)])
def test_radius_counts_in_halves_of_the_shorter_side(device, width, height):
    """A disc of NDC radius r is r * min(W, H) wide; at its edge alpha is 1 - d² / r²."""
    pose = torch.tensor([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 4]])
    r = 0.3 * min(width, height) / 2
    point, colour, sh = torch.zeros(1, 3), torch.ones(1, 3), torch.zeros(1, 9, 3)
    model = PointCloud(*(t.to(device) for t in (point, colour, sh)), radius=0.3)
    with torch.no_grad():
        alpha = model.render(cameras(pose, width, height), 0).alpha.cpu()
    x, y = torch.arange(width) + 0.5 - width / 2, torch.arange(height) + 0.5 - height / 2
    expected = (1 - (x**2 + y[:, None] ** 2) / r**2).clamp_min(0)
    torch.testing.assert_close(alpha, expected, atol=1e-5, rtol=0)


def test_background_shows_through(device):
    model = cloud(device, count=30)
    with torch.no_grad():
        black, white = (model.render(cameras(), 0, background) for background in ("black", "white"))
        model.base.zero_(), model.sh.zero_()
        silhouette = model.render(cameras(), 0, "white")
    assert (white.image[white.alpha == 0] == 1).all() and (black.image[black.alpha == 0] == 0).all()
    expected = (1 - silhouette.alpha)[..., None].expand(-1, -1, 3)
    torch.testing.assert_close(silhouette.image, expected)


def test_a_picture_to_look_at_leaves_out_hardly_visible_points(device):
    model = cloud(device, count=4000, opacity_logits=torch.full((4000,), -1.0, device=device), log_radii=None)
    with torch.no_grad():
        image, alpha = model.composite(cameras(), 0)
        seen = model.render(cameras(), 0)
    assert 0 < (seen.alpha - alpha).abs().max() < 1 / 512
    assert (seen.image - image.clamp(0, 1)).abs().max() < 2 / 512  # colours reach 2


def test_ordering_and_selection_keep_every_point_whole(device):
    learned = {"opacity_logits": torch.arange(400.0), "log_radii": torch.full((400,), math.log(0.1))}
    model = cloud(device, **{name: value.to(device) for name, value in learned.items()})
    chosen = torch.tensor([5, 17, 17, 300], device=device)
    part = model.selected(chosen)
    order = part.opacity_logits.detach().argsort()
    assert part.opacity_logits.detach()[order].tolist() == [5, 17, 17, 300]
    for name, values in part.tensors().items():
        assert torch.equal(values[order], model.tensors()[name][chosen]), name
    codes = morton_codes(part.positions.detach())
    assert (codes[1:] >= codes[:-1]).all()
