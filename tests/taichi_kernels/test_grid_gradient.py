"""The feature grid's gradient to positions, and what depends on it: second derivatives against the twin's, by autograd."""

import pytest
import torch

from taichi_kernels import runtime
from taichi_kernels.grid_encoding import GridLayout, encode_grid, grid_gradient
from tests.reference import grid_encoding as twin
from tests.taichi_kernels.test_grid_encoding import HASHED, LAYOUTS, inputs

SMALL = [GridLayout.dense(3, 2, 4), GridLayout(((2, 2, 2), (9, 9, 9)), 64)]


def twin_gradient(positions, table, layout, weights):
    """By autograd, in the graph."""
    at = positions if positions.requires_grad else positions.clone().requires_grad_()
    out = twin.encode_grid(at, table, layout)
    return torch.autograd.grad((out * weights).sum(), at, create_graph=True)[0]


def leaves(layout, count, features, dtype, device, seed=0):
    positions, table = inputs(layout, count, features, dtype, device, seed)
    g = torch.Generator().manual_seed(seed + 1)
    weights = torch.randn(count, layout.levels * features, generator=g, dtype=torch.float64).to(dtype).to(device)
    return [t.requires_grad_() for t in (positions, table, weights)]


def close(ours, theirs, *, jumps=1e-3, tolerance=1e-4):
    """Up to a fraction of rows that float32 puts on the other side of a cell's face, where slopes jump."""
    wrong = ((ours - theirs).abs() > tolerance * theirs.abs().amax(0).clamp_min(1e-6)).any(1)
    return wrong.float().mean() < jumps


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("features, count", [(4, 6149), (1, 100), (2, 2048)])
def test_agrees_with_twin(device, layout, features, count):
    results = []
    steps = torch.randn(count, 3, generator=torch.Generator().manual_seed(9)).to(device)
    for function in (grid_gradient, twin_gradient):
        positions, table, weights = leaves(layout, count, features, torch.float32, device)
        out = function(positions, table, layout, weights)
        out.backward(steps)
        results.append([out.detach(), positions.grad, weights.grad, table.grad])
    (out, *samples, to_table), (twin_out, *twin_samples, twin_table) = results
    assert close(out, twin_out)
    assert all(close(ours, theirs, tolerance=1e-3) for ours, theirs in zip(samples, twin_samples, strict=True))
    # a sample on the other side of a face changes single rows
    assert ((to_table - twin_table).abs().sum(0) < 1e-2 * twin_table.abs().sum(0)).all()


@pytest.mark.parametrize("layout", SMALL)
def test_gradcheck_float64(device, layout):
    positions, table, weights = leaves(layout, 5, 2, torch.float64, device, seed=3)
    positions = positions.detach().clamp(0.02, 0.98).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, t, g: grid_gradient(x, t, layout, g), [positions, table, weights], atol=1e-5)


@pytest.mark.parametrize("layout", SMALL)
def test_gradgradcheck_of_the_encoding_float64(device, layout):
    positions, table, _ = leaves(layout, 4, 2, torch.float64, device, seed=3)
    positions = positions.detach().clamp(0.02, 0.98).requires_grad_()
    assert torch.autograd.gradgradcheck(lambda x, t: encode_grid(x, t, layout), [positions, table], atol=1e-5)


def test_second_derivatives_of_a_loss_on_slopes_agree_with_twin(device):
    """As a loss on normals has them: through `create_graph`, with another loss beside it."""
    results = []
    for function in (encode_grid, twin.encode_grid):
        positions, table, weights = leaves(SMALL[1], 300, 2, torch.float32, device)
        features = function(positions, table, SMALL[1])
        (slope,) = torch.autograd.grad((features * weights).sum(), positions, create_graph=True)
        (slope.square().sum() + features.square().sum()).backward()
        results.append([positions.grad, weights.grad, table.grad])
    for ours, theirs in zip(*results, strict=True):
        assert close(ours, theirs, tolerance=1e-3)


@pytest.mark.parametrize("count", [5, 1003])
def test_the_number_of_workers_changes_no_bit(device, monkeypatch, count):
    """Features, their gradients, and the gradients of these; more workers than samples, too."""
    if runtime.is_gpu():
        pytest.skip("the GPU schedule has no workers")
    results = []
    for workers in (1, 2, 3, 19):
        monkeypatch.setattr(runtime, "workers", lambda workers=workers: workers)
        positions, table, weights = leaves(HASHED, count, 4, torch.float32, device)
        features = encode_grid(positions, table, HASHED)
        (slopes,) = torch.autograd.grad((features * weights).sum(), positions, create_graph=True)
        found = [features, slopes, *torch.autograd.grad(slopes.square().sum() + features.sum(), [positions, table, weights])]
        results.append(found)
    for found in results[1:]:
        assert all(torch.equal(ours, one) for ours, one in zip(found, results[0], strict=True))


def test_the_gradient_to_the_table_can_be_differentiated(device):
    """In positions and in the features' gradients, on which it depends; beside another loss, and against the twin."""
    results = []
    for function in (encode_grid, twin.encode_grid):
        positions, table, weights = leaves(SMALL[1], 50, 2, torch.float64, device, seed=2)
        features = function(positions, table, SMALL[1])
        (rows,) = torch.autograd.grad((features * weights).sum(), table, create_graph=True)
        loss = rows.square().sum() + features.sum()
        results.append(torch.autograd.grad(loss, [positions, weights, table]))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6 * float(theirs.abs().max()), rtol=0)


def test_a_third_derivative_raises(device):
    positions, table, weights = leaves(SMALL[0], 5, 2, torch.float32, device)
    out = grid_gradient(positions, table, SMALL[0], weights)
    (change,) = torch.autograd.grad(out.square().sum(), table, create_graph=True)
    with pytest.raises(RuntimeError, match="can be differentiated once only"):
        change.sum().backward()


def test_steps_of_every_size_are_summed(device):
    """The integers of the GPU schedule keep steps of 1e-15 and of 1e15."""
    positions, table, weights = leaves(HASHED, 1000, 2, torch.float32, device)
    grads = []
    for scale in (1.0, 1e-15, 1e15):
        out = grid_gradient(positions, table, HASHED, weights)
        grads.append(torch.autograd.grad((out * scale).sum(), table)[0] / scale)
    assert torch.allclose(grads[0], grads[1], rtol=1e-3, atol=1e-3) and torch.allclose(grads[0], grads[2], rtol=1e-3, atol=1e-3)


def test_outside_the_cube_there_is_no_slope(device):
    positions, table, weights = leaves(SMALL[0], 4, 2, torch.float32, device)
    positions = torch.tensor([[-0.5, 0.3, 0.4], [0.2, 1.5, 0.1]], device=device).requires_grad_()
    out = grid_gradient(positions, table, SMALL[0], weights[:2])
    assert out[0, 0] == 0 and out[1, 1] == 0 and out.abs().sum() > 0
    out.sum().backward()
    assert positions.grad[0, 0] == 0 and positions.grad[1, 1] == 0


def test_no_samples_and_wrong_shapes(device):
    positions, table, weights = leaves(HASHED, 0, 4, torch.float32, device)
    out = grid_gradient(positions, table, HASHED, weights)
    out.sum().backward()
    assert out.shape == (0, 3) and (table.grad == 0).all() and weights.grad.shape == (0, 32)
    with pytest.raises(ValueError, match="expected weights"):
        grid_gradient(positions, table, HASHED, weights[:, 1:])
