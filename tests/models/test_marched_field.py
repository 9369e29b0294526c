"""The marched field: rays rendered in rounds are equal to whole rays, and a field is rebuilt from its state."""

import pytest
import torch

from models.grid_field import GridField, GridShape
from models.marched_field import LEARNED_TRANSMITTANCE, MarchedField
from models.occupancy import OccupancyGrid
from models.ray_model import CHUNK
from models.rays import Rays, pack_cameras, pixel_rays, view_pixels
from taichi_kernels.rays import box_intersection
from tests.scenes import sphere_scene

BOX = torch.tensor([[-1.0, -1, -1], [1, 1, 1]])
SHAPE = GridShape(levels=3, coarsest=4, finest=32, log2_rows=12)


class Ball(GridField):
    """A field with the density of a soft ball, and the grid's colours."""

    def density_and_code(self, positions, features=None):
        _, code = super().density_and_code(positions, features)
        return self.density(positions), code

    def density(self, positions, features=None):
        return 200 * torch.sigmoid(40 * (0.7 - positions.norm(dim=1)))


def model(field_type=Ball, device="cpu"):
    g = torch.Generator().manual_seed(0)
    field = field_type(BOX, SHAPE, g)
    with torch.no_grad():
        field.table.copy_(torch.randn(field.table.shape, generator=g))
    occupancy = OccupancyGrid(BOX, cells=32, step=0.01)
    found = MarchedField(field, occupancy).to(device)
    for _ in range(8):
        occupancy.update(found.field.density, g, some=0, decay=1.0, threshold=0.001)
    return found


def test_rounds_give_the_picture_of_whole_rays(device):
    """To half a level of 8 bits, that is 50 dB and more, with most rays ended early."""
    cameras, marched = sphere_scene().test.cameras, model(device=device)
    rendering = marched.render(cameras, 1, "white")
    rays = pixel_rays(pack_cameras(cameras).to(device), view_pixels(1, cameras.width, cameras.height, device))
    whole = marched.render_samples(rays, marched.sample(rays, None))
    image = (whole.colour + whole.transmittance[:, None]).view(cameras.height, cameras.width, 3)
    assert ((rendering.image - image) ** 2).mean() < 1e-5
    assert (rendering.image - image).abs().max() < 2.1 / 512
    assert 0.1 < rendering.alpha.mean() < 0.5
    solid = rendering.alpha > 0.99
    depth = (whole.depth / (1 - whole.transmittance)).view(cameras.height, cameras.width)
    assert (rendering.depth - depth)[solid].abs().max() < 0.02


def test_marching_past_empty_cells_changes_nothing(device):
    """Compared with a march through every cell: 50 dB and more."""
    cameras, marched = sphere_scene().test.cameras, model(device=device)
    sparse = marched.render(cameras, 0).image
    marched.occupancy.set_occupied(torch.ones_like(marched.occupancy.occupied))
    full = marched.render(cameras, 0).image
    assert ((sparse - full) ** 2).mean() < 1e-5 and not torch.equal(full, torch.zeros_like(full))


def test_estimates_tend_to_the_picture_of_all_samples(device):
    """With 4 calls nearly, with 64 to a hundredth; with the samples of two generators, to two values about it."""
    cameras, marched = sphere_scene().test.cameras, model(device=device)
    rays = pixel_rays(pack_cameras(cameras).to(device), view_pixels(1, cameras.width, cameras.height, device))
    samples = marched.sample(rays, None)
    whole, errors = marched.render_samples(rays, samples), []
    for marched.radiance_samples in (4, 64):
        (seen,) = marched.render_monte_carlo(rays, samples)
        errors.append((seen.colour - whole.colour).square().mean().sqrt().item())
        assert torch.allclose(seen.transmittance, whole.transmittance, atol=1e-5)
        assert (seen.depth - whole.depth).abs().max() < 0.05
    assert errors[1] < 0.01 and errors[1] < errors[0], errors
    one, two = marched.render_monte_carlo(rays, samples, generator=torch.Generator().manual_seed(0), number=2)
    assert not torch.equal(one.colour, two.colour) and (one.colour - two.colour).abs().mean() < 0.01
    marched.radiance_samples = 8
    assert (marched.render(cameras, 1).image - whole.colour.view(cameras.height, cameras.width, 3)).abs().mean() < 0.01


def test_rays_that_miss_call_nothing(device):
    marched = model(device=device)
    marched.radiance_samples = 4
    away = torch.tensor([[0.0, 0, 5]], device=device).expand(3, 3).contiguous()
    up = torch.tensor([[0.0, 0, 1]], device=device).expand(3, 3).contiguous()
    rays = Rays(away, up, up[:, 2], up, up[:, 2])
    (seen,) = marched.render_monte_carlo(rays, marched.sample(rays))
    assert (seen.colour == 0).all() and (seen.transmittance == 1).all() and (seen.depth == 0).all()


def test_depth_of_the_ball(device):
    cameras, marched = sphere_scene().test.cameras, model(device=device)
    rendering = marched.render(cameras, 0)
    middle = rendering.depth[cameras.height // 2, cameras.width // 2].item()
    assert middle == pytest.approx(4 - 0.75, abs=0.03)  # 4 away; the density rises to 200 around 0.7


def test_a_picture_of_many_chunks(device):
    cameras, marched = sphere_scene().test.cameras, model(device=device)
    whole = marched.render(cameras, 0).image
    assert cameras.width * cameras.height < CHUNK
    marched.chunk = 1000
    assert torch.allclose(marched.render(cameras, 0).image, whole, atol=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_state_round_trip(device, training):
    cameras, marched = sphere_scene().test.cameras, model(GridField, device)
    again = MarchedField.from_state(marched.state(training=training)).to(device)
    assert torch.equal(again.render(cameras, 0).image, marched.render(cameras, 0).image)
    assert torch.equal(again.occupancy.occupied, marched.occupancy.occupied) and again.occupancy.step == 0.01


def test_occupancy_forgets_lost_density_and_keeps_closed_cells_empty(device):
    occupancy = OccupancyGrid(BOX, cells=16, step=0.1).to(device)
    g = torch.Generator().manual_seed(0)
    half = torch.zeros(16, 16, 16, dtype=torch.bool)
    half[:, :, 8:] = True  # x above 0
    occupancy.restrict(half)
    ball = lambda x: 10.0 * (x.norm(dim=1) < 0.6)  # noqa: E731
    occupancy.update(ball, g, some=0, decay=0.5, threshold=0.05)
    unit = (torch.arange(16) + 0.5) / 8 - 1
    z, y, x = torch.meshgrid(unit, unit, unit, indexing="ij")
    centers = torch.stack([x, y, z], -1).to(device)
    deep = (centers.norm(dim=-1) < 0.45) & half.to(device)
    assert occupancy.occupied[0][deep].all() and not occupancy.occupied[0][~half.to(device)].any()
    assert not occupancy.occupied[0][centers.norm(dim=-1) > 0.75].any()
    nothing = lambda x: torch.zeros(len(x), device=x.device)  # noqa: E731
    for expected in (True, True, True, True, True, False):  # 1 a step halves until it is below 0.05
        assert bool(occupancy.occupied.any()) is expected
        occupancy.update(nothing, g, some=0, decay=0.5, threshold=0.05)


def test_rays_beside_the_box_are_background(device):
    marched = model(device=device)
    origins = torch.tensor([[0.0, 0, 5], [3, 3, 5]], device=device)
    directions = torch.tensor([[0.0, 0, -1], [0, 0, -1]], device=device)
    near, far = box_intersection(origins, directions, BOX)
    assert near[1] == far[1]
    colour, clear, *_ = marched.render_rays(
        Rays(origins, directions, torch.ones(2, device=device), directions, torch.ones(2, device=device))
    )
    assert clear[1] == 1 and (colour[1] == 0).all() and clear[0] < 0.01


def test_visible_samples_give_the_picture_of_whole_rays(device):
    """A fog that takes several rounds to become opaque: fewer samples, each ray's first ones, and nearly the same gradients."""
    cameras, marched, grads = sphere_scene().test.cameras, model(GridField, device), []
    marched.occupancy.set_occupied(torch.ones_like(marched.occupancy.occupied))
    with torch.no_grad():
        marched.field.out[0] = 0.9 * marched.field.out[0].abs()  # dense everywhere
    rays = pixel_rays(pack_cameras(cameras).to(device), view_pixels(1, cameras.width, cameras.height, device))
    whole = marched.sample(rays, torch.Generator().manual_seed(1))
    some, features = marched.visible_samples(rays, torch.Generator().manual_seed(1))
    counts, all_counts = some.offsets.diff(), whole.offsets.diff()
    assert counts[all_counts > 0].float().median() > 3 * 4 and counts.max() > 28  # three rounds and four
    assert len(some.rays) < 0.7 * len(whole.rays) and torch.equal(features, marched.field.encode(some.positions))
    assert torch.equal(torch.repeat_interleave(torch.arange(len(rays), device=device), counts.long()), some.rays.long())
    number = torch.arange(len(some.rays), device=device) - some.offsets[some.rays.long()]
    there = whole.offsets[some.rays.long()] + number
    assert (there < whole.offsets[1:][some.rays.long()]).all()
    assert torch.allclose(some.t_starts, whole.t_starts[there.long()], atol=1e-4)
    cut = counts < all_counts
    for samples, known in ((whole, None), (some, features)):
        marched.zero_grad()
        seen = marched.render_samples(rays, samples, known, depth=False)
        (seen.colour.sum() + seen.transmittance.sum()).backward()
        grads.append([seen.colour.detach(), seen.transmittance] + [p.grad.clone() for p in marched.field.parameters()])
    assert (grads[1][1][cut] <= LEARNED_TRANSMITTANCE * 1.01).all() and cut.float().mean() > 0.1
    assert (grads[0][0] - grads[1][0]).abs().max() < 2 * LEARNED_TRANSMITTANCE
    for a, b in zip(grads[0][2:], grads[1][2:], strict=True):
        assert (a - b).norm() < 0.03 * a.norm()


def test_rounds_are_bounded(device, monkeypatch):
    """A bound on a round's samples changes nothing but the rounds."""
    cameras, marched = sphere_scene().test.cameras, model(device=device)
    rays = pixel_rays(pack_cameras(cameras).to(device), view_pixels(1, cameras.width, cameras.height, device))
    rounds = lambda: [(len(r[0]), len(r[1].rays)) for r in marched.march_rounds(rays, min_transmittance=1e-3)]  # noqa: E731
    whole, image = rounds(), marched.render(cameras, 1).image
    for bound in ("_AT_ONCE", "_AT_ONCE_ON_GPU"):
        monkeypatch.setattr(f"models.marched_field.{bound}", 5000)
    bounded = rounds()
    assert len(bounded) > len(whole) and sum(n for _, n in bounded) == sum(n for _, n in whole)
    assert all(samples <= max(5000, 4 * alive) for alive, samples in bounded)
    assert torch.allclose(marched.render(cameras, 1).image, image, atol=1e-5)


def test_rays_that_meet_nothing_have_no_visible_samples(device):
    cameras, marched = sphere_scene().test.cameras, model(device=device)
    rays = pixel_rays(pack_cameras(cameras).to(device), view_pixels(1, cameras.width, cameras.height, device))
    away = Rays(rays.origins, -rays.directions, rays.direction_norms, rays.view_directions, rays.radii)
    samples, features = marched.visible_samples(away)
    assert len(samples.rays) == 0 and features.shape == (0, 12) and samples.offsets.tolist() == [0] * (len(rays) + 1)
    assert (marched.render_samples(away, samples, features).transmittance == 1).all()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda tensors: tensors.pop("field.colour_out"),
        lambda tensors: tensors.update(extra=torch.zeros(1)),
        lambda tensors: tensors.update({"field.out": torch.zeros(28, 64)}),
    ],
)
def test_states_of_another_version_are_reported(device, spoil):
    state = model(GridField, device).state()
    spoil(state["tensors"])
    with pytest.raises(ValueError, match="of this version"):
        MarchedField.from_state(state)
