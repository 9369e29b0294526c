"""The feature grid against its twin, a cell worked by hand, and the promises of its layout."""

import pytest
import torch

from taichi_kernels import runtime
from taichi_kernels.grid_encoding import GridLayout, encode_grid
from tests.reference import grid_encoding as twin

HASHED = GridLayout.hashed(8, 16, 1024, 14)
LAYOUTS = [HASHED, GridLayout.dense(7, 12, 3), GridLayout(((2, 2, 2), (40, 9, 33)), 1 << 10)]


def inputs(layout, count, features, dtype, device, seed=0):
    g = torch.Generator().manual_seed(seed)
    positions = torch.rand(count, 3, generator=g, dtype=torch.float64) * 1.1 - 0.05  # some outside
    table = torch.randn(layout.rows, features, generator=g, dtype=torch.float64)
    return positions.to(dtype).to(device), table.to(dtype).to(device)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("features, count", [(4, 6149), (1, 100), (2, 2048)])
def test_agrees_with_twin(device, layout, features, count):
    results = []
    for function in (encode_grid, twin.encode_grid):
        positions, table = (t.requires_grad_() for t in inputs(layout, count, features, torch.float32, device))
        out = function(positions, table, layout)
        (out * torch.linspace(-1, 1, out.numel(), device=device).view_as(out)).sum().backward()
        results.append([out.detach(), positions.grad, table.grad])
    (out, to_positions, to_table), (twin_out, twin_positions, twin_table) = results
    # Column by column. x R - floor(x R) is a fused operation on a GPU, rounded once instead of twice: half a unit of the last
    # place of x R on each of three axes, along which features differ by twice the largest at most.
    sides = torch.tensor([max(r) for r in layout.resolutions], device=device).repeat_interleave(features)
    rounding = 1e-6 + (4e-7 * sides if runtime.is_gpu() else 0)
    assert ((out - twin_out).abs().amax(0) < rounding * twin_out.abs().amax(0)).all()
    # a row's gradient sums what all its points give, in another order
    assert ((to_table - twin_table).abs().amax(0) < 1e-4 * twin_table.abs().amax(0)).all()
    # the slope jumps at the faces of cells, and float32 puts a few positions on the other side
    wrong = ((to_positions - twin_positions).abs() > 1e-3 * max(max(r) for r in layout.resolutions)).any(1)
    assert wrong.float().mean() < 1e-3


@pytest.mark.parametrize("layout", [GridLayout.dense(3, 2, 4), GridLayout(((2, 2, 2), (9, 9, 9)), 64)])
def test_gradcheck_float64(device, layout):
    positions, table = inputs(layout, 5, 2, torch.float64, device, seed=3)
    positions = positions.clamp(0.02, 0.98)
    leaves = [positions.requires_grad_(), table.requires_grad_()]
    assert torch.autograd.gradcheck(lambda x, t: encode_grid(x, t, layout), leaves, atol=1e-5)


def test_a_cell_worked_by_hand(device):
    """Features that are linear in x, y and z are met exactly, and their slope is the gradient."""
    layout = GridLayout.dense(4, 2, 5)
    z, y, x = torch.meshgrid(torch.linspace(0, 1, 6), torch.linspace(0, 1, 3), torch.linspace(0, 1, 5), indexing="ij")
    table = torch.zeros(layout.rows, 2)
    table[: x.numel(), 0] = (2 * x - 3 * y + 5 * z).reshape(-1)
    table[: x.numel(), 1] = 1
    positions = torch.tensor([[0.3, 0.8, 0.55], [0, 0, 0], [1, 1, 1], [-1, 0.5, 2]], device=device).requires_grad_()
    out = encode_grid(positions, table.to(device), layout)
    assert out[:, 0].tolist() == pytest.approx([0.95, 0, 4, 3.5], abs=1e-5)
    assert torch.allclose(out[:, 1], torch.ones_like(out[:, 1]))
    out[:, 0].sum().backward()
    assert torch.allclose(positions.grad[:3].cpu(), torch.tensor([2.0, -3, 5]).expand(3, 3), atol=1e-4)
    assert positions.grad[3].tolist() == pytest.approx([0, -3, 0], abs=1e-4)


def test_many_samples_on_one_row(device):
    """Sums at one vertex, in every order the same to the bit."""
    layout = GridLayout.dense(1, 1, 1)
    g = torch.Generator().manual_seed(0)
    weights = torch.randn(20_000, generator=g).to(device)
    positions = torch.zeros(20_000, 3, device=device)
    results = []
    for _ in range(2):
        table = torch.zeros(8, 1, device=device, requires_grad=True)
        (encode_grid(positions, table, layout)[:, 0] * weights).sum().backward()
        results.append(table.grad)
    assert torch.equal(*results)
    assert results[0][0, 0].item() == pytest.approx(weights.double().sum().item(), abs=2e-3) and (results[0][1:] == 0).all()


def test_gradients_of_every_size_are_summed(device):
    """The integers of the GPU schedule keep gradients of 1e-20 and of 1e20."""
    positions, table = inputs(HASHED, 1000, 2, torch.float32, device)
    table.requires_grad_()
    grads = []
    for scale in (1.0, 1e-20, 1e20):
        (grad,) = torch.autograd.grad((encode_grid(positions, table, HASHED) * scale).sum(), table)
        grads.append(grad / scale)
    assert torch.allclose(grads[0], grads[1], rtol=1e-4, atol=1e-6) and torch.allclose(grads[0], grads[2], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_a_gradient_that_is_not_finite_is_not_hidden(device, wrong):
    positions, table = inputs(HASHED, 100, 2, torch.float32, device)
    out = encode_grid(positions, table.requires_grad_(), HASHED)
    weights = torch.ones_like(out)
    weights[7, 3] = wrong
    (out * weights).sum().backward()
    assert not table.grad.isfinite().all()


def test_layout():
    assert GridLayout.hashed(8, 16, 1024, 17).resolutions[0] == (16, 16, 16)
    assert GridLayout.hashed(8, 16, 1024, 17).resolutions[-1] == (1024, 1024, 1024)
    for layout in LAYOUTS:
        spans = twin.first_rows(layout)
        assert layout.table[:, 3].tolist() == [first for first, _ in spans]
        assert layout.rows == -(-sum(spans[-1]) // 8) * 8
    assert (GridLayout.dense(200, 200, 200).table[:, 4] == 0).all()


@pytest.mark.parametrize("resolutions, rows", [((), 64), (((0, 1, 1),), 64), (((4, 4, 4),), 100), (((4, 4, 1 << 21),), 64)])
def test_layouts_that_cannot_be(resolutions, rows):
    with pytest.raises(ValueError, match="got"):
        GridLayout(resolutions, rows)


def test_no_samples_and_wrong_shapes(device):
    table = torch.zeros(HASHED.rows, 4, device=device, requires_grad=True)
    positions = torch.zeros(0, 3, device=device, requires_grad=True)
    out = encode_grid(positions, table, HASHED)
    assert out.shape == (0, 32)
    out.sum().backward()
    assert (table.grad == 0).all() and positions.grad.shape == (0, 3)
    with pytest.raises(ValueError, match="expected positions"):
        encode_grid(torch.zeros(3, 2, device=device), table, HASHED)
    with pytest.raises(ValueError, match="expected positions"):
        encode_grid(torch.zeros(3, 3, device=device), table[1:], HASHED)


def test_known_features_are_not_worked_out_again(device):
    """What is known is returned, with the gradients of the whole operation."""
    layout = GridLayout.hashed(3, 4, 32, 8)
    g = torch.Generator().manual_seed(0)
    points, table = torch.rand(300, 3, generator=g).to(device), torch.randn(layout.rows, 2, generator=g).to(device)
    grads, known = [], None
    for _ in range(2):
        p, t = points.clone().requires_grad_(), table.clone().requires_grad_()
        found = encode_grid(p, t, layout, known=known)
        (found**2).sum().backward()
        grads.append((found.detach(), p.grad, t.grad))
        known = found.detach()
    for whole, cheap in zip(*grads, strict=True):
        assert torch.equal(whole, cheap)
    assert torch.equal(encode_grid(points, table, layout, known=known + 1), known + 1)
    for wrong in (known[:5], known[:, :4], known.double()):
        with pytest.raises(ValueError, match="expected known features"):
            encode_grid(points, table, layout, known=wrong)
