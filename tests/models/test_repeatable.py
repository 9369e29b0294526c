"""Operations that do not depend on the number of threads: their values, their gradients, their bits."""

import pytest
import torch
import torch.nn.functional as F

from models.occupancy import OccupancyGrid
from models.repeatable import linear, mean, padded, sigmoid, softplus, total
from taichi_kernels import runtime
from tests.products import skip_unless_even


def rand(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def by_threads(function):
    """A function's results with several numbers of threads."""
    found = []
    for threads in (1, 2, 3, 5, 8):
        torch.set_num_threads(threads)
        found.append(function())
    torch.set_num_threads(runtime.workers())
    return found


@pytest.mark.parametrize("count", [0, 1, 1024, 1025, 100_003])
def test_sums(count):
    values = rand(count, 3)
    assert torch.allclose(total(values).double(), values.double().sum(), rtol=0, atol=1e-5 * (1 + count) ** 0.5)
    if count:
        leaf = values.clone().requires_grad_()
        mean(leaf).backward()
        assert torch.allclose(leaf.grad, torch.full_like(leaf, 1 / leaf.numel()))
    assert len({float(each) for each in by_threads(lambda: total(values))}) == 1


@pytest.mark.parametrize(("ours", "theirs"), [(sigmoid, torch.sigmoid), (softplus, F.softplus)])
def test_curves(ours, theirs):
    raw = torch.cat([30 * rand(100_003), torch.tensor([-200.0, -90, 0, 90, 200])])
    grads = []
    for function, values in ((ours, raw), (theirs, raw.double())):
        leaf = values.clone().requires_grad_()
        out = function(leaf)
        out.sum().backward()
        grads.append((out.detach().double(), leaf.grad.double()))
    for mine, true in zip(*grads, strict=True):
        assert torch.allclose(mine, true, rtol=1e-6, atol=1e-7)
    usual = raw[raw.abs() < 80]  # beyond, results are denormal numbers, which some threads flush to zero
    first, *others = by_threads(lambda: ours(usual))
    assert all(torch.equal(first, other) for other in others)


@pytest.mark.parametrize("function", [sigmoid, softplus, lambda raw: linear(raw, raw)])
def test_first_derivatives_are_right_and_second_ones_are_refused(function):
    raw = rand(3, 4).double().requires_grad_()
    assert torch.autograd.gradcheck(function, raw)
    (grad,) = torch.autograd.grad(function(raw).square().sum(), raw, create_graph=True)
    with pytest.raises(RuntimeError, match="can be differentiated once only"):
        grad.sum().backward()
    (grad,) = torch.autograd.grad(function(raw).sum(), raw, create_graph=True)  # of constants, too
    with pytest.raises(RuntimeError, match="can be differentiated once only"):
        torch.autograd.grad(raw.sum() + grad.sum(), raw)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_samples_are_padded_on_a_cpu_alone(dtype):
    assert padded(torch.zeros(9, 31, dtype=dtype)).shape != (9, 31)
    samples = torch.zeros(9, 31, dtype=dtype, device="meta")
    assert padded(samples) is samples


@pytest.mark.parametrize("count", [0, 1, 63, 1024, 2500])
@pytest.mark.parametrize(("inputs", "outputs"), [(31, 64), (27, 36), (64, 1), (39, 15)])
def test_linear_layers(count, inputs, outputs):
    """Against double precision, and for samples that were padded before."""
    leaves = rand(count, inputs), rand(outputs, inputs, seed=1), rand(outputs, seed=2)
    direction = rand(count, outputs, seed=3)
    found = []
    for function in (linear, F.linear, lambda s, w, b: linear(padded(s), w, b)[:count]):
        own = [(leaf.double() if function is F.linear else leaf.clone()).requires_grad_() for leaf in leaves]
        out = function(*own)
        (out * direction).sum().backward()
        found.append([out.detach(), *(leaf.grad for leaf in own)])
    for mine, true, other in zip(*found, strict=True):
        assert mine.shape == true.shape and torch.allclose(mine.double(), true, rtol=1e-5, atol=1e-5 * (1 + count) ** 0.5)
        assert torch.equal(mine, other)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("count", "inputs", "outputs"), [(8192, 64, 256), (4099, 27, 36), (32768, 48, 1), (9, 64, 15)])
def test_linear_layers_have_the_same_bits(dtype, count, inputs, outputs):
    skip_unless_even()
    leaves = rand(count, inputs), rand(outputs, inputs, seed=1), rand(outputs, seed=2)
    direction = rand(count, outputs, seed=3)

    def run():
        own = [leaf.clone().requires_grad_() for leaf in leaves]
        out = linear(own[0].to(dtype), *own[1:])
        (out * direction).sum().backward()
        return [out, *(leaf.grad for leaf in own)]

    first, *others = by_threads(run)
    for other in others:
        assert all(torch.equal(a, b) for a, b in zip(first, other, strict=True))
    truth = rand(count, outputs, seed=3).to(dtype).double().T @ leaves[0].to(dtype).double()
    # a block's sum is rounded to 8 bits in bfloat16
    assert (first[2].double() - truth).abs().max() < (0.02 if dtype == torch.bfloat16 else 1e-5) * truth.abs().max()


def test_a_cell_that_is_looked_at_twice_keeps_the_larger_density(device):
    """9,000 looks at 512 cells, at random densities."""
    grid = OccupancyGrid(torch.tensor([[0.0, 0, 0], [1, 1, 1]]), cells=8, step=0.1).to(device)
    largest, looks = {}, []

    def density(positions):
        numbers = torch.rand(len(positions), generator=torch.Generator().manual_seed(7))
        for (x, y, z), number in zip((positions.cpu() * 8).long().tolist(), numbers.tolist(), strict=True):
            largest[z, y, x] = max(largest.get((z, y, x), 0.0), number)
        looks.append(len(positions))
        return numbers.to(positions.device)

    grid.update(density, torch.Generator().manual_seed(0), some=3000, decay=0.5, threshold=0.0)
    assert looks == [9000]
    assert all(float(grid.density[0][cell]) == number for cell, number in largest.items())
