"""The glossy built-in scene: its folder, its reflections, and maps that agree with its solids."""

import json
import math

import numpy as np
import pytest
import taichi as ti
import taichi.math as tm
import torch
from PIL import Image

from datasets.demo import DemoSettings, ensure_demo, is_complete, poses_around
from datasets.demo.glossy_light import environment
from datasets.demo.glossy_shapes import MIRROR_CENTER, MIRROR_RADIUS, scene
from datasets.demo.glossy_tracing import trace_glossy
from datasets.demo.sphere_tracing import DARKEST
from settings.errors import InputError

SMALL = DemoSettings(width=48, height=32, train_views=3, val_views=1, test_views=2, samples=2, seed=5, scene="demo_glossy")
SIZE, FOCAL = 120, 170.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return ensure_demo(tmp_path_factory.mktemp("demo"), SMALL, quiet=True)


@pytest.fixture(scope="module")
def seen():
    """(poses, traced, roughness) of two views, from above and from the horizon."""
    directions = np.array([[0.3, -0.7, 0.65], [-0.8, 0.55, 0.24]])
    poses = torch.from_numpy(poses_around(directions / np.linalg.norm(directions, axis=1, keepdims=True))[:, :3]).float()
    k = torch.tensor([[FOCAL, 0, SIZE / 2], [0, FOCAL, SIZE / 2], [0, 0, 1]]).expand(2, 3, 3)
    return poses, *trace_glossy(k, poses, SIZE, SIZE, 1)


@ti.kernel
def _distances(points: ti.types.ndarray(dtype=tm.vec3, ndim=1), out: ti.types.ndarray(dtype=ti.f32, ndim=1)):
    for i in points:
        out[i] = scene(points[i]).x


@ti.kernel
def _environment(directions: ti.types.ndarray(dtype=tm.vec3, ndim=1), out: ti.types.ndarray(dtype=tm.vec3, ndim=1)):
    for i in directions:
        out[i] = environment(directions[i], 0.0005)


def hits(seen, view):
    """Points (N, 3) that the centre rays hit, unit ray directions, normals, and their pixels."""
    poses, traced, _ = seen
    row, col = torch.nonzero(traced.depth[view].cpu() > 0, as_tuple=True)
    local = torch.stack([(col + 0.5 - SIZE / 2) / FOCAL, -(row + 0.5 - SIZE / 2) / FOCAL, -torch.ones(len(row))], 1)
    rays = local @ poses[view, :, :3].T
    points = poses[view, :, 3] + traced.depth[view].cpu()[row, col][:, None] * rays
    return points, torch.nn.functional.normalize(rays, dim=1), traced.normal[view].cpu()[row, col], (row, col)


def test_the_folder_has_pictures_and_exact_maps(folder):
    assert is_complete(folder, SMALL) and folder.name.startswith("demo_glossy_48x32")
    manifest = json.loads((folder / "demo.json").read_text())
    assert manifest["scene"] == "demo_glossy" and len(list((folder / "train").iterdir())) == 3 * 4
    picture = np.asarray(Image.open(folder / "test" / "r_0.png"))
    depth, rough = (np.load(folder / "test" / f"r_0_{name}.npy") for name in ("depth", "roughness"))
    assert picture.shape == (32, 48, 4) and (picture[picture[..., 3] == 255][:, 0] > 0).all()
    assert ((rough > 0) == (depth > 0)).all() and (picture[[0, -1]][..., 3] == 0).all()
    (folder / "test" / "r_0_roughness.npy").rename(folder / "gone.npy")
    assert not is_complete(folder, SMALL)
    (folder / "gone.npy").rename(folder / "test" / "r_0_roughness.npy")


def test_the_same_settings_give_the_same_bytes(folder, tmp_path):
    again = ensure_demo(tmp_path, SMALL, quiet=True)
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    assert files and all((folder / name).read_bytes() == (again / name).read_bytes() for name in files)


def test_the_other_scene_is_as_before_there_was_a_second():
    settings = DemoSettings(width=48, height=32)
    assert "scene" not in settings.manifest() and settings.folder_name.startswith("demo_48x32")
    with pytest.raises(InputError, match="no built-in scene 'glossy'"):
        DemoSettings(scene="glossy")


@pytest.mark.parametrize("view", [0, 1])
def test_depth_and_normals_are_those_of_the_solids(seen, device, view):
    points, _, normals, _ = hits(seen, view)
    out = torch.zeros(len(points), device=device)
    _distances(points.to(device).contiguous(), out)
    assert len(points) > 2000 and out.abs().max() < 1e-3
    slopes = []
    for axis in range(3):
        ahead, behind = (torch.zeros(len(points), device=device) for _ in range(2))
        step = torch.zeros(3)
        step[axis] = 1e-3
        _distances((points + step).to(device).contiguous(), ahead)
        _distances((points - step).to(device).contiguous(), behind)
        slopes.append((ahead - behind).cpu())
    cosine = (torch.nn.functional.normalize(torch.stack(slopes, 1), dim=1) * normals).sum(1)
    assert (cosine > 0.99).float().mean() > 0.98  # the others lie on edges


def test_the_mirror_shows_the_environment_where_nothing_is_in_the_way(seen, device):
    """The reflected direction by the law of reflection, its radiance by the lamps, and the display curve by its formula."""
    points, rays, normals, (row, col) = hits(seen, 0)
    ball = torch.tensor([MIRROR_CENTER[i] for i in range(3)])
    exact = torch.nn.functional.normalize(points - ball, dim=1)
    mirrored = rays - 2 * (rays * exact).sum(1, keepdim=True) * exact
    free = ((points - ball).norm(dim=1) < MIRROR_RADIUS + 1e-3) & (mirrored[:, 2] > 0.5)
    assert free.sum() > 100 and (normals[free] * exact[free]).sum(1).min() > 0.9999
    light = torch.zeros(int(free.sum()), 3, device=device)
    _environment(mirrored[free].to(device).contiguous(), light)
    tint = torch.tensor([0.93, 0.94, 0.96])
    tint = tint + (1 - tint) * (1 + (rays[free] * exact[free]).sum(1, keepdim=True)).clamp(0, 1) ** 5 * 0.6
    linear = light.cpu() * tint
    value = linear.clamp(max=0.8) + (linear - 0.8).clamp(min=0) / (1 + 5 * (linear - 0.8).clamp(min=0))
    expected = torch.where(value <= 0.0031308, 12.92 * value, 1.055 * value ** (1 / 2.4) - 0.055).clamp(DARKEST, 1)
    found = seen[1].image[0].cpu()[row[free], col[free]]
    assert (found - expected).abs().median() < 1e-3
    assert ((found - expected).abs().amax(1) < 0.02).float().mean() > 0.85  # the others reflect the vase and the ring


def test_the_rings_roughness_grows_around_it(seen):
    rough = seen[2][seen[2] > 0]
    assert rough.min() < 0.001 and rough.max() > 0.1 and math.isfinite(float(rough.mean()))


def test_colours_depend_on_the_view(seen, device):
    """The same points of the mirror from another camera show another colour."""
    points, _, _, (row, col) = hits(seen, 0)
    ball = torch.tensor([MIRROR_CENTER[i] for i in range(3)])
    poses, traced, _ = seen
    on_ball = (points - ball).norm(dim=1) < MIRROR_RADIUS + 1e-3
    local = (points[on_ball] - poses[1, :, 3]) @ poses[1, :, :3]
    x, y = FOCAL * local[:, 0] / -local[:, 2] + SIZE / 2, FOCAL * -local[:, 1] / -local[:, 2] + SIZE / 2
    i, j = y.long().clamp(0, SIZE - 1), x.long().clamp(0, SIZE - 1)
    visible = (traced.depth[1].cpu()[i, j] + local[:, 2]).abs() < 0.02
    one, other = traced.image[0].cpu()[row[on_ball], col[on_ball]], traced.image[1].cpu()[i, j]
    assert visible.sum() > 30 and (one - other)[visible].abs().mean() > 0.05
