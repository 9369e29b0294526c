"""Samples by the inverse of a ray's own distribution: against the twin, against F(t) = u y, and at the extremes."""

import math

import pytest
import torch

from taichi_kernels import runtime
from taichi_kernels.inverse_transform import draw_from_knots, draw_from_samples
from taichi_kernels.sampling import stratified
from tests.reference import inverse_transform as twin


def spline(rays, knots, device, dtype=torch.float32, *, linear=True, scale=3.0, seed=0):
    """Knots, densities and lengths; a third of the densities is zero."""
    g = torch.Generator().manual_seed(seed)
    t = 2 + (torch.rand(rays, knots, generator=g, dtype=torch.float64) + 0.05).cumsum(1) / knots
    s = scale * torch.rand(rays, knots if linear else knots - 1, generator=g, dtype=torch.float64) ** 3
    s[torch.rand(s.shape, generator=g) < 0.3] = 0
    return t.to(dtype).to(device), s.to(dtype).to(device), (1 + torch.rand(rays, generator=g)).to(dtype).to(device)


def uniforms(rays, count, device, dtype=torch.float32, seed=1):
    return torch.rand(rays, count, generator=torch.Generator().manual_seed(seed), dtype=dtype).sort(1).values.to(device)


def thickness_upto(knots, densities, lengths, x):
    """Phi(t) and Phi(far) of linear densities, in float64, by quadrature of the spline between all of x and the knots."""
    t, s, x = knots.double().cpu(), densities.double().cpu(), x.double().cpu()
    scale = (lengths.double().cpu() if lengths is not None else torch.ones(len(t)))[:, None]
    bins = (torch.searchsorted(t, x.contiguous(), right=True) - 1).clamp(0, t.shape[1] - 2)
    a, b, s_a, s_b = (v.gather(1, bins + i) for v, i in ((t, 0), (t, 1), (s, 0), (s, 1)))
    mass = (s[:, 1:] + s[:, :-1]) / 2 * (t[:, 1:] - t[:, :-1])
    before = torch.cat([torch.zeros(len(t), 1), mass.cumsum(1)], 1)
    inside = (x - a) * (s_a + (s_b - s_a) * (x - a) / (2 * (b - a)))
    return scale * (before.gather(1, bins) + inside), scale[:, 0] * before[:, -1]


@pytest.mark.parametrize(("rays", "knots", "samples"), [(700, 64, 64), (3, 2, 5), (5, 1024, 33), (1300, 9, 1)])
@pytest.mark.parametrize("linear", [True, False])
def test_agrees_with_twin(device, rays, knots, samples, linear):
    t, s, lengths = spline(rays, knots, device, linear=linear)
    s = s + 0.1  # where there is nearly no density, t is a matter of rounding
    u = uniforms(rays, samples, device)
    results = []
    for function, dtype in ((draw_from_knots, torch.float32), (twin.draw_from_knots, torch.float64)):
        leaves = [v.to(dtype).cpu().requires_grad_() if dtype == torch.float64 else v.clone().requires_grad_() for v in (t, s)]
        more = [v.to(dtype).to(leaves[0].device) for v in (u, lengths)]
        drawn, opacity = function(*leaves, more[0], lengths=more[1])[:2]
        weights = torch.linspace(-1, 1, drawn.numel(), dtype=dtype, device=drawn.device).view_as(drawn)
        ((drawn * weights).sum() + 3 * (opacity * weights[:, 0]).sum()).backward()
        results.append([v.detach().cpu().double() for v in (drawn, opacity, leaves[0].grad, leaves[1].grad)])
    for got, want, tolerance in zip(*results, (1e-4, 1e-5, 2e-3, 2e-3), strict=True):
        assert (got - want).abs().max() < tolerance * max(1.0, float(want.abs().max()))


@pytest.mark.parametrize("scale", [1e-3, 1.0, 100.0])
@pytest.mark.parametrize("linear", [True, False])
def test_gradcheck_float64(device, linear, scale):
    if runtime.device() == "vulkan":
        pytest.skip("Vulkan has no exp of float64")
    t, s, lengths = spline(4, 6, device, torch.float64, linear=linear)
    leaves = [t.requires_grad_(), ((s + 0.1) * scale).requires_grad_()]
    u = uniforms(4, 7, device, torch.float64)
    assert torch.autograd.gradcheck(lambda t, s: draw_from_knots(t, s, u, lengths=lengths)[:2], leaves, eps=1e-7, atol=1e-5)


def packed(counts, device, dtype):
    g = torch.Generator().manual_seed(3)
    total = sum(counts)
    offsets = torch.tensor([0, *counts]).cumsum(0).to(torch.int32).to(device)
    steps = torch.rand(2 * total, generator=g, dtype=torch.float64) * 0.2 + 0.01
    edges = torch.cat([2 + part.cumsum(0) for part in steps.split([2 * c for c in counts])]).view(total, 2)
    densities = 4 * torch.rand(total, generator=g, dtype=torch.float64) + 0.05
    values = [v.to(dtype).to(device).contiguous() for v in (densities, edges[:, 0], edges[:, 1])]
    return values, offsets, (1 + torch.rand(len(counts), generator=g)).to(dtype).to(device)


def test_packed_intervals_and_their_gradients(device):
    if runtime.device() == "vulkan":
        pytest.skip("Vulkan has no exp of float64")
    values, offsets, lengths = packed([3, 0, 5, 1], device, torch.float64)
    leaves, u = [v.requires_grad_() for v in values], uniforms(4, 6, device, torch.float64)
    run = lambda *v: draw_from_samples(*v, offsets, u, lengths=lengths)[:2]  # noqa: E731
    assert torch.autograd.gradcheck(run, leaves, eps=1e-7, atol=1e-5)
    for got, want in zip(run(*leaves), twin.draw_from_samples(*leaves, offsets, u, lengths=lengths), strict=True):
        assert torch.allclose(got, want, atol=1e-9)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-4)])
def test_many_packed_rays_are_those_of_knots(device, dtype, tolerance):
    """Intervals without gaps are bins between knots, up to the rounding of two kernels, which thin bins magnify."""
    if runtime.device() == "vulkan" and dtype == torch.float64:
        pytest.skip("Vulkan has no exp of float64")
    t, s, lengths = spline(2000, 17, device, dtype, linear=False)
    u = uniforms(2000, 8, device, dtype)
    dense = draw_from_knots(t, s, u, lengths=lengths)
    offsets = torch.arange(2001, dtype=torch.int32, device=device) * 16
    flat = draw_from_samples(s.reshape(-1), t[:, :-1].reshape(-1), t[:, 1:].reshape(-1), offsets, u, lengths=lengths)
    for got, want in zip(flat[:2], dense[:2], strict=True):
        assert torch.allclose(got, want, rtol=0, atol=tolerance)


def test_samples_ascend_where_the_logarithm_changes_its_formula(device):
    """Rounding there turns the order of thicknesses round, in some of these rays over the border between two chunks of bins."""
    rays = 400
    t = torch.linspace(0, 1, 129, device=device).repeat(rays, 1).requires_grad_()
    s = torch.full((rays, 128), 1.054)
    s[:, :64] = -2 * math.log(0.8) * (1 + 1e-8 * (torch.arange(rays)[:, None] - rays / 2))
    s = s.to(device).requires_grad_()
    opacity = draw_from_knots(t, s, torch.zeros(rays, 1, device=device)).opacity.detach().double().cpu()
    u = (0.2 / opacity[:, None] + torch.arange(-32, 32) * 2.0**-25).float().to(device)
    drawn, _, _ = draw_from_knots(t, s, u)
    drawn.sum().backward()
    assert (drawn.diff() >= -1e-6).all() and s.grad.isfinite().all()
    assert (t.grad.sum(1) - 64).abs().max() < 1e-3  # a ray moves, and its samples with it


def test_a_density_that_is_no_number_is_seen(device):
    if runtime.is_gpu():
        pytest.skip("what becomes of it is the driver's choice")
    drawn = draw_from_knots(*(torch.tensor([row]) for row in ([0.0, 1, 2, 3], [1, math.nan, 1], [0, 0.5, 1])))
    assert drawn.opacity.isnan().all()


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-5)])
@pytest.mark.parametrize(("knots", "scale"), [(2, 1.0), (32, 5.0), (1024, 20.0), (64, 1e-6), (64, 300.0)])
def test_the_distribution_function_at_the_samples(device, dtype, tolerance, knots, scale):
    if runtime.device() == "vulkan" and dtype == torch.float64:
        pytest.skip("Vulkan has no exp of float64")
    t, s, lengths = spline(300, knots, device, dtype, scale=scale)
    s[:, 0] += 0.01 * scale
    u = uniforms(300, 50, device, dtype)
    drawn, opacity, _ = draw_from_knots(t, s, u, lengths=lengths)
    phi, total = thickness_upto(t, s, lengths, drawn)
    y = -torch.expm1(-total)
    assert (opacity.cpu().double() - y).abs().max() < tolerance
    rounding = drawn.abs().cpu().double() * torch.finfo(dtype).eps * s.amax().cpu() * 2  # of t itself
    error = (-torch.expm1(-phi) - u.cpu().double() * y[:, None]).abs()
    assert (error < tolerance + rounding).all() and (drawn.diff(dim=1) >= 0).all()
    if scale < 1e-3:  # nearly empty rays keep relative precision
        assert (error < 1e3 * torch.finfo(dtype).eps * y.max().item() + rounding).all()


def test_rays_without_density_are_sampled_evenly(device):
    t = torch.tensor([[2.0, 2.5, 4.0]], device=device, requires_grad=True)
    s = torch.zeros(1, 3, device=device, requires_grad=True)
    drawn, opacity, _ = draw_from_knots(t, s, torch.tensor([[0.0, 0.25, 1.0]], device=device))
    assert drawn.tolist() == [[2, 2.5, 4]] and opacity.tolist() == [0]
    (drawn.sum() + opacity.sum()).backward()
    assert s.grad.isfinite().all() and s.grad[0, 1].item() == pytest.approx(1.0)  # of the opacity: half of both bins' widths
    assert t.grad.tolist() == [[1.75, 0, 1.25]]


def test_long_rays_without_density(device):
    """The same where there are many bins and many samples."""
    t = torch.linspace(0, 1, 256, device=device)[None].requires_grad_()
    s = torch.zeros(1, 255, device=device, requires_grad=True)
    drawn, opacity, _ = draw_from_knots(t, s, torch.linspace(0, 1, 256, device=device)[None])
    (drawn.sum() + opacity.sum()).backward()
    assert t.grad[0, [0, -1]].tolist() == pytest.approx([128, 128], rel=1e-5) and (t.grad[0, 1:-1] == 0).all()
    assert s.grad.sum().item() == pytest.approx(1, rel=1e-4)


@pytest.mark.parametrize("solid", [1e4, 1e8, 1e12])
def test_one_opaque_bin(device, solid):
    """All samples lie in it, near its front, and the first ones before it where there is fog."""
    t = torch.linspace(0, 1, 11, device=device)[None].requires_grad_()
    s = torch.full((1, 10), 0.5, device=device)
    s[0, 6] = solid
    s.requires_grad_()
    u = stratified(1, 64, None, device)
    drawn, opacity, _ = draw_from_knots(t, s, u)
    before = 1 - math.exp(-0.3)
    assert opacity.item() == 1
    fog = u < before
    assert torch.allclose(drawn[fog], -2 * torch.log1p(-u[fog]), atol=1e-6)
    assert ((drawn[~fog] >= 0.6 - 1e-6) & (drawn[~fog] < 0.6 + 10 / solid + 1e-6)).all()
    drawn.sum().backward()
    assert s.grad.isfinite().all() and t.grad.isfinite().all()
    assert t.grad.sum().item() == pytest.approx(64, rel=1e-4)  # all knots moved together move all samples


def test_gradients_where_a_third_of_the_knots_have_no_density(device):
    """In single precision beside the twin's in double, of samples where there is some."""
    t, s, lengths = spline(400, 24, device)
    u = uniforms(400, 8, device)
    results = []
    for function, dtype in ((draw_from_knots, torch.float32), (twin.draw_from_knots, torch.float64)):
        where = device if dtype == torch.float32 else "cpu"
        leaf = s.detach().to(where, dtype).clone().requires_grad_()
        drawn, opacity = function(t.to(where, dtype), leaf, u.to(where, dtype), lengths=lengths.to(where, dtype))[:2]
        (opacity[:, None] * torch.sin(drawn)).sum().backward()
        results.append((drawn.detach().cpu().double(), leaf.grad.cpu().double()))
    (got, grads), (want, wanted) = results
    assert (got - want).abs().max() < 5e-3 and grads.isfinite().all()
    close = ((grads - wanted).abs() < 1e-2 * (1 + wanted.abs())).all(1)
    assert close.float().mean() > 0.97  # the others have a sample at the edge of an empty bin, where its slope is infinite


def test_rates_are_the_density_at_the_places(device):
    t, s, lengths = spline(300, 12, device)
    drawn, _, rates = draw_from_knots(t, s + 0.1, uniforms(300, 7, device), lengths=lengths)
    bins = (torch.searchsorted(t, drawn.contiguous(), right=True) - 1).clamp(0, 10)
    fraction = (drawn - t.gather(1, bins)) / (t.gather(1, bins + 1) - t.gather(1, bins))
    density = (s + 0.1).gather(1, bins) * (1 - fraction) + (s + 0.1).gather(1, bins + 1) * fraction
    assert torch.allclose(rates, density * lengths[:, None], rtol=2e-3, atol=2e-3)


def test_bins_without_density_hold_no_sample(device):
    t = torch.tensor([[0.0, 1, 2, 3, 4]], device=device)
    s = torch.tensor([[0.0, 1, 0, 2]], device=device)
    drawn = draw_from_knots(t, torch.cat([s, s[:, :0]], 1), torch.linspace(0, 1, 101, device=device)[None]).t
    assert (((drawn >= 1) & (drawn <= 2)) | ((drawn >= 3) & (drawn <= 4))).all()
    assert drawn[0, 0] == 1 and drawn[0, -1].item() == pytest.approx(4, abs=1e-5)
    end = draw_from_knots(t, torch.tensor([[0.0, 1, 0, 0]], device=device), torch.tensor([[1.0]], device=device)).t
    assert end.item() == pytest.approx(2, abs=1e-6)  # not in the empty bins behind


def test_distances_are_in_world_units(device):
    """A direction of twice the length with half the t is the same ray."""
    t, s, _ = spline(20, 16, device)
    u = uniforms(20, 9, device)
    one = draw_from_knots(t, s, u)
    two = draw_from_knots(t / 2, s, u, lengths=torch.full((20,), 2.0, device=device))
    assert torch.allclose(one.t, 2 * two.t, atol=1e-4) and torch.allclose(one.opacity, two.opacity, atol=1e-6)


def test_an_expectation_is_the_composite_and_so_is_its_gradient(device):
    """y times the mean of c at the samples is int c dF, for any c, to the error of the midpoint rule."""
    t, s, _ = spline(30, 12, device)
    s = (s + 0.05).requires_grad_()
    count = 4096
    drawn, opacity, _ = draw_from_knots(t, s, stratified(30, count, None, device).contiguous())
    estimate = opacity * torch.sin(3 * drawn).mean(1)
    estimate.sum().backward()
    fine = torch.linspace(0, 1, 20_001, dtype=torch.float64)
    again = s.detach().cpu().double().requires_grad_()
    knots = t.cpu().double()
    x = knots[:, :1] + (knots[:, -1:] - knots[:, :1]) * fine
    bins = (torch.searchsorted(knots, x.contiguous(), right=True) - 1).clamp(0, 10)
    fraction = (x - knots.gather(1, bins)) / (knots.gather(1, bins + 1) - knots.gather(1, bins))
    density = again.gather(1, bins) * (1 - fraction) + again.gather(1, bins + 1) * fraction
    steps = x.diff(dim=1)
    phi = torch.cat([torch.zeros(30, 1), ((density[:, 1:] + density[:, :-1]) / 2 * steps).cumsum(1)], 1)
    middle = torch.sin(3 * (x[:, 1:] + x[:, :-1]) / 2)
    exact = (middle * -torch.exp(-phi).diff(dim=1)).sum(1)
    exact.sum().backward()
    assert torch.allclose(estimate.detach().cpu().double(), exact.detach(), atol=1e-4)
    assert torch.allclose(s.grad.cpu().double(), again.grad, atol=1e-3)


def test_nothing_to_do_and_wrong_shapes(device):
    t, s, _ = spline(3, 4, device)
    drawn = draw_from_knots(t, leaf := s.clone().requires_grad_(), torch.zeros(3, 0, device=device))
    assert drawn.t.shape == drawn.densities.shape == (3, 0)
    drawn.opacity.sum().backward()
    thick = lambda s: ((s[:, 1:] + s[:, :-1]) / 2 * t.diff(dim=1)).sum(1)  # noqa: E731
    (wanted,) = torch.autograd.grad(-torch.expm1(-thick(again := s.clone().requires_grad_())).sum(), again)
    assert torch.allclose(drawn.opacity, -torch.expm1(-thick(s)), atol=1e-6) and torch.allclose(leaf.grad, wanted, atol=1e-6)
    none = draw_from_knots(t[:0], s[:0].requires_grad_(), torch.zeros(0, 2, device=device))
    none.t.sum().backward()
    assert none.t.shape == (0, 2)
    for bad in ((t[:, :-2], s), (t[:2], s), (t[:, :1], s[:, :1])):
        with pytest.raises(ValueError, match="expected knots"):
            draw_from_knots(*bad, torch.zeros(3, 2, device=device))
    with pytest.raises(ValueError, match="expected lengths"):
        draw_from_knots(t, s, torch.zeros(3, 2, device=device), lengths=torch.ones(2, device=device))
    with pytest.raises(ValueError, match="one type"):
        draw_from_knots(t, s, torch.zeros(3, 2, device=device, dtype=torch.float64))
    with pytest.raises(ValueError, match="expected densities, t_starts"):
        draw_from_samples(s[0], t[0], t[0, :-1], torch.tensor([0, 4], dtype=torch.int32), torch.zeros(1, 2))
