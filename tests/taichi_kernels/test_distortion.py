"""The distortion of weights along rays: against its twin, worked by hand, and against t drawn by the weights."""

import pytest
import torch

from taichi_kernels.distortion import distortion
from tests.reference import distortion as twin


def packed(counts, dtype, device, seed=0):
    g = torch.Generator().manual_seed(seed)
    total = sum(counts)
    steps = torch.rand(2 * total, generator=g, dtype=torch.float64) * 0.2 + 0.01
    edges = torch.cat([2 + part.cumsum(0) for part in steps.split([2 * c for c in counts])]).view(total, 2)
    values = torch.rand(total, generator=g, dtype=torch.float64) ** 3, edges[:, 0], edges[:, 1]
    return [t.to(dtype).to(device).contiguous() for t in values], torch.tensor([0, *counts]).cumsum(0).to(torch.int32).to(device)


@pytest.mark.parametrize("counts", [[3, 0, 5], [64] * 200, [1, 500, 0, 0, 2]])
def test_agrees_with_twin(device, counts):
    values, offsets = packed(counts, torch.float32, device)
    results = []
    for function in (distortion, twin.distortion):
        leaves = [t.clone().requires_grad_() for t in values]
        out = function(*leaves, offsets)
        (out * torch.linspace(-1, 1, len(out), device=device)).sum().backward()
        results.append([out.detach(), *(t.grad for t in leaves)])
    for got, want in zip(*results, strict=True):
        assert torch.allclose(got, want, rtol=1e-3, atol=1e-3 * float(want.abs().max())), (got - want).abs().max()


def test_gradcheck_float64(device):
    values, offsets = packed([4, 0, 6, 1], torch.float64, device)
    assert torch.autograd.gradcheck(lambda *v: distortion(*v, offsets), [t.requires_grad_() for t in values])


def test_by_hand(device):
    """Half of the weight in [0, 1], half in [3, 4]: two halves of mean distance 3, and a third of the width inside each."""
    weights, starts, ends = (torch.tensor([row], device=device) for row in ([0.5, 0.5], [0.0, 3], [1.0, 4]))
    assert distortion(weights, starts, ends).item() == pytest.approx(2 * 0.25 * 3 + 2 * 0.25 / 3)
    assert distortion(weights, starts + 1000, ends + 1000).item() == pytest.approx(2 * 0.25 * 3 + 2 * 0.25 / 3, rel=1e-4)


def test_is_the_mean_distance_of_two_places():
    (weights, starts, ends), offsets = packed([30], torch.float64, "cpu")
    weights = weights / weights.sum()
    draw = torch.multinomial(weights, 400_000, replacement=True, generator=torch.Generator().manual_seed(0)).view(2, -1)
    drawn = starts[draw] + torch.rand(draw.shape, generator=torch.Generator().manual_seed(1)) * (ends - starts)[draw]
    apart = float((drawn[0] - drawn[1]).abs().mean())
    assert distortion(weights, starts, ends, offsets).item() == pytest.approx(apart, rel=0.01)


def test_nothing_and_mistakes(device):
    none = torch.zeros(0, device=device)
    assert distortion(none, none, none, torch.zeros(3, dtype=torch.int32, device=device)).tolist() == [0, 0]
    with pytest.raises(ValueError, match="expected weights"):
        distortion(torch.zeros(3, device=device), torch.zeros(3, device=device), torch.zeros(3, device=device))
