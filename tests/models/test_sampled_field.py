"""The original NeRF: its networks give the same pictures as in nerf-pytorch, and its parts do what they say."""

from dataclasses import replace

import pytest
import torch

from datasets.cameras import Cameras
from models.fields import field_from_state
from models.fine_samplers import linear_spline
from models.nerf_pytorch import COARSE, FINE, from_nerf_pytorch
from models.network_field import NetworkField, NetworkShape
from models.rays import Ndc, pack_cameras, pixel_rays, view_pixels
from models.sampled_field import SampledField, Sampling
from taichi_kernels import runtime
from tests.reference import nerf_pytorch as twin
from tests.scenes import look_at_origin

SIZE, FOCAL = 20, 25.0
SAMPLING = Sampling(twin.NEAR, twin.FAR, samples=64, importance=128, endless=True)
SMALL = NetworkShape(depth=6, width=32, octaves=4, direction_octaves=2, density_shift=-1.0)


def cameras(position=(1.0, -3.5, 1.6)):
    k = torch.tensor([[FOCAL, 0, SIZE / 2], [0, FOCAL, SIZE / 2], [0, 0, 1]])
    return Cameras(k[None], look_at_origin(torch.tensor(position))[None], SIZE, SIZE)


def small_model(importance=16, **changes):
    g = torch.Generator().manual_seed(0)
    networks = NetworkField(SMALL, g), NetworkField(SMALL, g) if importance else None
    return SampledField(*networks, Sampling(2.0, 6.0, samples=16, importance=importance, **changes))


def solid_states(directed=True):
    """Networks of solid things: some rays end early, others see through. Fine waves are weak, as trained networks have them."""
    g = torch.Generator().manual_seed(int(directed))
    states = [twin.random_state(g, directed=directed) for _ in range(2)]
    waves = torch.cat([torch.ones(3), 2.0 ** -torch.arange(10).repeat_interleave(6)])
    for state in states:
        state["pts_linears.0.weight"] *= waves
        state["pts_linears.5.weight"][:, :63] *= waves
        for name in ("alpha_linear", "rgb_linear") if directed else ("output_linear",):
            state[f"{name}.weight"] *= 4
    return states


@pytest.mark.parametrize(("directed", "importance", "white"), [(True, 128, True), (False, 64, False), (True, 0, False)])
def test_the_same_picture_as_nerf_pytorch_from_the_same_weights(directed, importance, white, device):
    states, view = solid_states(directed=directed), cameras()
    expected = twin.picture(*states, FOCAL, view.camera_to_world[0], SIZE, SIZE, importance=importance, white=white)
    content = {"global_step": 7, COARSE: states[0], FINE: states[1] if importance else None}
    model = from_nerf_pytorch(content, replace(SAMPLING, importance=importance), None).to(device)
    image = model.render(view, 0, "white" if white else "black").image.cpu()
    assert expected.std() > 0.1
    assert (image - expected).abs().max() < 1e-4
    again = field_from_state(model.state()).to(device).render(view, 0, "white" if white else "black").image.cpu()
    assert torch.equal(image, again)


def test_the_same_numbers_in_double_precision(device):
    """Also of networks in which every wave is strong: there, single precision is not accurate enough for the picture."""
    if runtime.device() == "vulkan":
        pytest.skip("Vulkan has no exp of float64")
    g = torch.Generator().manual_seed(3)
    states = [{name: value.double() for name, value in twin.random_state(g, octaves=10).items()} for _ in range(2)]
    view = cameras()
    view = replace(view, intrinsics=view.intrinsics.double(), camera_to_world=view.camera_to_world.double())
    expected = twin.picture(*states, FOCAL, view.camera_to_world[0], SIZE, SIZE)
    model = from_nerf_pytorch({COARSE: states[0], FINE: states[1]}, SAMPLING, None).double().to(device)
    assert (model.render(view, 0, "white").image.cpu() - expected).abs().max() < 1e-5


def test_the_same_picture_in_normalised_device_coordinates(device):
    states = solid_states()
    pose = torch.cat([torch.eye(3), torch.tensor([[0.1], [-0.2], [0.05]])], 1)
    k = torch.tensor([[FOCAL, 0, SIZE / 2], [0, FOCAL, SIZE / 2], [0, 0, 1]])
    view = Cameras(k[None], pose[None], SIZE, SIZE)
    expected = twin.picture(*states, FOCAL, pose, SIZE, SIZE, importance=64, white=False, ndc=True)
    sampling = Sampling(0.0, 1.0, importance=64, endless=True)
    model = from_nerf_pytorch({COARSE: states[0], FINE: states[1]}, sampling, Ndc.of(view)).to(device)
    assert (model.render(view, 0).image.cpu() - expected).abs().max() < 1e-4


def test_other_checkpoints_are_reported():
    state = twin.random_state(torch.Generator(), depth=2, width=8)
    del state["rgb_linear.weight"]
    with pytest.raises(ValueError, match=r"not a network of nerf-pytorch: .*rgb_linear\.weight"):
        from_nerf_pytorch({COARSE: state}, replace(SAMPLING, importance=0), None)
    state["pts_linears.0.weight"] = torch.zeros(8, 5)
    with pytest.raises(ValueError, match="5 numbers"):
        from_nerf_pytorch({COARSE: state}, replace(SAMPLING, importance=0), None)
    with pytest.raises(ValueError, match="fine network needs"):
        from_nerf_pytorch({COARSE: twin.random_state(torch.Generator(), depth=2, width=8), FINE: None}, SAMPLING, None)


def test_chunks_change_nothing(device):
    model, view = small_model().to(device), cameras()
    whole = model.render(view, 0, "white")
    model.chunk, model.points = 33, 100
    parts = model.render(view, 0, "white")
    assert torch.allclose(whole.image, parts.image, atol=1e-6) and torch.allclose(whole.depth, parts.depth, atol=1e-5)


def test_the_background_shows_through_unless_the_ray_is_endless():
    model, view = small_model(), cameras()
    with torch.no_grad():
        for field in (model.coarse, model.fine):
            field.density.weight.zero_()
            field.density.bias.fill_(-10.0)
    rendering = model.render(view, 0, "white")
    assert (rendering.image > 0.999).all() and (rendering.alpha < 1e-3).all() and (rendering.depth >= 0).all()
    model.sampling = replace(model.sampling, endless=True)
    assert (model.render(view, 0, "white").alpha > 0.5).all()


def test_depth_is_where_the_wall_is():
    """A network that is solid beyond x = 0, seen along x."""
    model = small_model(importance=0)
    for layer in model.coarse.layers:
        layer.weight.data.zero_()
        layer.bias.data.zero_()
    first, field = model.coarse.layers[0], model.coarse
    first.weight.data[0, 0] = 1.0
    for layer in list(field.layers)[1:]:
        layer.weight.data[0, -32 if layer is field.layers[5] else 0] = 1.0  # hidden units follow the encoding there
    field.density.weight.data.zero_()
    field.density.weight.data[0, 0], field.density.bias.data[0] = 1e4, -20.0
    model.sampling = replace(model.sampling, samples=257)
    pose = look_at_origin(torch.tensor([-4.0, 0, 0]))
    depth = model.render(replace(cameras(), camera_to_world=pose[None]), 0).depth
    assert (depth - 4).abs().max() < 0.03


def test_samples_are_jittered_within_their_intervals_and_reproducibly(monkeypatch):
    model, view = small_model(importance=0), cameras()
    rays = pixel_rays(pack_cameras(view), view_pixels(0, SIZE, SIZE, "cpu"))
    seen, original = [], SampledField._composite
    monkeypatch.setattr(
        SampledField, "_composite", lambda self, field, rays, t, *rest: (seen.append(t), original(self, field, rays, t, *rest))[1]
    )
    for seed, jitter in ((0, 1.0), (0, 1.0), (1, 1.0), (0, 0.5), (0, 0.0)):
        model.trace(rays, torch.Generator().manual_seed(seed), jitter=jitter)
    one, same, other, half, none = seen
    even = torch.linspace(2, 6, 16)
    reach = (even[1] - even[0]) / 2
    assert torch.equal(one, same) and not torch.equal(one, other) and torch.allclose(none, even.expand_as(none))
    assert (one >= 2).all() and (one <= 6).all() and (one.diff(dim=1) > 0).all()
    assert reach * 0.98 < (one - even).abs().max() <= reach + 1e-6 and abs(float((one - even)[:, 1:-1].mean())) < 0.02
    assert torch.allclose(half - even, (one - even) / 2, atol=1e-6)


def test_gradients_reach_both_networks_and_not_the_coarse_one_through_the_samples():
    model, view = small_model(), cameras()
    rays = pixel_rays(pack_cameras(view), view_pixels(0, SIZE, SIZE, "cpu"))
    found = model.trace(rays, torch.Generator().manual_seed(0), jitter=1.0)
    found.best.colour.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.fine.parameters())
    assert all(p.grad is None for p in model.coarse.parameters())


def reparameterized(**changes):
    g = torch.Generator().manual_seed(0)
    networks = NetworkField(replace(SMALL, colours=False), g), NetworkField(SMALL, g)
    return SampledField(*networks, Sampling(2.0, 6.0, samples=16, importance=16, reparameterized=True, **changes))


@pytest.mark.parametrize(("union", "correcting"), [(False, False), (True, False), (False, True), (True, True)])
def test_gradients_reach_the_density_through_the_positions_of_the_samples(union, correcting):
    """The derivative with respect to one weight is the change that moving this weight causes."""
    if runtime.device() == "vulkan":
        pytest.skip("Vulkan has no exp of float64")
    model, view = reparameterized(union=union, correcting=correcting).double(), cameras()
    rays = pixel_rays(pack_cameras(view), view_pixels(0, SIZE, SIZE, "cpu"))
    rays = type(rays)(*(part.double() for part in rays))
    weight = model.coarse.density.weight
    seen = lambda: model.trace(rays).best.colour.square().sum()  # noqa: E731
    seen().backward()
    index, step = int(weight.grad.abs().argmax()), 1e-6
    values = []
    with torch.no_grad():
        for sign in (1, -1, -1):
            weight[0, index] += sign * step
            values.append(seen())
    assert weight.grad[0, index].abs() > 1e-4
    assert (values[0] - values[2]) / (2 * step) == pytest.approx(weight.grad[0, index].item(), rel=1e-3)


def test_samples_crowd_where_the_coarse_network_is_solid(monkeypatch):
    """Nine tenths of the light end in the middle fifth of the ray: so do nine tenths of the samples."""
    model, view = reparameterized(union=False), cameras()
    rays = pixel_rays(pack_cameras(view), view_pixels(0, SIZE, SIZE, "cpu"))
    model.sampling, drawn = replace(model.sampling, samples=101), []
    solid = lambda t: torch.where((t - 4).abs() < 0.4, 10.0, 1e-3)  # noqa: E731
    monkeypatch.setattr(model, "_at", lambda field, rays, t, *_: (solid(t), None))
    monkeypatch.setattr(model, "_composite", lambda field, rays, t, *_: drawn.append(t))
    model.trace(rays)
    assert ((drawn[0] - 4).abs() < 0.45).float().mean() > 0.9


def test_a_corrected_density_is_the_coarse_one_before_correction(monkeypatch):
    """With raw fine densities of 0, the fine network's density is the coarse one's, relative to the initial densities of
    both, plus a twentieth of it, from which it can come back."""
    model, view = reparameterized(union=True, correcting=True), cameras()
    rays = pixel_rays(pack_cameras(view), view_pixels(0, SIZE, SIZE, "cpu"))
    found, at = [], SampledField._at
    monkeypatch.setattr(model, "_at", lambda *a: found.append(at(model, *a)[0]) or at(model, *a))
    with torch.no_grad():
        model.fine.density.weight.zero_()
        model.fine.density.bias.zero_()
        model.fine.shape = replace(model.fine.shape, density_shift=-8.0)  # where softplus is exp
        model.trace(rays)
    coarse, fine = found
    start = torch.nn.functional.softplus(torch.tensor(-1.0)).item()
    assert fine.amax() == pytest.approx((coarse.amax().item() / start + 0.05) * torch.tensor(-8.0).exp().item(), rel=0.01)
    assert fine.amin() == pytest.approx((coarse.amin().item() / start + 0.05) * torch.tensor(-8.0).exp().item(), rel=0.01)


def test_a_linear_spline_by_hand():
    knots, values = torch.tensor([[0.0, 1, 3]]), torch.tensor([[2.0, 4, 0]])
    t = torch.tensor([[0.0, 0.5, 1, 2, 3]])
    assert linear_spline(knots, values, t).tolist() == [[2, 3, 4, 2, 0]]


def test_calls_of_an_estimate_are_chosen_when_it_is_rendered():
    model, view = reparameterized(union=False, estimated=True), cameras()
    assert model.radiance_samples == 16
    few = model.render(view, 0, "white").image
    model.radiance_samples = 4
    assert model.radiance_samples == 4 and 0 < (model.render(view, 0, "white").image - few).abs().mean() < 0.1
    with pytest.raises(ValueError, match="not trained"):
        small_model().radiance_samples = 8


def test_a_density_without_colours_goes_with_reparameterization():
    with pytest.raises(ValueError, match="without colours"):
        SampledField(
            NetworkField(SMALL, torch.Generator()),
            NetworkField(SMALL, torch.Generator()),
            Sampling(2.0, 6.0, importance=8, reparameterized=True),
        )


def test_seeds_of_the_start():
    first, again = (NetworkField(SMALL, torch.Generator().manual_seed(s)) for s in (0, 0))
    other = NetworkField(SMALL, torch.Generator().manual_seed(1))
    assert torch.equal(first.layers[0].weight, again.layers[0].weight)
    assert not torch.equal(first.layers[0].weight, other.layers[0].weight)
