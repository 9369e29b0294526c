"""Samples that are seen: a ray's first ones, as the twin says; none lost, none of another ray."""

import math

import pytest
import torch

from taichi_kernels.visibility import visible_samples
from tests.reference import visibility as twin


def packed(rays, most, seed=0):
    """Random samples with gaps, some rays without any."""
    g = torch.Generator().manual_seed(seed)
    counts = torch.randint(0, most + 1, (rays,), generator=g)
    counts[::7] = 0
    offsets = torch.cat([torch.zeros(1, dtype=torch.long), counts.cumsum(0)]).int()
    total = int(offsets[-1])
    widths = 0.01 + 0.05 * torch.rand(total, generator=g)
    starts = torch.rand(total, generator=g).cumsum(0)
    densities = 10 * torch.rand(total, generator=g) ** 4
    return densities, starts, starts + widths, offsets, 0.5 + torch.rand(rays, generator=g), torch.rand(rays, generator=g)


@pytest.mark.parametrize("rays, most, least", [(5, 3, 0.01), (700, 40, 0.1), (3000, 200, 0.3), (50, 20, 0.0), (40, 20, 2.0)])
def test_like_the_twin(device, rays, most, least):
    inputs = packed(rays, most)
    found = visible_samples(*(t.to(device) for t in inputs), min_transmittance=least)
    index, offsets, left = twin.visible_samples(*inputs, min_transmittance=least)
    assert found.index.tolist() == index and found.offsets.tolist() == offsets
    assert torch.allclose(found.transmittance.cpu(), torch.tensor(left), atol=1e-5)
    if least in (0.0, 2.0):  # everything is seen, or nothing
        assert len(index) == (len(inputs[0]) if least == 0 else 0)
    elif rays > 100:
        assert 0 < len(index) < len(inputs[0])


def test_by_hand(device):
    """Thickness ln 2 a sample: 1, 1/2, 1/4 before the first, second, third; the second ray starts at 1/2."""
    two = torch.full((6,), math.log(2) / 0.25, device=device)
    starts = torch.tensor([0, 1, 2, 0, 1, 2.0], device=device)
    offsets = torch.tensor([0, 3, 6], dtype=torch.int32, device=device)
    lengths, clear = torch.tensor([0.5, 0.5], device=device), torch.tensor([1, 0.5], device=device)
    found = visible_samples(two, starts, starts + 0.5, offsets, lengths, clear, min_transmittance=0.3)
    assert found.index.tolist() == [0, 1, 3] and found.offsets.tolist() == [0, 2, 3]
    assert found.transmittance.tolist() == pytest.approx([0.25, 0.25], rel=1e-6)


@pytest.mark.parametrize("density", [0.0, 1e30, float("inf")])
def test_extremes(device, density):
    """Nothing hides nothing, and a wall hides all behind it but not itself."""
    offsets = torch.tensor([0, 4, 4, 6], dtype=torch.int32, device=device)
    starts = torch.arange(6.0, device=device)
    ones = torch.ones(3, device=device)
    found = visible_samples(
        torch.full((6,), density, device=device), starts, starts + 1, offsets, ones, ones, min_transmittance=1e-3
    )
    assert found.index.tolist() == (list(range(6)) if density == 0 else [0, 4])
    assert found.transmittance.tolist() == ([1, 1, 1] if density == 0 else [0, 1, 0])


def test_no_rays_and_no_samples(device):
    none = torch.zeros(0, device=device)
    found = visible_samples(none, none, none, torch.zeros(1, dtype=torch.int32, device=device), none, none, min_transmittance=0.1)
    assert len(found.index) == 0 and found.offsets.tolist() == [0]
    ones = torch.ones(2, device=device)
    found = visible_samples(none, none, none, torch.zeros(3, dtype=torch.int32, device=device), ones, ones, min_transmittance=0.1)
    assert found.offsets.tolist() == [0, 0, 0] and found.transmittance.tolist() == [1, 1]


def test_shapes_are_checked(device):
    with pytest.raises(ValueError, match="densities"):
        visible_samples(*(torch.zeros(n, device=device) for n in (3, 3, 2, 2, 1, 1)), min_transmittance=0.1)
