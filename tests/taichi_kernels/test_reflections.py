"""The integrated directional encoding: against its twin, scipy's harmonics, and integrals over the lobe."""

import numpy as np
import pytest
import torch
from scipy.special import ive, sph_harm_y

from taichi_kernels import runtime
from taichi_kernels.reflections import columns, encode_reflections
from tests.reference import reflections as twin


def inputs(count, dtype, device, seed=0):
    g = torch.Generator().manual_seed(seed)
    directions = torch.nn.functional.normalize(torch.randn(count, 3, generator=g, dtype=torch.float64), dim=1)
    directions[:3] = torch.tensor([[0.0, 0, 1], [0, 0, -1], [0, 1, 0]])
    roughness = 10 ** (4 * torch.rand(count, generator=g, dtype=torch.float64) - 3)  # from .001 to 10
    roughness[:2] = torch.tensor([0.0, 100.0])
    return directions.to(dtype).to(device), roughness.to(dtype).to(device)


@pytest.mark.parametrize("levels, count", [(1, 5), (3, 1000), (4, 33), (5, 4099)])
def test_agrees_with_twin(device, levels, count):
    """The twin in double precision, for the same numbers."""
    results = []
    for function, dtype in ((encode_reflections, torch.float32), (twin.encode_reflections, torch.float64)):
        where = device if dtype == torch.float32 else "cpu"
        leaves = [t.to(dtype).to(where).requires_grad_() for t in inputs(count, torch.float32, "cpu")]
        out = function(*leaves, levels)
        (out * torch.linspace(-1, 1, out.numel(), dtype=dtype, device=where).view_as(out)).sum().backward()
        results.append([t.cpu().double() for t in (out.detach(), *(leaf.grad for leaf in leaves))])
    (out, *grads), (twin_out, *twin_grads) = results
    assert out.shape == (count, columns(levels)) and (out - twin_out).abs().max() < 1e-5
    for ours, theirs in zip(grads, twin_grads, strict=True):
        assert (ours - theirs).abs().max() < 2e-5 * theirs.abs().max()


def test_the_number_of_workers_changes_no_bit(device, monkeypatch):
    if runtime.is_gpu():
        pytest.skip("the GPU schedule has no workers")
    results = []
    for workers in (1, 2, 7):
        monkeypatch.setattr(runtime, "workers", lambda workers=workers: workers)
        leaves = [t.requires_grad_() for t in inputs(103, torch.float32, device)]
        out = encode_reflections(*leaves, 4)
        results.append([out, *torch.autograd.grad(out.square().sum(), leaves)])
    for found in results[1:]:
        assert all(torch.equal(ours, one) for ours, one in zip(found, results[0], strict=True))


def test_gradcheck_float64(device):
    if runtime.device() == "vulkan":
        pytest.skip("Vulkan has no exp of float64")
    directions, roughness = inputs(4, torch.float64, device, seed=1)
    leaves = [directions.requires_grad_(), roughness.clamp(0.01, 0.5).requires_grad_()]
    assert torch.autograd.gradcheck(lambda d, r: encode_reflections(d, r, 5), leaves, atol=1e-4)


def test_harmonics_are_scipys(device):
    """Degrees 1 to 16 without a lobe."""
    directions, _ = inputs(200, torch.float32, device)
    found = encode_reflections(directions, torch.zeros(200, device=device), 5).cpu().double()
    x, y, z = directions.cpu().double().unbind(1)
    polar, azimuth = torch.acos(z.clamp(-1, 1)).numpy(), torch.atan2(y, x).numpy()
    values = [torch.from_numpy(sph_harm_y(2**k, m, polar, azimuth)) for k in range(5) for m in range(2**k + 1)]
    expected = torch.cat([torch.stack(values, 1).real, torch.stack(values, 1).imag], 1)
    assert (found - expected).abs().max() < 2e-5


def lobe(axis, roughness):
    """Directions (M, 3) and weights (M,) of a quadrature of the von Mises-Fisher lobe: even angles around the axis, which are
    exact for degree 16, and Gauss-Legendre along it, as far as the lobe reaches."""
    nodes, weights = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(64))
    below = (nodes + 1) / 2 * min(2, 40 * roughness)  # 1 - cosine
    weights = weights * torch.exp(-below / roughness)
    cosine, sine = 1 - below, (below * (2 - below)).sqrt()
    turn = torch.arange(40, dtype=torch.float64) * (2 * torch.pi / 40)
    side = torch.nn.functional.normalize(torch.linalg.cross(axis, torch.tensor([1.0, 0, 0], dtype=torch.float64)), dim=0)
    ring = turn.cos()[:, None] * side + turn.sin()[:, None] * torch.linalg.cross(axis, side)
    directions = cosine[:, None, None] * axis + sine[:, None, None] * ring
    return directions.reshape(-1, 3), (weights / weights.sum() / 40).repeat_interleave(40)


def test_it_is_the_integral_over_the_lobe_up_to_the_documented_errors(device):
    """Of each degree's numbers, in units of the degree's harmonics; the quadrature against the integral in closed form (Bessel
    functions: a lobe scales all harmonics of a degree alike)."""
    axis = torch.nn.functional.normalize(torch.tensor([0.5, -0.3, 0.7], dtype=torch.float64), dim=0)
    degrees = [2**level for level in range(5)]
    of_column = torch.tensor([degree for degree in degrees for _ in range(degree + 1)]).repeat(2)
    errors = []
    for roughness in (1e-3, 0.0093, 0.0347, 0.119, 0.334, 0.647, 3.0):
        drawn, weights = lobe(axis, roughness)
        at = torch.cat([drawn, axis[None], axis[None]]).float().to(device)
        rough = torch.zeros(len(at), device=device)
        rough[-1] = roughness
        *values, harmonics, found = encode_reflections(at, rough, 5).double().cpu()
        integral = weights @ torch.stack(values)
        for degree in degrees:
            own = of_column == degree
            factor = ive(degree + 0.5, 1 / roughness) / ive(0.5, 1 / roughness)
            assert (integral[own] - factor * harmonics[own]).abs().max() < 1e-5
            errors.append((integral[own] - found[own]).norm() / harmonics[own].norm())
    worst = torch.stack(errors).view(-1, 5).amax(0)
    torch.testing.assert_close(worst, torch.tensor([0.0754, 0.0395, 0.0129, 0.0036, 0.001]).double(), atol=5e-5, rtol=0)


def test_rotation_about_the_axis_turns_each_order_by_its_multiple(device):
    directions, roughness = inputs(50, torch.float32, device)
    angle = 0.7
    c, s = torch.cos(torch.tensor(angle)), torch.sin(torch.tensor(angle))
    turn = torch.tensor([[c, -s, 0], [s, c, 0], [0, 0, 1]]).to(device)
    before, after = (encode_reflections(d, roughness, 3).cpu() for d in (directions, directions @ turn.T))
    half = columns(3) // 2
    orders = torch.tensor([m for degree in (1, 2, 4) for m in range(degree + 1)])
    expected = torch.complex(before[:, :half], before[:, half:]) * torch.exp(1j * angle * orders)
    assert (torch.complex(after[:, :half], after[:, half:]) - expected).abs().max() < 1e-5


@pytest.mark.parametrize("direction", [[0.0, 0.0, 1.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
def test_poles_extreme_lobes_and_no_direction(device, direction):
    directions = torch.tensor([direction] * 3, device=device).requires_grad_()
    roughness = torch.tensor([0.0, 1.0, 1e30], device=device).requires_grad_()
    out = encode_reflections(directions, roughness, 5)
    out.sum().backward()
    assert out.isfinite().all() and (out[2] == 0).all()
    assert directions.grad.isfinite().all() and roughness.grad.isfinite().all()


def test_nothing_and_wrong_shapes(device):
    nothing = torch.zeros(0, 3, device=device)
    assert encode_reflections(nothing, nothing[:, 0], 4).shape == (0, 38)
    assert columns(5) == 72
    with pytest.raises(ValueError, match="directions"):
        encode_reflections(nothing, nothing, 4)
    for levels in (0, 6):
        with pytest.raises(ValueError, match="levels"):
            encode_reflections(nothing, nothing[:, 0], levels)
