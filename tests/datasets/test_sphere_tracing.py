"""The tracer against the signed distance that it traces: hits, misses, normals, coverage and colours."""

import math

import pytest
import torch

from datasets.demo import poses_around, shapes
from datasets.demo.sphere_tracing import SUN_DIRECTION, demo_distance, trace_demo

SIZE = 48
DIRECTIONS = torch.tensor([[0.40, -0.80, 0.45], [-0.60, 0.70, 0.38], [0.80, 0.50, -0.33]], dtype=torch.float64)


def views():
    """Three cameras (intrinsics, camera_to_world) around the scene, one of them from below."""
    poses = poses_around(torch.nn.functional.normalize(DIRECTIONS, dim=1).numpy())
    focal = SIZE / 2 / math.tan(0.35)
    intrinsics = torch.tensor([[focal, 0, SIZE / 2], [0, focal, SIZE / 2], [0, 0, 1]])
    return intrinsics.expand(3, 3, 3).clone(), torch.from_numpy(poses[:, :3]).float()


def centre_rays(intrinsics, camera_to_world):
    """Origins (V, 1, 1, 3) and directions (V, H, W, 3) with depth component 1 through the pixels' centres."""
    at = torch.arange(SIZE) + 0.5
    row, col = torch.meshgrid(at, at, indexing="ij")
    k = intrinsics[0]
    local = torch.stack([(col - k[0, 2]) / k[0, 0], -(row - k[1, 2]) / k[1, 1], -torch.ones_like(row)], -1)
    rays = torch.einsum("vij,hwj->vhwi", camera_to_world[:, :, :3], local)
    return camera_to_world[:, None, None, :, 3], rays


@pytest.fixture(scope="module")
def traced():
    """The three views, on the CPU."""
    return type(result := trace_demo(*views(), SIZE, SIZE))(*(value.cpu() for value in result))


def distance(points):
    """Signed distances of points of any leading shape, on the CPU."""
    return demo_distance(points.reshape(-1, 3))[0].cpu().reshape(points.shape[:-1])


def test_depth_ends_on_the_surface(traced):
    origin, rays = centre_rays(*views())
    hit = traced.depth > 0
    assert hit.float().mean() > 0.2
    points = (origin + traced.depth[..., None] * rays)[hit]
    residual = distance(points).abs()
    assert residual.max() < 1e-3
    assert residual.mean() < 3e-5


def test_rays_pass_through_empty_space_only(traced):
    """No ray passed through a solid before its hit, and no ray without a hit passed through one at all."""
    origin, rays = centre_rays(*views())
    end = torch.where(traced.depth > 0, traced.depth, torch.tensor(6.5))
    steps = torch.linspace(0, 1, 300)[:-1]
    points = origin[..., None, :] + (end[..., None] * steps)[..., None] * rays[..., None, :]
    assert (distance(points) > 0).float().mean() > 0.9999
    assert distance(points).min() > -2e-3  # grazing a corner by less than the tracer may leap over


def test_normals_are_the_gradient_of_the_distance(traced):
    origin, rays = centre_rays(*views())
    hit = traced.depth > 0
    points, normals = (origin + traced.depth[..., None] * rays)[hit], traced.normal[hit]
    torch.testing.assert_close(normals.norm(dim=1), torch.ones(len(normals)), atol=1e-5, rtol=0)
    step = 1e-3 * torch.eye(3)
    gradient = (distance(points[:, None] + step) - distance(points[:, None] - step)) / 2e-3
    agreement = (torch.nn.functional.normalize(gradient, dim=1) * normals).sum(1)
    assert agreement.median() > 0.9999
    assert (agreement > 0.99).float().mean() > 0.97  # the rest lies on creases, where there is no one normal
    assert ((normals * rays.expand(*hit.shape, 3)[hit]).sum(1) < 0.05).all()
    assert (traced.normal[~hit] == 0).all()


def test_alpha_and_colour_are_the_samples_mean(traced):
    """One sample a pixel at three times the size sees the same rays, each traced alone."""
    intrinsics, poses = views()
    fine = trace_demo(intrinsics * torch.tensor([3.0, 3.0, 1.0])[:, None], poses, 3 * SIZE, 3 * SIZE, 1)
    alpha = fine.alpha.cpu()
    coverage = torch.nn.functional.avg_pool2d(alpha[:, None], 3)[:, 0]
    assert (traced.alpha - coverage).abs().max() < 0.12  # one sample of nine, where a ray grazes
    assert ((traced.alpha - coverage).abs() > 1e-4).float().mean() < 2e-3
    premultiplied = (fine.image.cpu() * alpha[..., None]).permute(0, 3, 1, 2)
    colour = torch.nn.functional.avg_pool2d(premultiplied, 3).permute(0, 2, 3, 1)
    difference = (traced.image * traced.alpha[..., None] - colour).abs()
    assert difference.mean() < 3e-3
    assert (difference > 0.1).float().mean() < 5e-3  # light is shared in a pixel: shadows' edges may differ


def test_colours_are_finite_with_red_where_seen_and_zero_elsewhere(traced):
    seen = traced.alpha > 0
    assert torch.isfinite(traced.image).all()
    assert traced.image.max() <= 1
    assert traced.image[seen][:, 0].min() * 255 > 1
    assert (traced.image[~seen] == 0).all()
    assert traced.image[seen].std(0).min() > 0.1  # texture in every channel


def test_every_part_is_seen():
    """From some side, each of the parts shows (a part inside another would be a mistake in the scene)."""
    intrinsics, poses = views()
    origin, rays = centre_rays(intrinsics, poses)
    found = set()
    for shift in (-0.8, -0.4, 0.0, 0.4, 0.8):
        turn = torch.tensor([[math.cos(shift), -math.sin(shift), 0], [math.sin(shift), math.cos(shift), 0], [0, 0, 1]])
        depth = trace_demo(intrinsics, turn @ poses, SIZE, SIZE, 1).depth.cpu()
        points = ((origin + depth[..., None] * rays) @ turn.T)[depth > 0]
        found |= set(demo_distance(points)[1].tolist())
    assert found == set(range(shapes.PART_COUNT))


def brightness(target, direction):
    """Mean stored colour of the surface at `target`, seen from one unit away in `direction`."""
    pose = torch.from_numpy(poses_around(torch.nn.functional.normalize(direction[None].double(), dim=1).numpy())[:, :3])
    pose[0, :, 3] = target + pose[0, :, 2]
    intrinsics = torch.tensor([[[500.0, 0, 0.5], [0, 500, 0.5], [0, 0, 1]]])
    seen = trace_demo(intrinsics, pose.float(), 1, 1)
    assert seen.depth.item() == pytest.approx(1.0, abs=5e-3)  # nothing is in between
    return seen.image.mean().item()


def test_a_glossy_part_has_a_highlight_where_it_mirrors_the_sun_and_a_matte_one_has_not():
    mirrored, aside = torch.tensor([0.0, -0.6, 0.8]), torch.tensor([0.8, -0.3, 0.5])
    normal = torch.nn.functional.normalize(mirrored + torch.tensor([*SUN_DIRECTION]), dim=0)
    ball = torch.tensor([*shapes.BALL_CENTER]) + 0.085 * normal
    sand = torch.tensor([0.35, -0.30, -0.5317])
    assert brightness(ball, mirrored) > brightness(ball, aside) + 0.08
    assert brightness(sand, mirrored) == pytest.approx(brightness(sand, aside), abs=0.05)


def test_the_tower_casts_its_shadow_on_the_sea():
    top = torch.tensor([shapes.TOWER_FOOT.x, shapes.TOWER_FOOT.y, 0.4])
    down = (0.4 - shapes.SEA_LEVEL) / SUN_DIRECTION.z
    shadow, open_sea = top - down * torch.tensor([*SUN_DIRECTION]), torch.tensor([0.1, -0.92, -0.6])
    above = torch.tensor([0.05, -0.1, 1.0])
    assert demo_distance(torch.stack([shadow, open_sea]))[1].tolist() == [shapes.SEA] * 2
    assert brightness(shadow, above) < 0.8 * brightness(open_sea, above)


def test_signed_distance_never_exceeds_the_way_between_points():
    torch.manual_seed(0)
    a = torch.rand(40000, 3) * 2.6 - 1.3
    b = a + torch.randn(40000, 3) * 0.05
    outside = (distance(a) > 0) & (distance(b) > 0)
    excess = (distance(a) - distance(b)).abs() - (a - b).norm(dim=1)
    assert outside.sum() > 10000
    assert excess[outside].max() < 1e-5


def test_signed_distance_of_known_points():
    foot = torch.tensor([[*shapes.TOWER_FOOT]])
    deep, part = demo_distance(foot + torch.tensor([[0.0, 0.0, 0.4]]))
    assert deep.item() == pytest.approx(-0.147, abs=0.005)  # the tower's radius there
    assert part.item() == shapes.TOWER
    assert distance(torch.tensor([[0.0, 0.0, -0.86 - 0.5]])).item() == pytest.approx(0.5, abs=1e-5)
    below, part = demo_distance(torch.tensor([[0.9, 0.2, shapes.SEA_LEVEL + 0.01]]))
    assert (below.item(), part.item()) == (pytest.approx(0.01, abs=1e-5), shapes.SEA)
    assert demo_distance(torch.zeros(0, 3))[0].shape == (0,)


def test_views_do_not_depend_on_their_company_and_none_is_fine(traced):
    intrinsics, poses = views()
    alone = trace_demo(intrinsics[1:2], poses[1:2], SIZE, SIZE)
    assert torch.equal(alone.image[0].cpu(), traced.image[1])
    assert torch.equal(alone.depth[0].cpu(), traced.depth[1])
    assert trace_demo(intrinsics[:0], poses[:0], 5, 4).normal.shape == (0, 4, 5, 3)


def test_a_camera_that_looks_away_sees_nothing_and_one_inside_is_covered():
    intrinsics, poses = views()
    away = poses[:1].clone()
    away[..., [0, 2]] *= -1  # turned about its upright axis
    inside = poses[:1].clone()
    inside[..., 3] = torch.tensor([-0.27, 0.16, 0.0])  # in the tower
    alpha = trace_demo(intrinsics[:2], torch.cat([away, inside]), SIZE, SIZE).alpha.cpu()
    assert (alpha[0] == 0).all()
    assert (alpha[1] == 1).all()


def test_wrong_shapes_and_sizes_are_refused():
    intrinsics, poses = views()
    with pytest.raises(ValueError, match="must be"):
        trace_demo(intrinsics[:2], poses, SIZE, SIZE)
    with pytest.raises(ValueError, match="at least 1"):
        trace_demo(intrinsics, poses, SIZE, 0)
    with pytest.raises(ValueError, match=r"\(N, 3\)"):
        demo_distance(torch.zeros(3))
