"""Places along rays: strata, disparity, and the inverse of the distribution function."""

import numpy as np
import pytest
import torch

from taichi_kernels.sampling import along, inverse_cdf, stratified
from tests.reference import sampling as twin


def bins(rays, count, device, seed=0):
    g = torch.Generator().manual_seed(seed)
    edges = torch.rand(rays, count + 1, generator=g).cumsum(1) + 2
    weights = torch.rand(rays, count, generator=g) ** 4
    weights[torch.rand(rays, count, generator=g) < 0.4] = 0
    return edges.to(device), weights.to(device)


@pytest.mark.parametrize("rays, count, samples", [(700, 64, 128), (3, 1, 5), (40, 200, 1)])
def test_inverse_agrees_with_twin(device, rays, count, samples):
    edges, weights = bins(rays, count, device)
    u = stratified(rays, samples, torch.Generator().manual_seed(4), device)
    got = inverse_cdf(edges, weights, u).cpu().numpy()
    want = twin.inverse_cdf(edges.cpu(), weights.cpu(), u.cpu())
    # a uniform number at a step of the curve may be met on its other side
    assert (np.abs(got - want) > 1e-4).mean() < 2e-3
    assert (np.diff(got, axis=1) >= 0).all()


def test_samples_are_distributed_as_the_weights(device):
    edges = torch.tensor([[0.0, 1, 1.5, 4, 5]], device=device).expand(100, 5)
    weights = torch.tensor([[1.0, 0, 2, 5]], device=device).expand(100, 4)
    samples = inverse_cdf(edges, weights, stratified(100, 800, torch.Generator().manual_seed(0), device)).flatten()
    fractions = torch.histogram(samples.cpu(), torch.tensor([0.0, 1, 1.5, 4, 5]))[0] / 80_000
    assert fractions.tolist() == pytest.approx([1 / 8, 0, 2 / 8, 5 / 8], abs=2e-4)
    # even inside each bin: no bias in the offset
    assert samples[samples < 1].mean().item() == pytest.approx(0.5, abs=1e-3)
    assert samples[samples >= 4].mean().item() == pytest.approx(4.5, abs=1e-3)


def test_no_weight_anywhere_is_even(device):
    edges = torch.tensor([[2.0, 3, 6]], device=device)
    got = inverse_cdf(edges, torch.zeros(1, 2, device=device), torch.tensor([[0.0, 0.25, 1.0]], device=device))
    assert got.tolist() == [[2, 3, 6]]


def test_ends_of_the_unit_interval(device):
    edges, weights = torch.tensor([[0.0, 1, 2, 3]], device=device), torch.tensor([[0.0, 1, 0]], device=device)
    assert inverse_cdf(edges, weights, torch.tensor([[0.0, 1.0]], device=device)).tolist() == [[1, 2]]


@pytest.mark.parametrize("scale", [1e-20, 1e30])
def test_weights_of_every_size(device, scale):
    edges, weights = bins(50, 16, device)
    u = stratified(50, 32, None, device)
    assert torch.allclose(inverse_cdf(edges, weights, u), inverse_cdf(edges, weights * scale, u), atol=3e-3)


def test_strata(device):
    u = stratified(100, 8, torch.Generator().manual_seed(0), device)
    assert ((u * 8).floor() == torch.arange(8, device=device)).all() and u.std(0).min() > 0.02
    assert torch.equal(u, stratified(100, 8, torch.Generator().manual_seed(0), device))
    assert stratified(2, 4, None, device).tolist() == [[0.125, 0.375, 0.625, 0.875]] * 2


def test_even_in_depth_or_in_disparity(device):
    near, far = torch.tensor([2.0, 1], device=device), torch.tensor([6.0, 100], device=device)
    fractions = torch.tensor([[0.0, 0.5, 1]], device=device).expand(2, 3)
    assert along(near, far, fractions).tolist() == [[2, 4, 6], [1, 50.5, 100]]
    inverse = 1 / along(near, far, fractions, disparity=True)
    assert torch.allclose(inverse, torch.tensor([[0.5, 1 / 3, 1 / 6], [1, 0.505, 0.01]], device=device))


def test_nothing_to_do_and_wrong_shapes(device):
    edges, weights = bins(3, 4, device)
    assert inverse_cdf(edges, weights, torch.zeros(3, 0, device=device)).shape == (3, 0)
    assert inverse_cdf(edges[:0], weights[:0], torch.zeros(0, 2, device=device)).shape == (0, 2)
    for bad in ((edges[:, :-1], weights), (edges[:2], weights), (edges[:, :1], weights[:, :0])):
        with pytest.raises(ValueError, match="expected edges"):
            inverse_cdf(*bad, torch.zeros(3, 2, device=device))
