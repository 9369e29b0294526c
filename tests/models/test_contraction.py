"""The contraction of unbounded space: inverse, derivative, extreme values."""

import math

import pytest
import torch

from models.contraction import contract, contraction_jacobian, length, uncontract

ORDERS = pytest.mark.parametrize("order", [2, math.inf])


def positions(count: int = 200) -> torch.Tensor:
    """Random positions (count, 3) float64, from the middle to 1,000 away."""
    g = torch.Generator().manual_seed(0)
    directions = torch.randn(count, 3, generator=g, dtype=torch.float64)
    return directions * 10 ** (torch.rand(count, 1, generator=g, dtype=torch.float64) * 5 - 2)


@ORDERS
def test_what_is_inside_stays_and_what_is_outside_is_drawn_in(order):
    x = positions()
    y, r = contract(x, order), length(x, order)[:, 0]
    assert torch.equal(y[r <= 1], x[r <= 1]) and 20 < int((r <= 1).sum()) < 180
    torch.testing.assert_close(length(y, order)[r > 1, 0], 2 - 1 / r[r > 1])
    torch.testing.assert_close(torch.nn.functional.normalize(y, dim=1), torch.nn.functional.normalize(x, dim=1))
    torch.testing.assert_close(uncontract(y, order), x, rtol=1e-9, atol=1e-12)


def test_known_values():
    x = torch.tensor([[3.0, 0, 4], [0, -2, 1], [0.5, 0.25, -1]])
    torch.testing.assert_close(contract(x, 2)[0], 1.8 * torch.tensor([0.6, 0, 0.8]))
    torch.testing.assert_close(contract(x), torch.tensor([[1.3125, 0, 1.75], [0, -1.5, 0.75], [0.5, 0.25, -1]]))


@ORDERS
def test_derivatives(order):
    x = positions(40)
    found = contraction_jacobian(x, order)
    for each, jacobian in zip(x, found, strict=True):
        torch.testing.assert_close(torch.autograd.functional.jacobian(lambda p: contract(p, order), each), jacobian)
    assert torch.autograd.gradcheck(lambda p: contract(p, order), x[:8].clone().requires_grad_())
    assert torch.autograd.gradgradcheck(lambda p: contract(p, order), x[:8].clone().requires_grad_())


@ORDERS
def test_a_gaussian_becomes_the_one_of_its_samples(order):
    g = torch.Generator().manual_seed(1)
    mean = torch.tensor([2.0, -0.7, 0.4], dtype=torch.float64)
    root = 0.01 * torch.randn(3, 3, generator=g, dtype=torch.float64)
    j = contraction_jacobian(mean, order)
    samples = contract(mean + torch.randn(200_000, 3, generator=g, dtype=torch.float64) @ root.T, order)
    expected = j @ root @ root.T @ j.T
    torch.testing.assert_close(torch.cov(samples.T), expected, rtol=0, atol=0.03 * float(expected.abs().max()))


@ORDERS
@pytest.mark.parametrize("value", [0.0, 1e-38, 1.0, 1e6, 1e20, 1e38])
def test_extreme_values_are_finite(order, value):
    x = torch.tensor([[value, -value, value / 2], [0, 0, -value]], requires_grad=True)
    y = contract(x, order)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    assert y.isfinite().all() and gradient.isfinite().all() and length(y, order).max() <= 2
    if value >= 1e6:
        assert length(y, order).min() > 1.99999
    back = uncontract(y.detach(), order)
    assert back.isfinite().all() and contraction_jacobian(x.detach(), order).isfinite().all()
    assert contract(torch.zeros(0, 3), order).shape == (0, 3)


def test_another_order_is_refused():
    with pytest.raises(ValueError, match="order 2 or inf; got 1"):
        contract(torch.zeros(1, 3), 1)
