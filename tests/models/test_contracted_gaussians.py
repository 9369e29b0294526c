"""Gaussians in contracted space: the contraction's derivative by autograd, samples, and extreme values."""

import pytest
import torch

from models.contracted_gaussians import contract_axis_aligned_gaussians, contract_gaussians
from models.contraction import contract, length
from tests.models.test_contraction import ORDERS, positions


def covariances(count: int) -> torch.Tensor:
    root = torch.randn(count, 3, 3, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    return root @ root.transpose(1, 2)


@ORDERS
def test_covariances_go_through_the_derivative(order):
    means, spread = positions(60), covariances(60)
    found_means, found = contract_gaussians(means, spread, order)
    assert torch.equal(found_means, contract(means, order))
    for mean, before, after in zip(means, spread, found, strict=True):
        jacobian = torch.autograd.functional.jacobian(lambda p: contract(p, order), mean)
        torch.testing.assert_close(after, jacobian @ before @ jacobian.T)
    inside = length(means, order)[:, 0] <= 1
    assert torch.equal(found[inside], spread[inside]) and 5 < int(inside.sum()) < 55


@ORDERS
def test_variances_along_the_axes_are_the_diagonal(order):
    means = positions(60)
    variances = torch.rand(60, 3, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    found_means, found = contract_axis_aligned_gaussians(means, variances, order)
    expected_means, expected = contract_gaussians(means, torch.diag_embed(variances), order)
    assert torch.equal(found_means, expected_means)
    torch.testing.assert_close(found, expected.diagonal(dim1=1, dim2=2))


@ORDERS
def test_small_gaussians_become_those_of_their_samples(order):
    mean, variances = torch.tensor([2.0, -0.7, 0.4]).double(), torch.tensor([1e-4, 4e-4, 9e-4]).double()
    noise = torch.randn(200_000, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = contract_axis_aligned_gaussians(mean, variances, order)
    samples = contract(mean + noise * variances.sqrt(), order)
    torch.testing.assert_close(found[0], samples.mean(0), rtol=0, atol=1e-3)
    torch.testing.assert_close(found[1], samples.var(0), rtol=0.03, atol=0)


@ORDERS
def test_gradcheck(order):
    means, spread = positions(6).requires_grad_(), covariances(6).requires_grad_()
    variances = torch.rand(6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2)).requires_grad_()
    assert torch.autograd.gradcheck(lambda m, v: contract_gaussians(m, v, order), [means, spread])
    assert torch.autograd.gradcheck(lambda m, v: contract_axis_aligned_gaussians(m, v, order), [means, variances])


@ORDERS
@pytest.mark.parametrize("value", [0.0, 1e-38, 1.0, 1e6, 1e18])
def test_extremes_are_finite_and_variances_stay_positive(order, value):
    """As wide as they are far: a cone's Gaussians."""
    means = torch.tensor([[value, -value, value / 2], [0, 0, -value]])
    variances = torch.full((2, 3), max(value, 1e-3) ** 2)
    for found, inputs in ((contract_axis_aligned_gaussians, variances), (contract_gaussians, torch.diag_embed(variances))):
        mean, spread = found(means, inputs, order)
        spread = spread if spread.ndim == 2 else spread.diagonal(dim1=1, dim2=2)
        assert mean.isfinite().all() and spread.isfinite().all() and (spread >= 0).all()
    assert contract_gaussians(torch.zeros(0, 3), torch.zeros(0, 3, 3), order)[1].shape == (0, 3, 3)
