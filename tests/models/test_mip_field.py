"""mip-NeRF: the published formulas' picture, the files it is kept in, and pixels of every size."""

from dataclasses import replace

import pytest
import torch

from datasets.cameras import Cameras
from models.fields import field_from_state
from models.mip_field import ConeSampling, MipField, spread_weights
from models.network_field import NetworkField, NetworkShape
from models.rays import Ndc, pack_cameras, pixel_rays, view_pixels
from tests.reference import mip_nerf as twin
from tests.scenes import look_at_origin

SHAPE = NetworkShape(depth=6, width=24, octaves=5, direction_octaves=2, density_shift=0.5, integrated=True)
SAMPLING = ConeSampling(2.0, 6.0, intervals=12)
SIZE, FOCAL = 8, 9.0


def cameras(size=SIZE, position=(1.0, -3.5, 1.6)):
    focal = FOCAL * size / SIZE
    k = torch.tensor([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]])
    return Cameras(k[None], look_at_origin(torch.tensor(position))[None], size, size)


def small_model(shape=SHAPE, sampling=SAMPLING, ndc=None):
    model = MipField(NetworkField(shape, torch.Generator().manual_seed(0)), sampling, ndc)
    with torch.no_grad():
        model.network.density.weight *= 8  # of things, not of fog
        model.network.colour.weight *= 8
    return model


@pytest.fixture
def double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("white", [True, False])
def test_the_picture_of_the_published_formulas(device, white, double):
    model, view = small_model(), cameras()
    state = {name: value.double() for name, value in model.state_dict().items()}
    shape = {"depth": 6, "octaves": 5, "view_octaves": 2, "shift": 0.5}
    range_ = {"near": 2.0, "far": 6.0, "count": 12}
    expected = twin.picture(state, FOCAL, view.camera_to_world[0].double(), SIZE, SIZE, white=white, **range_, **shape)
    image = model.float().to(device).render(replace_float(view), 0, "white" if white else "black").image.cpu()
    assert expected.std() > 0.05
    assert (image - expected).abs().max() < 1e-4


def replace_float(view):
    return replace(view, intrinsics=view.intrinsics.float(), camera_to_world=view.camera_to_world.float())


def test_state_round_trip_and_chunks(device):
    model, view = small_model().to(device), cameras()
    whole = model.render(view, 0, "white")
    again = field_from_state(model.state()).to(device)
    assert torch.equal(again.render(view, 0, "white").image, whole.image)
    again.chunk, again.points = 33, 100
    parts = again.render(view, 0, "white")
    assert torch.allclose(whole.image, parts.image, atol=1e-6) and torch.allclose(whole.depth, parts.depth, atol=1e-5)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda s: s["settings"].pop("network"),
        lambda s: s["settings"]["sampling"].update(near=7.0),
        lambda s: s["settings"]["sampling"].update(intervals=0),
        lambda s: s["settings"]["sampling"].update(near=0.0, disparity=True),
        lambda s: s.update(kind="mlp"),
        lambda s: s["settings"]["network"].update(octaves=0),
        lambda s: s["settings"]["network"].update(integrated=False),
        lambda s: s["tensors"].pop("network.colour.bias"),
        lambda s: s["tensors"]["network.colour.bias"].fill_(float("nan")),
    ],
)
def test_damaged_states_are_refused(spoil):
    state = small_model().state()
    spoil(state)
    with pytest.raises(ValueError):
        field_from_state(state)


def test_a_large_pixel_shows_the_mean_of_small_ones(device):
    """Of stripes .1 wide on something solid, a pixel of the width of seven of them shows the mean, and not one of them."""
    shape = NetworkShape(depth=1, width=2, octaves=7, direction_octaves=0, density_shift=8.0, integrated=True)
    model = small_model(shape, ConeSampling(2.0, 6.0, intervals=64))
    network = model.network
    with torch.no_grad():
        for values in network.parameters():
            values.zero_()
        network.layers[0].weight[0, 6 * 6], network.layers[0].bias[0] = 1.0, 1.0  # 1 + sin(64 x)
        network.feature.weight[0, 0] = network.mixed.weight[0, 0] = 1.0
        network.colour.weight[:, 0], network.colour.bias[:] = 3.0, -3.0
    large, small = (model.to(device).render(cameras(size), 0).image for size in (4, 64))
    mean, thin_rays = small.view(4, 16, 4, 16, 3).mean((1, 3)), small[8::16, 8::16]
    assert (thin_rays - mean).abs().mean() > 0.1
    assert (large - mean).abs().mean() < 0.03


def test_rays_of_large_pixels_have_wide_cones(device):
    rays = [pixel_rays(pack_cameras(cameras(s)).to(device), view_pixels(0, s, s, device)) for s in (8, 64)]
    assert rays[0].radii[0].item() == pytest.approx(3**-0.5 / FOCAL)
    assert rays[0].radii[0].item() == pytest.approx(8 * rays[1].radii[0].item())


def test_normalised_device_coordinates(device):
    """A pixel's cylinder there is as wide as the pixel on the near plane."""
    pose = torch.cat([torch.eye(3), torch.tensor([[0.1], [-0.2], [0.0]])], 1)
    k = torch.tensor([[20.0, 0, 10], [0, 20, 10], [0, 0, 1]])
    view = Cameras(k[None], pose[None], 20, 20)
    model = small_model(SHAPE, ConeSampling(0.0, 1.0, intervals=16), Ndc.of(view)).to(device)
    rays = model.to_model_space(pixel_rays(pack_cameras(view).to(device), view_pixels(0, 20, 20, device)))
    assert rays.radii[0].item() == pytest.approx(2 / 20 * 3**-0.5)
    assert (rays.origins[1, 0] - rays.origins[0, 0]).item() == pytest.approx(2 / 20, rel=1e-4)
    found = model.render(view, 0)
    assert found.image.isfinite().all() and found.depth.isfinite().all()


def test_cylinders_are_as_wide_as_pixels_that_are_not_square(device):
    """Of a camera away from the plane z = -1, in a wide picture: by the mean distance of neighbouring rays on that plane."""
    pose = torch.cat([torch.eye(3), torch.tensor([[0.1], [-0.2], [0.3]])], 1)
    k = torch.tensor([[36.0, 0, 20], [0, 24, 15], [0, 0, 1]])
    view = Cameras(k[None], pose[None], 40, 30)
    rays = Ndc.of(view).to_ndc(pixel_rays(pack_cameras(view).to(device), view_pixels(0, 40, 30, device)))
    origins = rays.origins.view(30, 40, 3)
    across, down = (origins[:, 1:] - origins[:, :-1])[..., 0], (origins[1:] - origins[:-1])[..., 1]
    pitch = (across.abs().mean() + down.abs().mean()).item() / 2
    assert rays.radii.cpu() == pytest.approx(torch.full((1200,), 3**-0.5 * pitch), rel=0.03)


def test_spread_weights():
    """A lone weight reaches half of its strength in the intervals beside it; none is lost."""
    weights = torch.tensor([[0.0, 0, 1, 0, 0, 0.5]])
    assert spread_weights(weights).tolist() == [[0, 0.5, 1, 0.5, 0.25, 0.5]]
    assert (spread_weights(torch.rand(5, 9)) >= 0).all() and torch.equal(spread_weights(torch.ones(2, 3)), torch.ones(2, 3))


def test_gradients_reach_the_network_through_both_passes(device):
    model, view = small_model().to(device), cameras()
    rays = pixel_rays(pack_cameras(view).to(device), view_pixels(0, SIZE, SIZE, device))
    first, second = model.trace(rays, torch.Generator().manual_seed(0), jitter=1.0, noise=0.1)
    for each in (first, second):
        model.zero_grad()
        each.colour.sum().backward(retain_graph=True)
        assert all(p.grad is not None and p.grad.isfinite().all() and p.grad.any() for p in model.parameters())
