"""Compositing along rays: against its twin, against integrals worked by hand, and at the extremes."""

import math

import pytest
import torch

from taichi_kernels import runtime
from taichi_kernels.compositing import composite
from tests.reference import compositing as twin


def packed(counts, channels, dtype, device, seed=0):
    """(densities, colours, starts, ends), offsets and lengths of rays with these numbers of samples and gaps between them."""
    g = torch.Generator().manual_seed(seed)
    rand = lambda *s: torch.rand(*s, generator=g, dtype=torch.float64)  # noqa: E731
    total = sum(counts)
    offsets = torch.tensor([0, *counts]).cumsum(0).to(torch.int32)
    steps = rand(2 * total) * 0.2 + 0.01
    edges = torch.cat([2 + part.cumsum(0) for part in steps.split([2 * c for c in counts])]).view(total, 2)
    samples = [rand(total) ** 4 * 30, rand(total, channels), edges[:, 0], edges[:, 1]]
    return [t.to(dtype).to(device) for t in samples], offsets.to(device), (1 + rand(len(counts))).to(dtype).to(device)


@pytest.mark.parametrize("counts, channels", [([3, 0, 5], 3), ([64] * 300, 3), ([1, 700, 0, 0, 2], 1), ([17] * 2000, 4)])
def test_agrees_with_twin(device, counts, channels):
    values, offsets, lengths = packed(counts, channels, torch.float32, device)
    results = []
    for function in (composite, twin.composite):
        leaves = [t.clone().requires_grad_() for t in values]
        out = function(*leaves, offsets=offsets, lengths=lengths)
        watched = [out[0], out[1], out[2], out[4]]
        sum((o * torch.linspace(-1, 1, o.numel(), device=device).view_as(o)).sum() for o in watched).backward()
        results.append([o.detach() for o in out] + [t.grad for t in leaves])
    for got, want in zip(*results, strict=True):
        assert torch.allclose(got, want, rtol=2e-4, atol=2e-4), (got - want).abs().max()


@pytest.mark.parametrize("scale", [1.0, 1e-3, 30.0])
def test_gradcheck_float64(device, scale):
    if runtime.device() == "vulkan":
        pytest.skip("Vulkan has no exp of float64")
    (densities, *rest), offsets, lengths = packed([4, 0, 6, 1], 2, torch.float64, device)
    leaves = [t.requires_grad_() for t in (densities * scale, *rest)]

    def run(*leaves):
        out = composite(*leaves, offsets=offsets, lengths=lengths)
        return out.colour, out.transmittance, out.depth, out.weights

    assert torch.autograd.gradcheck(run, leaves, atol=1e-6)


def test_splitting_intervals_changes_nothing(device):
    (densities, colours, starts, ends), offsets, lengths = packed([40] * 50, 3, torch.float32, device)
    whole = composite(densities, colours, starts, ends, offsets=offsets, lengths=lengths)
    parts = 7
    cuts = starts[:, None] + (ends - starts)[:, None] * torch.linspace(0, 1, parts + 1, device=device)
    again = [densities.repeat_interleave(parts), colours.repeat_interleave(parts, 0)]
    split = composite(*again, cuts[:, :-1].reshape(-1), cuts[:, 1:].reshape(-1), offsets=offsets * parts, lengths=lengths)
    for name, tolerance in (("colour", 1e-6), ("transmittance", 1e-6), ("depth", 1e-5), ("median", 1e-5)):
        assert torch.allclose(getattr(whole, name), getattr(split, name), rtol=0, atol=tolerance), name
    assert torch.allclose(whole.weights, split.weights.view(-1, parts).sum(1), atol=1e-6)


def test_a_slab_worked_by_hand(device):
    """Density 3 from t = 2 to 4: the closed forms of opacity, mean and median depth, for any number of samples."""
    clear = math.exp(-6)
    mean = 2 + 1 / 3 - 2 * clear / (1 - clear)
    for count in (1, 4, 256):
        edges = torch.linspace(2, 4, count + 1, device=device)
        one = torch.ones(1, count, device=device)
        out = composite(3 * one, one[..., None], edges[None, :-1], edges[None, 1:])
        assert out.transmittance.item() == pytest.approx(clear, rel=1e-5)
        assert out.colour.item() == pytest.approx(1 - clear, rel=1e-6)
        assert (out.depth / (1 - out.transmittance)).item() == pytest.approx(mean, rel=1e-5)
        assert out.median.item() == pytest.approx(2 + math.log(2) / 3, rel=1e-5)
        assert out.weights.shape == (1, count)


def test_twice_the_length_is_twice_the_density(device):
    (densities, *rest), offsets, lengths = packed([9] * 30, 3, torch.float32, device)
    long = composite(densities, *rest, offsets=offsets, lengths=2 * lengths)
    dense = composite(2 * densities, *rest, offsets=offsets, lengths=lengths)
    assert torch.equal(long.colour, dense.colour) and torch.equal(long.median, dense.median)


def test_rays_do_not_touch_each_other(device):
    """A ray's result and gradients are the same alone as among others."""
    values, offsets, lengths = packed([5, 8, 0, 3], 3, torch.float32, device)
    leaves = [t.requires_grad_() for t in values]
    composite(*leaves, offsets=offsets, lengths=lengths).colour.sum().backward()
    part = slice(5, 13)
    alone = [t.detach()[part].clone().requires_grad_() for t in leaves]
    own = torch.tensor([0, 8], dtype=torch.int32, device=device)
    composite(*alone, offsets=own, lengths=lengths[1:2]).colour.sum().backward()
    for leaf, one in zip(leaves, alone, strict=True):
        assert torch.equal(leaf.grad[part], one.grad)


@pytest.mark.parametrize("density, width", [(0.0, 0.1), (1e10, 0.1), (1e30, 1.0), (1e-30, 1.0), (3.0, 1e10), (5.0, 0.0)])
def test_extremes_stay_finite(device, density, width):
    densities = torch.full((2, 3), density, device=device)
    starts = torch.arange(3.0, device=device).expand(2, 3).contiguous() * width
    leaves = [t.requires_grad_() for t in (densities, torch.rand(2, 3, 3, device=device), starts, (starts + width).clone())]
    out = composite(*leaves)
    assert torch.isfinite(out.colour).all() and torch.isfinite(out.depth).all()
    assert (out.weights.sum(1) + out.transmittance - 1).abs().max() < 1e-6
    (out.colour.sum() + out.depth.sum() + out.transmittance.sum() + (out.weights**2).sum()).backward()
    assert all(torch.isfinite(leaf.grad).all() for leaf in leaves)


def test_no_rays_and_no_samples(device):
    none = torch.zeros(0, device=device)
    out = composite(none, torch.zeros(0, 3, device=device), none, none, offsets=torch.zeros(4, dtype=torch.int32, device=device))
    assert (out.colour == 0).all() and (out.transmittance == 1).all() and out.colour.shape == (3, 3)
    assert torch.isinf(out.median).all()
    out = composite(none, torch.zeros(0, 3, device=device), none, none, offsets=torch.zeros(1, dtype=torch.int32, device=device))
    assert out.colour.shape == (0, 3)


def test_shapes_that_do_not_fit_are_told(device):
    one = torch.ones(4, device=device)
    with pytest.raises(ValueError, match="expected densities"):
        composite(one, torch.ones(3, 3, device=device), one, one)
    with pytest.raises(ValueError, match="need offsets"):
        composite(one, torch.ones(4, 3, device=device), one, one)


@pytest.mark.parametrize("counts", [[4, 0, 6, 1], [16] * 5, [15, 17, 33, 700]])
def test_what_is_not_asked_for_changes_nothing_else(device, counts):
    """Without depth, without gradients to t or of weights: the same colours and the same gradients."""
    (densities, colours, starts, ends), offsets, lengths = packed(counts, 3, torch.float32, device)
    kept = []
    for plain in (True, False):
        s, c = densities.clone().requires_grad_(), colours.clone().requires_grad_()
        a, b = starts.clone().requires_grad_(not plain), ends.clone().requires_grad_(not plain)
        out = composite(s, c, a, b, offsets=offsets, lengths=lengths, depth=not plain)
        ((out.colour**2).sum() + out.transmittance.sum() + (0 if plain else 0 * (out.depth.sum() + out.weights.sum()))).backward()
        kept.append([out.colour.detach(), out.transmittance.detach(), out.weights.detach(), s.grad, c.grad])
        assert (out.depth is None) == (out.median is None) == plain and (a.grad is None) == plain
    for one, other in zip(*kept, strict=True):
        assert torch.allclose(one, other, rtol=1e-5, atol=1e-7)


def test_numbers_that_are_none_stay_none(device):
    (densities, colours, starts, ends), offsets, lengths = packed([5, 5], 3, torch.float32, device)
    densities[2] = math.nan
    out = composite(densities, colours, starts, ends, offsets=offsets, lengths=lengths)
    assert out.transmittance[0].isnan() and out.transmittance[1].isfinite() and out.colour[1].isfinite().all()


def test_exponentials_to_the_last_digits(device):
    """1 - exp(-x) of single intervals over all magnitudes, to a few units of the last place."""
    x = torch.logspace(-12, 3, 4000, dtype=torch.float64)
    zero = torch.zeros_like(x, dtype=torch.float32).to(device)
    out = composite(x.float().to(device)[:, None], zero[:, None, None], zero[:, None], zero[:, None] + 1)
    want = -torch.expm1(-x.float().double())
    assert ((out.weights[:, 0].cpu().double() - want) / want).abs().max() < 5e-7
    rows = composite(x.float().to(device)[None], zero[None, :, None], zero[None], zero[None] + 1)
    assert rows.weights.isfinite().all() and rows.weights.sum().item() == pytest.approx(1, abs=1e-5)
