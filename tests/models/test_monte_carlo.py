"""Estimates of a ray's colour: their values, and their gradients to the density, where light jumps from surface to surface."""

import pytest
import torch

from models.monte_carlo import estimate, estimate_by_borders, with_borders
from taichi_kernels import runtime
from taichi_kernels.compositing import composite
from taichi_kernels.inverse_transform import draw_from_samples
from taichi_kernels.sampling import stratified


@pytest.fixture(autouse=True)
def double_precision():
    if runtime.device() == "vulkan":
        pytest.skip("Vulkan has no exp of float64")


def ray(device, *, gap=1.0):
    """Two slabs of 8 intervals each, and the distance between them; rays of 300 draws of the same."""
    edges = torch.linspace(0, 1, 9, dtype=torch.float64)
    starts = torch.cat([edges[:-1], 1 + gap + edges[:-1]])
    return starts.to(device), (starts + edges[1]).to(device), torch.linspace(0.5, 1.5, 16, dtype=torch.float64, device=device)


def repeated(values, times):
    return [value.repeat(times) for value in values]


def colour(t):
    """Smooth on each slab, and another on the other."""
    return torch.where(t < 1.5, torch.sin(t), 2 + torch.cos(t))[..., None]


def mean_gradient(estimator, calls, device, gap):
    starts, ends, densities = ray(device, gap=gap)
    leaf, rays = densities.clone().requires_grad_(), 2000
    offsets = torch.arange(rays + 1, dtype=torch.int32, device=device) * 16
    numbers = stratified(rays, calls, torch.Generator().manual_seed(0), device).double()
    numbers = with_borders(numbers) if estimator is estimate_by_borders else numbers
    drawn = draw_from_samples(leaf.repeat(rays), *repeated((starts, ends), rays), offsets, numbers)
    t = drawn.t[:, ::2].detach() if estimator is estimate_by_borders else drawn.t
    values = estimator(drawn, colour(t))
    return values.mean(), torch.autograd.grad(values.mean(), leaf)[0]


def exact(device, gap):
    """By compositing, each interval cut in 200."""
    starts, ends, densities = ray(device, gap=gap)
    leaf, parts = densities.clone().requires_grad_(), 200
    cuts = starts[:, None] + (ends - starts)[:, None] * torch.linspace(0, 1, parts + 1, dtype=torch.float64, device=device)
    low, high = cuts[:, :-1].reshape(1, -1), cuts[:, 1:].reshape(1, -1)
    shown = composite(leaf.repeat_interleave(parts)[None], colour((low + high) / 2), low, high).colour.sum()
    return shown.detach(), torch.autograd.grad(shown, leaf)[0]


@pytest.mark.parametrize("gap", [0.0, 1.0])
def test_gradients_over_a_gap(device, gap):
    """By borders they tend to the exact ones with the number of calls; through the drawn t they do so only without a jump."""
    wanted, gradient = exact(device, gap)
    off = lambda g: ((g - gradient).norm() / gradient.norm()).item()  # noqa: E731
    values, errors = zip(
        *((v.item(), off(g)) for v, g in (mean_gradient(estimate_by_borders, k, device, gap) for k in (8, 64))), strict=True
    )
    assert values == pytest.approx([wanted.item()] * 2, rel=0.01)
    assert errors[0] < 0.25 and errors[1] < 0.04, errors
    value, through_t = mean_gradient(estimate, 64, device, gap)
    assert value.item() == pytest.approx(wanted.item(), rel=0.01)
    assert off(through_t) > 0.3  # the colour jumps between the slabs, and no t moves over the jump


def test_both_give_the_same_values(device):
    starts, ends, densities = ray(device)
    offsets = torch.tensor([0, 16], dtype=torch.int32, device=device)
    strata = stratified(1, 5, None, device).double()
    one = draw_from_samples(densities, starts, ends, offsets, strata)
    two = draw_from_samples(densities, starts, ends, offsets, with_borders(strata))
    assert torch.allclose(one.t, two.t[:, ::2])
    assert torch.allclose(estimate(one, colour(one.t)), estimate_by_borders(two, colour(two.t[:, ::2])))


def test_borders_lie_between_the_strata():
    assert with_borders(torch.tensor([[0.2, 0.9]])).tolist() == [[pytest.approx(0.2), 0.5, pytest.approx(0.9)]]
    assert with_borders(torch.tensor([[0.3]])).tolist() == [[pytest.approx(0.3)]]
