"""The integrated encoding: against its twin, against means over drawn points, and the plain encoding where nothing is spread."""

import pytest
import torch

from taichi_kernels import runtime
from taichi_kernels.frequencies import encode_frequencies
from taichi_kernels.integrated_frequencies import encode_gaussians
from tests.reference import integrated_frequencies as twin


def gaussians(count, axes, dtype, device, seed=0):
    g = torch.Generator().manual_seed(seed)
    means = 4 * torch.rand(count, axes, generator=g, dtype=torch.float64) - 2
    variances = 10 ** (8 * torch.rand(count, axes, generator=g, dtype=torch.float64) - 7)  # from 1e-7 to 10
    return means.to(dtype).to(device), variances.to(dtype).to(device)


@pytest.mark.parametrize("count, axes, octaves", [(1000, 3, 16), (33, 3, 4), (7, 1, 12), (65, 21, 12), (5, 2, 1)])
def test_agrees_with_twin(device, count, axes, octaves):
    """The twin in double precision, for the same numbers. A gradient is a sum over octaves; its error is measured by them."""
    results, given = [], torch.linspace(-1, 1, count * 2 * axes * octaves).view(count, -1)
    for function, dtype in ((encode_gaussians, torch.float32), (twin.encode_gaussians, torch.float64)):
        where = device if dtype == torch.float32 else "cpu"
        leaves = [t.to(dtype).to(where).requires_grad_() for t in gaussians(count, axes, torch.float32, "cpu")]
        out = function(*leaves, octaves)
        out.backward(given.to(out))
        results.append([t.cpu().double() for t in (out.detach(), *(leaf.grad for leaf in leaves))])
    (out, *grads), (twin_out, *twin_grads) = results
    assert (out - twin_out).abs().max() < 1e-6
    sizes = (count, octaves, 2, axes)  # octave by octave, sines before cosines
    largest = given.double().view(sizes).abs().sum(2) * twin_out.view(sizes).norm(dim=2)
    factors = 2.0 ** torch.arange(octaves, dtype=torch.float64)[:, None]
    to_means, to_variances = (factors * largest).sum(1), (factors**2 / 2 * largest).sum(1)
    for ours, theirs, terms in zip(grads, twin_grads, (to_means, to_variances), strict=True):
        assert ((ours - theirs).abs() <= 1e-6 * terms + 1e-9).all()


def test_gradcheck_float64(device):
    if runtime.device() == "vulkan":
        pytest.skip("Vulkan has no exp of float64")
    means, variances = gaussians(4, 3, torch.float64, device, seed=1)
    leaves = [means.requires_grad_(), variances.clamp(1e-3, 0.5).requires_grad_()]
    assert torch.autograd.gradcheck(lambda m, v: encode_gaussians(m, v, 4), leaves, atol=1e-4)


def test_it_is_the_mean_over_the_gaussian(device):
    """A million points of one Gaussian: the mean of their encodings is the integrated one."""
    means, deviations = torch.tensor([0.3, -1.2, 0.9]), torch.tensor([0.5, 0.05, 1.5])
    points = means + deviations * torch.randn(1_000_000, 3, generator=torch.Generator().manual_seed(0))
    mean = encode_frequencies(points.to(device), 6)[:, 3:].mean(0)
    integrated = encode_gaussians(means[None].to(device), deviations.square()[None].to(device), 6)[0]
    assert (mean - integrated).abs().max() < 4e-3  # four deviations of the mean


@pytest.mark.parametrize("mean", [0.0, 1e4, -3.0])
def test_extreme_variances(device, mean):
    means = torch.full((1, 1), mean, device=device)
    sharp, flat = (encode_gaussians(means, torch.full_like(means, v), 16) for v in (0.0, 1e30))
    assert torch.equal(sharp, encode_frequencies(means, 16)[:, 1:])
    assert flat.abs().max() < 1e-6 and flat.isfinite().all()


def test_nothing_and_wrong_shapes(device):
    nothing = torch.zeros(0, 3, device=device)
    assert encode_gaussians(nothing, nothing, 16).shape == (0, 96)
    assert encode_gaussians(nothing + 1, nothing, 0).shape == (0, 0)
    with pytest.raises(ValueError, match="means and variances"):
        encode_gaussians(nothing, nothing[:, :2], 16)
    with pytest.raises(ValueError, match="octaves"):
        encode_gaussians(nothing, nothing, 25)
