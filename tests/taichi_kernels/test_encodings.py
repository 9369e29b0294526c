"""Encodings of positions and of directions, against Torch's sines and against what spherical harmonics are."""

import math

import pytest
import torch

from taichi_kernels.directions import encode_directions
from taichi_kernels.frequencies import encode_frequencies


def frequencies_twin(values, octaves):
    parts = [values]
    for octave in range(octaves):
        parts += [torch.sin(2**octave * values), torch.cos(2**octave * values)]
    return torch.cat(parts, 1)


@pytest.mark.parametrize("count, axes, octaves", [(1000, 3, 10), (33, 3, 4), (7, 1, 16), (5, 2, 0)])
def test_frequencies_agree_with_twin(device, count, axes, octaves):
    values = (12 * torch.rand(count, axes, generator=torch.Generator().manual_seed(0)) - 6).to(device)
    results = []
    for function in (encode_frequencies, frequencies_twin):
        leaf = values.clone().requires_grad_()
        out = function(leaf, octaves)
        (out * torch.linspace(-1, 1, out.numel(), device=device).view_as(out)).sum().backward()
        results.append((out.detach(), leaf.grad))
    assert (results[0][0] - results[1][0]).abs().max() < 5e-7
    assert (results[0][1] - results[1][1]).abs().max() < 1e-6 * 2 ** max(octaves, 1)


def test_frequencies_gradcheck_float64(device):
    values = torch.rand(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).to(device).requires_grad_()
    assert torch.autograd.gradcheck(lambda v: encode_frequencies(v, 4), values, atol=1e-4)


@pytest.mark.parametrize("value", [0.0, 1e-30, -1e-30, 1e4, math.pi, -math.pi / 2])
def test_frequencies_at_extremes(device, value):
    out = encode_frequencies(torch.full((1, 1), value, device=device), 10)
    want = frequencies_twin(torch.full((1, 1), value, dtype=torch.float32).double(), 10).to(device)
    assert (out - want).abs().max() < 1e-6 + 1e-7 * abs(value)


def directions(count, dtype=torch.float64):
    d = torch.randn(count, 3, dtype=dtype, generator=torch.Generator().manual_seed(2))
    return torch.nn.functional.normalize(d, dim=1)


def test_harmonics_are_orthonormal(device):
    """Over a quadrature of the sphere that is exact for polynomials of degree 6: Gauss in z, even in the angle."""
    z, weights = (torch.tensor(a) for a in __import__("numpy").polynomial.legendre.leggauss(8))
    angle = torch.arange(16, dtype=torch.float64) * (2 * math.pi / 16)
    ring = (1 - z**2).sqrt()[:, None]
    d = torch.stack([ring * angle.cos(), ring * angle.sin(), z[:, None].expand(8, 16)], -1).reshape(-1, 3)
    basis = encode_directions(d.to(device)).cpu()
    gram = (basis * (weights[:, None].expand(8, 16).reshape(-1, 1) * 2 * math.pi / 16)).T @ basis
    assert (gram - torch.eye(16)).abs().max() < 1e-6


def test_harmonics_are_odd_or_even(device):
    """b_k is a polynomial of degree l: odd or even as l is, and the same whatever the highest degree."""
    d = directions(50).to(device)
    basis, mirrored = encode_directions(d), encode_directions(-d)
    for degree in range(4):
        part = slice(degree**2, (degree + 1) ** 2)
        assert torch.allclose(mirrored[:, part], (-1) ** degree * basis[:, part])
        assert torch.allclose(encode_directions(d, degree), basis[:, : (degree + 1) ** 2])


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_harmonics_gradcheck_float64(device, degree):
    assert torch.autograd.gradcheck(lambda d: encode_directions(d, degree), directions(6).to(device).requires_grad_(), atol=1e-5)


def test_nothing_and_wrong_shapes(device):
    assert encode_frequencies(torch.zeros(0, 3, device=device), 10).shape == (0, 63)
    assert encode_directions(torch.zeros(0, 3, device=device)).shape == (0, 16)
    with pytest.raises(ValueError, match="octaves"):
        encode_frequencies(torch.zeros(3, device=device), 10)
    with pytest.raises(ValueError, match="degree"):
        encode_directions(torch.zeros(3, 3, device=device), 4)
