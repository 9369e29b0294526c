"""The renderer with PyTorch3D's call signature: its conventions with stand-ins, and parity where PyTorch3D is installed."""

import importlib.util
from types import SimpleNamespace

import pytest
import torch

from taichi_kernels.pytorch3d_renderer import SplatRenderer

needs_pytorch3d = pytest.mark.skipif(
    importlib.util.find_spec("pytorch3d") is None, reason="pytorch3d is not installed (it has no CPU wheel; build it from source)"
)


class OneMetreAway:
    """A camera without perspective: NDC x and y are the world's, the depth is z."""

    def get_world_to_view_transform(self):
        return SimpleNamespace(transform_points=lambda points: points)

    def transform_points_ndc(self, points):
        return points


class Clouds:
    """Clouds of different lengths, padded."""

    def __init__(self, points, features):
        pad = lambda rows: torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)  # noqa: E731
        self.points_padded, self.features_padded = lambda: pad(points), lambda: pad(features)
        self.num_points_per_cloud = lambda: torch.tensor([len(p) for p in points])


def settings(**changes):
    return SimpleNamespace(**{"image_size": 8, "radius": 0.3, "points_per_pixel": 8} | changes)


def test_ndc_runs_to_the_left_and_up(device):
    clouds = Clouds([torch.tensor([[0.625, 0.125, 1.0]], device=device)], [torch.tensor([[1.0, 2.0]], device=device)])
    image = SplatRenderer(OneMetreAway(), settings())(clouds)
    assert image.shape == (1, 8, 8, 2)
    assert image[0, 3, 1].tolist() == [1.0, 2.0]  # column (1 - 0.625) * 4, row (1 - 0.125) * 4: a pixel's centre
    assert image[0, :, 4:].abs().max() == 0


def test_the_shorter_side_spans_two(device):
    point = torch.tensor([[-1.75, 0.75, 1.0]], device=device)  # a corner of an 8 x 4 picture, which spans 4 x 2
    image = SplatRenderer(OneMetreAway(), settings(image_size=(4, 8)))(Clouds([point], [torch.ones(1, 1, device=device)]))
    assert image.shape == (1, 4, 8, 1)
    assert image[0, 0, 7, 0] == 1


def test_clouds_of_different_lengths_and_radii(device):
    both = torch.tensor([[0.125, 0.125, 2.0], [0.125, 0.125, 1.0]], device=device)
    points = [both[1:], both]
    features = [torch.tensor([[1.0]], device=device), torch.tensor([[5.0], [3.0]], device=device)]
    radii = torch.tensor([[0.1, 0.1], [0.1, 0.6]], device=device)
    image = SplatRenderer(OneMetreAway(), settings(radius=radii))(Clouds(points, features))
    assert image[:, 3, 3, 0].tolist() == [1.0, 3.0]  # the nearest one, whole
    assert (image[0] > 0).sum() == 1 and (image[1] > 0).sum() > 9  # the near point's radius is six times as long


def test_points_per_pixel_and_background(device):
    points = torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, 2.0]], device=device)
    clouds = Clouds([points], [torch.tensor([[1.0], [7.0]], device=device)])
    one = SplatRenderer(OneMetreAway(), settings(points_per_pixel=1))(clouds)
    two = SplatRenderer(OneMetreAway(), settings())(clouds)
    over = SplatRenderer(OneMetreAway(), settings(points_per_pixel=1), background_color=(7.0,))(clouds)
    alpha = 1 - 2 * 0.125**2 / 0.3**2
    assert one[0, 3, 3, 0].item() == pytest.approx(alpha, rel=1e-5)
    assert two[0, 3, 3, 0].item() == pytest.approx(alpha + (1 - alpha) * alpha * 7, rel=1e-5)
    assert over[0, 3, 3, 0].item() == pytest.approx(alpha + (1 - alpha) * 7, rel=1e-5)
    assert over[0, 0, 0, 0].item() == 7


def test_what_is_missing_is_named():
    with pytest.raises(ValueError, match="cameras, raster_settings"):
        SplatRenderer()(Clouds([torch.rand(1, 3)], [torch.rand(1, 1)]))


@needs_pytorch3d
@pytest.mark.parametrize("size", [48, (40, 64)])
def test_parity_with_pytorch3d(device, size):
    from pytorch3d.renderer import (
        AlphaCompositor,
        PerspectiveCameras,
        PointsRasterizationSettings,
        PointsRasterizer,
        PointsRenderer,
    )
    from pytorch3d.renderer.cameras import look_at_view_transform
    from pytorch3d.structures import Pointclouds

    generator = torch.Generator().manual_seed(0)
    points = [torch.randn(count, 3, generator=generator).to(device) for count in (400, 150)]
    features = [torch.rand(len(p), 5, generator=generator).to(device) for p in points]
    rotation, translation = look_at_view_transform(4.0, 30.0, [20.0, 200.0])
    cameras = PerspectiveCameras(focal_length=2.0, R=rotation, T=translation, device=device)
    raster = PointsRasterizationSettings(image_size=size, radius=0.12, points_per_pixel=10, bin_size=0)
    weights = torch.rand(2, *((size, size) if isinstance(size, int) else size), 5, generator=generator).to(device)

    def picture_and_gradients(renderer):
        leaves = [[t.clone().requires_grad_() for t in group] for group in (points, features)]
        image = renderer(Pointclouds(leaves[0], features=leaves[1]))
        return image, torch.autograd.grad((image * weights).sum(), [*leaves[0], *leaves[1]])

    theirs, their_gradients = picture_and_gradients(PointsRenderer(PointsRasterizer(cameras, raster), AlphaCompositor()))
    ours, our_gradients = picture_and_gradients(SplatRenderer(cameras, raster))
    assert (theirs > 0).float().mean() > 0.3
    torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=1e-4)
    for mine, other in zip(our_gradients, their_gradients, strict=True):
        torch.testing.assert_close(mine, other, atol=2e-3 * other.abs().max().item(), rtol=1e-2)
