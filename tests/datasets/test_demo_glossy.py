"""The glossy built-in scene: its folder, its light, its reflections, and maps that agree with its solids."""

import json
import math

import numpy as np
import pytest
import taichi as ti
import taichi.math as tm
import torch
from PIL import Image

from datasets.demo import DemoSettings, ensure_demo, is_complete, poses_around
from datasets.demo.glossy_light import WINDOW, WINDOW_LIGHT, environment, glow, window
from datasets.demo.glossy_shapes import BALL, BALLS, BOUND_RADIUS, SILVER, VASE, ball
from datasets.demo.glossy_tracing import glossy_distance, trace_glossy
from datasets.demo.sphere_tracing import DARKEST
from settings.errors import InputError
from tests.datasets.written_scene import load

SMALL = DemoSettings(width=48, height=32, train_views=3, val_views=1, test_views=2, samples=2, seed=5, scene="demo_glossy")
SIZE, FOCAL = 120, 170.0
MIRROR_ROUGHNESS = 0.0004


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return ensure_demo(tmp_path_factory.mktemp("demo"), SMALL, quiet=True)


@pytest.fixture(scope="module")
def cameras():
    """Intrinsics and poses of two views, from above and from near the horizon."""
    directions = np.array([[-0.35, -0.7, 0.65], [0.65, 0.6, 0.24]])
    poses = torch.from_numpy(poses_around(directions / np.linalg.norm(directions, axis=1, keepdims=True))[:, :3]).float()
    return torch.tensor([[FOCAL, 0, SIZE / 2], [0, FOCAL, SIZE / 2], [0, 0, 1]]).expand(2, 3, 3), poses


@pytest.fixture(scope="module")
def traced(cameras):
    """(pictures, roughness) of the two views, on the CPU."""
    seen, roughness = trace_glossy(*cameras, SIZE, SIZE, 2)
    return type(seen)(*(each.cpu() for each in seen)), roughness.cpu()


@ti.kernel
def _light(directions: ti.types.ndarray(dtype=tm.vec3, ndim=1), roughness: float, out: ti.types.ndarray(dtype=tm.vec3, ndim=2)):
    for i in directions:
        out[i, 0] = environment(directions[i], roughness)
        out[i, 1] = glow(directions[i], roughness)
        out[i, 2] = tm.vec3(window(directions[i], roughness))


@ti.kernel
def _balls(out: ti.types.ndarray(dtype=tm.vec4, ndim=1)):
    for i in out:
        out[i] = ball(i)


def light(directions, roughness, device):
    """(environment, its glow, its window), each (N, 3), from unit directions."""
    out = torch.zeros(len(directions), 3, 3, device=device)
    _light(directions.float().to(device).contiguous(), roughness, out)
    return out.cpu().unbind(1)


def metal_balls(device):
    """Centres and radii (6, 4) of the metal balls."""
    out = torch.zeros(BALLS, 4, device=device)
    _balls(out)
    return out.cpu()


def hits(cameras, traced, view):
    """Points (N, 3) that the centre rays hit, unit ray directions, normals, and their pixels."""
    pose, (seen, _) = cameras[1][view], traced
    row, col = torch.nonzero(seen.depth[view] > 0, as_tuple=True)
    local = torch.stack([(col + 0.5 - SIZE / 2) / FOCAL, -(row + 0.5 - SIZE / 2) / FOCAL, -torch.ones(len(row))], 1)
    rays = local @ pose[:, :3].T
    points = pose[:, 3] + seen.depth[view][row, col][:, None] * rays
    return points, torch.nn.functional.normalize(rays, dim=1), seen.normal[view][row, col], (row, col)


def test_the_folder_has_pictures_and_exact_maps(folder):
    assert is_complete(folder, SMALL) and folder.name.startswith("demo_glossy_48x32")
    manifest = json.loads((folder / "demo.json").read_text())
    assert manifest["scene"] == "demo_glossy" and len(list((folder / "train").iterdir())) == 3 * 4
    picture = np.asarray(Image.open(folder / "test" / "r_0.png"))
    depth, rough = (np.load(folder / "test" / f"r_0_{name}.npy") for name in ("depth", "roughness"))
    normal = np.asarray(Image.open(folder / "test" / "r_0_normal.png"))
    assert picture.shape == (32, 48, 4) and (picture[picture[..., 3] == 255][:, 0] > 0).all()
    assert (picture[picture[..., 3] == 0] == 0).all() and 0.1 < (picture[..., 3] == 255).mean() < 0.5
    assert ((rough > 0) == (depth > 0)).all() and ((normal > 0).any(-1) == (depth > 0)).all()
    assert (picture[[0, -1]][..., 3] == 0).all() and (picture[:, [0, -1]][..., 3] == 0).all()
    (folder / "test" / "r_0_roughness.npy").rename(folder / "gone.npy")
    assert not is_complete(folder, SMALL)
    (folder / "gone.npy").rename(folder / "test" / "r_0_roughness.npy")


def test_the_loader_reads_the_exact_normals(folder):
    scene = load(folder, method="nerf", protocol="standard")
    stored = np.asarray(Image.open(folder / "test" / "r_1_normal.png"))
    assert scene.train.normals is None and np.array_equal(scene.test.normals[1], stored)
    depth = np.load(folder / "test" / "r_1_depth.npy")
    assert ((scene.test.normal(1).norm(dim=-1) > 0.99).numpy() == (depth > 0)).all()


def test_the_same_settings_give_the_same_bytes(folder, tmp_path):
    again = ensure_demo(tmp_path, SMALL, quiet=True)
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    assert files and all((folder / name).read_bytes() == (again / name).read_bytes() for name in files)


def test_a_view_has_the_same_bits_in_any_division_of_the_work(cameras, traced):
    """Threads get other pixels if views are traced alone."""
    k, poses = cameras
    for view in range(2):
        alone, roughness = trace_glossy(k[view : view + 1], poses[view : view + 1], SIZE, SIZE, 2)
        assert all(torch.equal(one[0].cpu(), both[view]) for one, both in zip(alone, traced[0], strict=True))
        assert torch.equal(roughness[0].cpu(), traced[1][view])


def test_the_other_scene_is_as_before_there_was_a_second():
    settings = DemoSettings(width=48, height=32)
    assert "scene" not in settings.manifest() and settings.folder_name.startswith("demo_48x32")
    with pytest.raises(InputError, match="no built-in scene 'glossy'"):
        DemoSettings(scene="glossy")
    with pytest.raises(ValueError, match="must be"):
        trace_glossy(torch.eye(3)[None], torch.zeros(2, 3, 4), 8, 8)


@pytest.mark.parametrize("view", [0, 1])
def test_depth_and_normals_are_those_of_the_solids(cameras, traced, view):
    points, rays, normals, _ = hits(cameras, traced, view)
    assert len(points) > 2000 and points.norm(dim=1).max() < BOUND_RADIUS
    assert glossy_distance(points)[0].abs().max() < 1e-3
    slopes = []
    for axis in torch.eye(3):
        slopes.append((glossy_distance(points + 1e-3 * axis)[0] - glossy_distance(points - 1e-3 * axis)[0]).cpu())
    cosine = (torch.nn.functional.normalize(torch.stack(slopes, 1), dim=1) * normals).sum(1)
    assert (cosine > 0.99).float().mean() > 0.98  # the others lie on edges
    torch.testing.assert_close(normals.norm(dim=1), torch.ones(len(normals)), atol=1e-4, rtol=0)
    assert ((normals * rays).sum(1) < 0.1).all()  # turned to the camera


def test_distances_are_never_too_long():
    """From points outside, free balls of that radius hold no point of the surface: no ray can leap over it."""
    g = torch.Generator().manual_seed(3)
    starts, ways = 1.3 * (2 * torch.rand(4000, 3, generator=g) - 1), torch.randn(4000, 3, generator=g)
    distance = glossy_distance(starts)[0].cpu()
    reached = starts + 0.98 * distance[:, None] * torch.nn.functional.normalize(ways, dim=1)
    outside = distance > 0.01
    assert outside.sum() > 3000 and (glossy_distance(reached)[0].cpu()[outside] > 0).all()


def test_the_mirror_shows_the_environment_where_nothing_is_in_the_way(cameras, traced, device):
    """The reflected direction by the law of reflection, its radiance by the lamps, and the display curve by its formula."""
    image = trace_glossy(*cameras, SIZE, SIZE, 1)[0].image.cpu()  # one sample, through the pixel's centre
    points, rays, normals, (row, col) = hits(cameras, traced, 0)
    middle, radius = metal_balls(device)[0].split([3, 1])
    exact = torch.nn.functional.normalize(points - middle, dim=1)
    mirrored = rays - 2 * (rays * exact).sum(1, keepdim=True) * exact
    free = ((points - middle).norm(dim=1) < radius + 1e-3) & (mirrored[:, 2] > 0.35) & (mirrored[:, 0] < 0.3)
    assert free.sum() > 60 and (normals[free] * exact[free]).sum(1).min() > 0.9999
    radiance = light(mirrored[free], MIRROR_ROUGHNESS, device)[0]
    tint = torch.tensor([0.95, 0.93, 0.90])
    grazing = (1 + (rays[free] * exact[free]).sum(1, keepdim=True)).clamp(0, 1) ** 5
    linear = radiance * (tint + (1 - tint) * grazing * 0.8 / (1 + 20 * MIRROR_ROUGHNESS))
    high = (linear - 0.7).clamp(min=0)
    value = linear.clamp(max=0.7) + high / (1 + 3.4 * high)
    expected = torch.where(value <= 0.0031308, 12.92 * value, 1.055 * value ** (1 / 2.4) - 0.055).clamp(DARKEST, 1)
    found = image[0][row[free], col[free]]
    assert (found - expected).abs().median() < 1e-3
    assert ((found - expected).abs().amax(1) < 0.02).float().mean() > 0.9  # the others reflect the vase


def test_a_mirror_shows_the_other_solids(cameras, traced, device):
    """Rays that the mirror reflects to the red apple come back red, though the environment is not red there."""
    seen, _ = traced
    points, rays, normals, (row, col) = hits(cameras, traced, 0)
    mirrored = rays - 2 * (rays * normals).sum(1, keepdim=True) * normals
    apple = torch.tensor([0.0, -0.14, -0.343])
    toward = torch.nn.functional.normalize(apple - points, dim=1)
    part = glossy_distance(points)[1].cpu()
    on = ((part == BALL) | (part == SILVER)) & ((mirrored * toward).sum(1) > 0.985) & ((points - apple).norm(dim=1) > 0.25)
    colours = seen.image[0][row[on], col[on]]
    surrounding = light(mirrored[on], MIRROR_ROUGHNESS, device)[0]
    assert on.sum() >= 5 and (colours[:, 0] > 1.5 * colours[:, 1:].amax(1)).float().mean() > 0.5
    assert (surrounding[:, 0] < 1.5 * surrounding[:, 1:].amax(1)).float().mean() > 0.9


@pytest.mark.parametrize("roughness", [0.01, 0.05, 0.2])
def test_the_blurred_environment_is_the_integral_over_a_lobe(roughness, device):
    """Against sums over 300,000 directions, weighted by a von Mises-Fisher lobe of concentration 1 / roughness."""
    count = 300_000
    z = 1 - (2 * torch.arange(count, dtype=torch.float64) + 1) / count
    turn = torch.arange(count, dtype=torch.float64) * math.pi * (3 - math.sqrt(5))
    flat = (1 - z * z).sqrt()
    around = torch.stack([flat * turn.cos(), flat * turn.sin(), z], 1)
    g = torch.Generator().manual_seed(1)
    axes = torch.nn.functional.normalize(torch.randn(40, 3, generator=g, dtype=torch.float64), dim=1)
    axes = torch.cat([axes, torch.nn.functional.normalize(torch.tensor([[WINDOW[i] for i in range(3)]]).double(), dim=1)])
    weights = torch.exp((axes @ around.T - 1) / roughness)
    weights /= weights.sum(1, keepdim=True)
    whole, glowing, through = light(around, 0.0, device)
    blurred = light(axes, roughness, device)
    expected = [weights @ each.double() for each in (glowing, through)]
    assert (blurred[1] - expected[0]).abs().max() < 0.03 * expected[0].max()
    assert (blurred[2] - expected[1]).abs().max() < 0.06
    scale = torch.tensor([WINDOW_LIGHT[i] for i in range(3)])
    torch.testing.assert_close(whole, glowing + scale * through)


def test_roughness_grows_from_ball_to_ball(cameras, traced, device):
    found = []
    for middle in metal_balls(device):
        points, _, _, (row, col) = hits(cameras, traced, 0)
        on = ((points - middle[:3]).norm(dim=1) - middle[3]).abs() < 1e-3
        values = traced[1][0][row[on], col[on]]
        assert on.sum() > 10 and values.min() == values.max()
        found.append(float(values[0]))
    assert found == sorted(found) and found[0] == pytest.approx(0.0004) and found[-1] > 0.2


def test_colours_depend_on_the_view_on_glossy_parts(cameras, traced):
    """The same points of the glazed vase from the other camera show other highlights."""
    seen, _ = traced
    points, _, _, (row, col) = hits(cameras, traced, 0)
    vase = glossy_distance(points)[1].cpu() == VASE
    pose = cameras[1][1]
    local = (points[vase] - pose[:, 3]) @ pose[:, :3]
    x, y = FOCAL * local[:, 0] / -local[:, 2] + SIZE / 2, FOCAL * -local[:, 1] / -local[:, 2] + SIZE / 2
    i, j = y.long().clamp(0, SIZE - 1), x.long().clamp(0, SIZE - 1)
    visible = (seen.depth[1][i, j] + local[:, 2]).abs() < 0.02
    one, other = seen.image[0][row[vase], col[vase]], seen.image[1][i, j]
    assert visible.sum() > 20 and (one - other)[visible].abs().mean() > 0.02
