"""Dilated histograms: against the twin, worked by hand, and at extremes."""

import numpy as np
import pytest
import torch

from taichi_kernels.dilation import dilate
from tests.reference import dilation as twin


def histogram(rays, bins, dtype, seed=0):
    g = torch.Generator().manual_seed(seed)
    widths = torch.rand(rays, bins + 1, generator=g, dtype=torch.float64) ** 4 + 1e-3
    edges = (widths.cumsum(1) - widths[:, :1]) / widths[:, 1:].sum(1, keepdim=True)
    weights = torch.rand(rays, bins, generator=g, dtype=torch.float64) ** 4
    weights[torch.rand(rays, bins, generator=g) < 0.4] = 0
    return edges.to(dtype), weights.to(dtype)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-9)])
@pytest.mark.parametrize(("rays", "bins", "radius"), [(300, 64, 0.01), (20, 48, 0.2), (5, 1, 0.1), (30, 16, 0.0), (30, 16, 3.0)])
def test_agrees_with_twin(device, dtype, tolerance, rays, bins, radius):
    edges, weights = histogram(rays, bins, dtype)
    got = [t.cpu().numpy() for t in dilate(edges.to(device), weights.to(device), radius)]
    want = twin.dilate(edges.double(), weights.double(), radius)
    np.testing.assert_allclose(got[0], want[0], atol=1e-6)
    # an interval of no width may be on either side of a bin's end
    np.testing.assert_allclose(got[1], want[1], atol=tolerance * want[1].max() + 1e-6 * want[1].max() / 1e-3)
    assert (np.diff(got[0], axis=1) >= 0).all() and got[0].min() >= 0 and got[0].max() <= 1 + 1e-6


def test_by_hand(device):
    """A peak of density 4 in [0.5, 0.75], widened by 0.125 on both sides."""
    edges = torch.tensor([[0, 0.5, 0.75, 1]], device=device)
    wide, weights = dilate(edges, torch.tensor([[0, 1.0, 0]], device=device), 0.125)
    density = {
        float(low): float(w / (high - low)) for low, high, w in zip(wide[0], wide[0, 1:], weights[0], strict=False) if high > low
    }
    assert density == {0: 0, 0.375: 4, 0.5: 4, 0.625: 4, 0.75: 4, 0.875: 0}


def test_weights_are_at_least_the_old_ones(device):
    edges, weights = histogram(50, 32, torch.float32, seed=3)
    _, wide = dilate(edges.to(device), weights.to(device), 0.02)
    assert (wide.sum(1).cpu() >= weights.sum(1) * (1 - 1e-5)).all()


def test_empty_bins_nothing_to_do_and_mistakes(device):
    edges = torch.zeros(2, 5, device=device)
    wide, weights = dilate(edges, torch.zeros(2, 4, device=device), 0.1)
    assert (wide == 0).all() and (weights == 0).all()
    assert dilate(edges[:0], torch.zeros(0, 4, device=device), 0.1)[0].shape == (0, 13)
    for bad in ((edges, torch.zeros(2, 5, device=device), 0.1), (edges[:, :1], torch.zeros(2, 0, device=device), 0.1)):
        with pytest.raises(ValueError, match="expected edges"):
            dilate(*bad)
    with pytest.raises(ValueError, match="radius of at least 0"):
        dilate(edges, torch.zeros(2, 4, device=device), -1.0)
