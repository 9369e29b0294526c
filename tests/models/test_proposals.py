"""Proposals: their intervals, annealing, and what is differentiable."""

import math

import pytest
import torch

from models.proposal_field import ProposalField, ProposalShape
from models.proposal_sampler import ProposalSampler, annealing, edges_between, even_numbers
from models.rays import Rays

BOX = torch.tensor([[-1.0] * 3, [1.0] * 3])
SMALL = ProposalShape(levels=3, coarsest=8, finest=32, log2_rows=15)


def rays(count: int, seed: int = 0, spread: float = 0.3) -> Rays:
    """From z = 3 down through the box, some beside it for a large spread."""
    g = torch.Generator().manual_seed(seed)
    origins = torch.cat([spread * torch.randn(count, 2, generator=g), torch.full((count, 1), 3.0)], 1)
    directions = torch.cat([0.1 * torch.randn(count, 2, generator=g), -torch.rand(count, 1, generator=g) - 0.5], 1)
    norms = directions.norm(dim=1)
    return Rays(origins, directions, norms, directions / norms[:, None], torch.full_like(norms, 1e-3))


def sampler(device, density=None, counts=(32, 16, 8), **span) -> ProposalSampler:
    """density: of the proposals, at positions (M, 3); else they have one everywhere."""
    fields = [ProposalField(BOX, SMALL) for _ in counts[1:]]
    for field in fields if density is not None else ():
        field.density = density
    return ProposalSampler(fields, counts, **span).to(device)


def on(device, some: Rays) -> Rays:
    return Rays(*(t.to(device) for t in some))


def wall(positions):
    """Opaque matter at |z| < 0.05."""
    return 400.0 * (positions[:, 2].abs() < 0.05)


def drawn(made: ProposalSampler, some: Rays, generator=None, **settings):
    span = made.span(some)
    return span, *made(some, span, generator, **settings)


def test_intervals_are_ascending_and_inside(device):
    some = on(device, rays(500, spread=1.0))
    for density in (None, wall, lambda x: torch.rand(len(x), generator=torch.Generator().manual_seed(1)).to(x) ** 8 * 1e3):
        for generator in (None, torch.Generator().manual_seed(0)):
            span, intervals, rounds = drawn(sampler(device, density), some, generator)
            for each in (intervals, *(r.intervals for r in rounds)):
                assert (each.s.diff() >= 0).all() and each.s.min() >= 0 and each.s.max() <= 1
                assert (each.t.diff() >= -1e-6).all()
                assert (each.t >= span.near[:, None] - 1e-5).all() and (each.t <= span.far[:, None] + 1e-5).all()
            assert [r.weights.shape[1] for r in rounds] == [32, 16] and intervals.s.shape == (500, 9)


def test_equal_weights_give_even_intervals(device):
    """Little density everywhere: all rounds are even, and those without a generator cover the whole ray."""
    some = on(device, rays(50))
    _, intervals, rounds = drawn(sampler(device, lambda x: torch.full_like(x[:, 0], 1e-3)), some)
    for each, count in ((rounds[0].intervals, 32), (rounds[1].intervals, 16), (intervals, 8)):
        even = torch.linspace(0, 1, count + 1, device=device).expand(50, -1)
        torch.testing.assert_close(each.s, even, rtol=0, atol=5e-3)
    _, no_anneal, _ = drawn(sampler(device, wall), some, anneal=0.0)  # weights to the power of 0
    torch.testing.assert_close(no_anneal.s, torch.linspace(0, 1, 9, device=device).expand(50, -1), rtol=0, atol=5e-3)


def test_intervals_gather_where_the_density_is(device):
    some = on(device, rays(200))
    _, intervals, rounds = drawn(sampler(device, wall), some, torch.Generator().manual_seed(0))
    z = some.middles(intervals.t).view(200, 8, 3)[..., 2]
    met = rounds[-1].weights.sum(1) > 0.99  # others leave the box beside the wall
    assert met.float().mean() > 0.85 and (z[met].abs() < 0.1).all()


def test_one_jitter_moves_all_of_a_ray():
    u = even_numbers(1000, 4, torch.Generator().manual_seed(0), "cpu")
    torch.testing.assert_close(u.diff(), torch.full((1000, 3), 0.25))
    assert u.min() >= 0 and u.max() <= 1 and abs(float(u.mean()) - 0.5) < 0.01 and u[:, 0].std() > 0.06
    still = even_numbers(1000, 4, torch.Generator().manual_seed(0), "cpu", jitter=0.0)
    assert torch.equal(still, even_numbers(1000, 4, None, "cpu"))


def test_edges_lie_between_the_middles():
    edges = edges_between(torch.tensor([[0.1, 0.3, 0.4], [0.4, 0.6, 0.95]]))
    torch.testing.assert_close(edges, torch.tensor([[0, 0.2, 0.35, 0.45], [0.3, 0.5, 0.775, 1.0]]))


def test_annealing_goes_from_even_to_the_weights():
    values = [annealing(x / 10) for x in range(11)]
    assert values[0] == 0 and values[-1] == 1 and values == sorted(values)
    assert annealing(0.1) == pytest.approx(10 * 0.1 / (9 * 0.1 + 1))


def test_rays_of_unbounded_scenes_are_even_in_disparity(device):
    some = on(device, rays(20))
    span = sampler(device, near=0.1, far=1000.0, offset=1.0).span(some)
    s = torch.linspace(0, 1, 6, device=device).expand(20, -1)
    distances = span.t(s) * some.direction_norms[:, None]
    torch.testing.assert_close(distances[:, 0], torch.full((20,), 0.1, device=device), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(distances[:, -1], torch.full((20,), 1000.0, device=device), rtol=2e-3, atol=1e-3)
    even = (1 / (distances + 1)).diff()
    torch.testing.assert_close(even, even[:, :1].expand(-1, 5), rtol=1e-3, atol=1e-6)


def test_gradients_reach_the_weights_and_never_the_intervals(device):
    some, made = on(device, rays(30)), sampler(device)
    _, intervals, rounds = drawn(made, some, learn=True)
    assert not intervals.t.requires_grad and all(r.weights.requires_grad for r in rounds)
    rounds[1].weights.square().sum().backward()
    assert made.fields[1].table.grad.abs().max() > 0 and made.fields[0].table.grad is None  # levels do not mix
    assert not any(r.weights.requires_grad for r in drawn(made, some)[2])


def test_nothing_to_sample(device):
    none = on(device, rays(0))
    _, intervals, rounds = drawn(sampler(device), none)
    assert intervals.t.shape == (0, 9) and rounds[0].weights.shape == (0, 32)


def test_a_contracted_proposal_thins_out_with_the_distance():
    field = ProposalField(BOX, ProposalShape(levels=2, coarsest=4, finest=8, log2_rows=10, contracted=True))
    positions = torch.tensor([[0.0, 0, 0], [1, 0, 0], [4, 0, 0]])
    torch.testing.assert_close(field.density(positions), torch.tensor([1.0, 1, 0.25]))
    assert math.isfinite(float(field.density(torch.tensor([[1e6, 0, 0]]))))
