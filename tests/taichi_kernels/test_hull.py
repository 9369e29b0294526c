"""Hull carving against the plain-torch twin and against a sphere."""

import pytest
import torch

from taichi_kernels.hull import carve_hull
from taichi_kernels.projection import pack_camera
from tests.reference import hull as twin


def look_at_origin(position):
    z = torch.nn.functional.normalize(position, dim=0)
    x = torch.nn.functional.normalize(torch.linalg.cross(torch.tensor([0.1, 0.2, 1.0]), z), dim=0)
    return torch.cat([torch.stack([x, torch.linalg.cross(z, x), z], 1), position[:, None]], 1)


def sphere_views(count, width=60, height=44, focal=70.0, radius=0.7):
    """Cameras at distance 4 and the exact silhouettes of a sphere at the origin."""
    g = torch.Generator().manual_seed(2)
    k = torch.tensor([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    cameras, masks = [], []
    x = (torch.arange(width) + 0.5 - width / 2) / focal
    y = (torch.arange(height) + 0.5 - height / 2) / focal
    sin2 = (x**2 + y[:, None] ** 2) / (1 + x**2 + y[:, None] ** 2)
    for _ in range(count):
        position = 4 * torch.nn.functional.normalize(torch.randn(3, generator=g), dim=0)
        cameras.append(pack_camera(k, look_at_origin(position)))
        masks.append((sin2 < (radius / 4) ** 2).to(torch.uint8) * 255)
    return torch.stack(cameras), torch.stack(masks)


@pytest.mark.parametrize("margin", [0.0, 0.05])
@pytest.mark.parametrize("allowed", [0, 3])
@pytest.mark.parametrize("several_sizes", [False, True])
def test_agrees_with_twin(device, margin, allowed, several_sizes):
    cameras, masks = sphere_views(20)
    g = torch.Generator().manual_seed(0)
    masks = masks * (torch.rand(masks.shape, generator=g) > 0.02)  # ragged, so that single pixels matter
    if several_sizes:  # cut at the right and at the bottom, through the sphere in some
        masks = [mask[: 44 - 5 * (view % 2), : 60 - 12 * (view % 3)].contiguous() for view, mask in enumerate(masks)]
    axes = [torch.linspace(-2, 2, 45), torch.linspace(-2, 1.8, 40), torch.linspace(-1.9, 2, 43)]
    got = carve_hull(*axes, cameras, masks, margin=margin, allowed_misses=allowed).cpu()
    want = twin.carve_hull(*axes, cameras, masks, margin=margin, allowed_misses=allowed)
    got_set, want_set = ({tuple(row) for row in rows.tolist()} for rows in (got, want))
    assert len(want) > 100
    # a projection on a pixel's border may fall on either side in float32
    assert len(got_set ^ want_set) <= 0.002 * len(want_set)


def test_sphere(device):
    """The hull holds the sphere and, with many views, not much more."""
    cameras, masks = sphere_views(60, 120, 120, 150.0)
    axis = torch.linspace(-1, 1, 81)
    cells = axis[carve_hull(axis, axis, axis, cameras, masks).cpu()]
    distance = cells.norm(dim=1)
    inside = (torch.cartesian_prod(axis, axis, axis).norm(dim=1) < 0.68).sum()
    assert (distance < 0.68).sum() == inside
    assert distance.max() < 0.85


def test_off_image_rule(device):
    """One camera, an empty mask: only the band around the image survives a margin."""
    camera = pack_camera(torch.tensor([[50.0, 0, 25], [0, 50.0, 25], [0, 0, 1]]), torch.eye(3, 4))[None]
    mask = torch.zeros(1, 50, 50, dtype=torch.uint8)
    xs, one = torch.tensor([-0.6, -0.51, 0.0, 0.51, 0.6]), torch.tensor([0.0])
    cells = carve_hull(xs, one, torch.tensor([-1.0]), camera, mask, margin=0.05).cpu()
    assert cells[:, 0].tolist() == [1, 3]
    assert len(carve_hull(xs, one, torch.tensor([1.0]), camera, mask, margin=0.05)) == 0


def test_monotone_in_allowed_misses(device):
    cameras, masks = sphere_views(12)
    masks[3] = 0
    axis = torch.linspace(-1, 1, 30)
    sizes = [len(carve_hull(axis, axis, axis, cameras, masks, allowed_misses=n)) for n in range(4)]
    assert sizes[0] == 0 < sizes[1] < sizes[2] < sizes[3]


def test_two_views_by_hand(device):
    """Cameras on the z and the x axis, 4 away, focal length 40 px, 40 px wide: a cell at (x, y, z) projects to columns
    20 + 40 x / (4 - z) and 20 - 40 z / (4 - x). The first mask holds columns 20 to 29, the second columns 10 to 19."""
    k = torch.tensor([[40.0, 0, 20], [0, 40.0, 20], [0, 0, 1]])
    front = torch.tensor([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 4]])
    side = torch.tensor([[0.0, 0, 1, 4], [0, 1, 0, 0], [-1, 0, 0, 0]])
    cameras = torch.stack([pack_camera(k, front), pack_camera(k, side)])
    masks = torch.zeros(2, 40, 40, dtype=torch.uint8)
    masks[0, :, 20:30], masks[1, :, 10:20] = 255, 255
    axis, zero = torch.tensor([-0.5, 0.5]), torch.tensor([0.0])
    # x = 0.5 is right of the first picture's middle, z = 0.5 left of the second's
    both = carve_hull(axis, zero, axis, cameras, masks).cpu().tolist()
    assert both == [[1, 0, 1]]
    one = carve_hull(axis, zero, axis, cameras, masks, allowed_misses=1).cpu().tolist()
    assert one == [[0, 0, 1], [1, 0, 0], [1, 0, 1]]
