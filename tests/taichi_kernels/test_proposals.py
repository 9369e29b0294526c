"""What proposals allow: against an O(n^2) count, by hand, and the loss that is 0 exactly if the bound holds."""

import pytest
import torch

from taichi_kernels.proposals import interlevel_loss, proposal_bound
from tests.reference import proposal_bounds as twin


def histograms(rays, bins, intervals, dtype, device, seed=0, steps=0):
    """A proposal's edges and weights, and a field's edges; steps: how many different values edges have, 0 for any."""
    g = torch.Generator().manual_seed(seed)
    edges, field_edges = (torch.rand(rays, n + 1, generator=g, dtype=torch.float64) for n in (bins, intervals))
    if steps:
        edges, field_edges = ((t * steps).round() / steps for t in (edges, field_edges))
    weights = torch.rand(rays, bins, generator=g, dtype=torch.float64) ** 3 / bins
    return [t.to(dtype).to(device) for t in (edges.sort(1).values, weights, field_edges.sort(1).values)]


@pytest.mark.parametrize("rays, bins, intervals, steps", [(700, 64, 32, 0), (700, 12, 33, 8), (3, 1, 1, 2), (40, 48, 1, 5)])
def test_agrees_with_a_count_of_all_pairs(device, rays, bins, intervals, steps):
    """With edges of few values, many of which are equal, within a histogram and between the two."""
    edges, weights, field_edges = histograms(rays, bins, intervals, torch.float32, device, steps=steps)
    results = []
    for function in (proposal_bound, twin.proposal_bound):
        leaf = weights.clone().requires_grad_()
        out = function(edges, leaf, field_edges)
        (out * torch.linspace(-1, 1, out.numel(), device=device).view_as(out)).sum().backward()
        results.append((out.detach(), leaf.grad))
    for ours, theirs in zip(*results, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-5, atol=1e-5 * float(theirs.abs().max()))


def test_gradcheck_float64(device):
    edges, weights, field_edges = histograms(3, 5, 4, torch.float64, device)
    assert torch.autograd.gradcheck(lambda w: proposal_bound(edges, w, field_edges), weights.requires_grad_())


def test_edges_that_touch(device):
    """A bin that begins where an interval ends counts; one that ends where it begins doesn't: as in multinerf."""
    edges, weights = torch.tensor([[0.0, 1, 2, 3]], device=device), torch.tensor([[1.0, 10, 100]], device=device)
    for interval, bound in [([0, 1], 11), ([1, 2], 110), ([2, 3], 100), ([0.5, 0.9], 1), ([0.5, 2.5], 111), ([1, 1], 10)]:
        assert proposal_bound(edges, weights, torch.tensor([interval], device=device).float()).item() == bound, interval
    for interval, bound in [([-2, -1], 0), ([-2, 0], 1), ([3, 5], 0), ([-9, 9], 111)]:
        assert proposal_bound(edges, weights, torch.tensor([interval], device=device).float()).item() == bound, interval


@pytest.mark.parametrize("coarser", [True, False])
def test_the_loss_is_zero_if_both_come_from_one_density(device, coarser):
    """Bins that are unions of intervals, or parts of them: exactly 0."""
    edges, fine, _ = histograms(300, 24, 1, torch.float32, device)
    coarse_edges, coarse = edges[:, ::4].contiguous(), torch.zeros(300, 6, device=device)
    for part in range(4):
        coarse = coarse + fine[:, part::4]
    own, own_edges, field, field_edges = (coarse, coarse_edges, fine, edges) if coarser else (fine, edges, coarse, coarse_edges)
    assert (interlevel_loss(own_edges, own, field_edges, field) == 0).all()


def test_the_loss_is_zero_exactly_where_the_bound_holds(device):
    edges, weights, field_edges = histograms(500, 20, 15, torch.float32, device, seed=3)
    field_weights = 2 * histograms(500, 15, 15, torch.float32, device, seed=4)[1]
    holds = field_weights <= proposal_bound(edges, weights, field_edges)
    loss = interlevel_loss(edges, weights, field_edges, field_weights)
    assert 0.1 < holds.float().mean() < 0.99
    assert torch.equal(loss == 0, holds)


def test_only_the_proposal_learns(device):
    leaves = [t.requires_grad_() for t in histograms(5, 6, 4, torch.float32, device)]
    field_weights = torch.ones(5, 4, device=device, requires_grad=True)
    interlevel_loss(*leaves, field_weights).sum().backward()
    edges, weights, field_edges = leaves
    assert weights.grad.abs().max() > 0 and (weights.grad <= 0).all()
    assert edges.grad is None and field_edges.grad is None and field_weights.grad is None


def test_extremes(device):
    """Intervals that reach to infinity, weights of every size, and no weights at all."""
    edges = torch.tensor([[0.0, 1e-30, 1.0, float("inf")]] * 3, device=device)
    weights = torch.tensor([[1e-30, 1e30, 1.0], [0, 0, 0], [1e-38, 0, 1e-38]], device=device).requires_grad_()
    loss = interlevel_loss(edges, weights, edges.clone(), torch.tensor([[1.0, 0, 0.5]] * 3, device=device))
    loss.sum().backward()
    assert loss.isfinite().all() and weights.grad.isfinite().all()
    assert (loss[0] == 0).all() and loss[1, 0].item() == pytest.approx(1, rel=1e-5) and (loss[:, 1] == 0).all()


def test_no_rays_and_mistakes(device):
    none = torch.zeros(0, 4, device=device)
    assert proposal_bound(none, none[:, 1:], none[:, 2:]).shape == (0, 1)
    edges, weights = torch.zeros(2, 4, device=device), torch.zeros(2, 3, device=device)
    for wrong in (
        (edges, edges, edges),
        (edges, weights, edges[:1]),
        (edges[:, :1], weights[:, :0], edges),
        (edges, weights, edges[0]),
    ):
        with pytest.raises(ValueError, match="expected edges"):
            proposal_bound(*wrong)
    with pytest.raises(ValueError, match="expected one type"):
        proposal_bound(edges, weights.double(), edges)
