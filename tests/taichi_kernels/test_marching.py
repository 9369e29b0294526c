"""Marching through occupied cells: the same samples as step by step, exact counts, nothing outside the box."""

import pytest
import torch

from taichi_kernels.marching import march, pack_occupancy
from taichi_kernels.rays import box_intersection
from tests.reference import marching as twin

BOX = torch.tensor([[-1.0, -2.0, -0.5], [2.0, 1.0, 1.5]])


def rays(count, seed=0):
    g = torch.Generator().manual_seed(seed)
    origins = 6 * torch.nn.functional.normalize(torch.randn(count, 3, generator=g), dim=1)
    targets = BOX[0] + (BOX[1] - BOX[0]) * torch.rand(count, 3, generator=g)
    return origins, 0.4 * (targets - origins), torch.rand(count, generator=g)


def outer(levels):
    center, half = BOX.mean(0), (BOX[1] - BOX[0]) / 2
    return torch.stack([center - half * 2 ** (levels - 1), center + half * 2 ** (levels - 1)])


def grid(levels, cells, fraction, seed=1):
    return torch.rand(levels, cells, cells, cells, generator=torch.Generator().manual_seed(seed)) < fraction


def run(device, occupied, count=60, **settings):
    levels = len(occupied)
    origins, directions, jitter = (t.to(device) for t in rays(count))
    near, far = box_intersection(origins, directions, outer(levels).to(device))
    samples = march(origins, directions, near, far, jitter, pack_occupancy(occupied.to(device)), BOX.to(device), **settings)
    return samples, (origins, directions, near, far, jitter)


@pytest.mark.parametrize(
    "levels, settings",
    [(1, {"step": 0.05}), (1, {"step": 0.2}), (3, {"step": 0.05}), (3, {"step": 0.02, "cone": 0.03, "most_step": 0.6})],
)
@pytest.mark.parametrize("cells, fraction", [(8, 0.03), (8, 0.5), (16, 0.004)])
def test_samples_are_those_of_marching_step_by_step(device, levels, settings, cells, fraction):
    occupied = grid(levels, cells, fraction)
    samples, inputs = run(device, occupied, **settings)
    lookup = (lambda level, x, y, z: bool(occupied[level, z, y, x]), cells, levels)
    wrong = total = 0
    for r, ray in enumerate(zip(*(t.tolist() for t in inputs), strict=True)):
        want = twin.march(*ray, lookup, BOX.tolist(), **settings)
        part = slice(int(samples.offsets[r]), int(samples.offsets[r + 1]))
        got = samples.t_starts[part].tolist()
        total += len(want)
        # in float32 some middles fall on the other side of a face: those samples alone may differ
        wrong += len([a for a, _ in want if not any(abs(a - b) < 1e-3 for b in got)])
        wrong += len([b for b in got if not any(abs(a - b) < 1e-3 for a, _ in want)])
    assert total > 4 and wrong <= max(1, 0.01 * total)


def test_what_a_sample_says(device):
    samples, (origins, directions, near, far, _) = run(device, grid(1, 8, 0.3), step=0.07)
    r = samples.rays.long()
    assert samples.offsets[-1] == len(r) and (samples.offsets.diff() == torch.bincount(r, minlength=60).to(device)).all()
    middle = (samples.t_starts + samples.t_ends) / 2
    assert torch.allclose(samples.positions, origins[r] + middle[:, None] * directions[r], atol=1e-4)
    assert ((samples.t_ends - samples.t_starts) * directions[r].norm(dim=1) - 0.07).abs().max() < 1e-4
    assert (samples.t_starts >= near[r]).all() and (samples.t_starts <= far[r]).all()
    same = r[1:] == r[:-1]
    assert (samples.t_starts[1:][same] >= samples.t_ends[:-1][same] - 1e-5).all()


def test_marching_in_parts_finds_the_same(device):
    """`most` samples at a time, each time from where the last march ended."""
    occupied = grid(1, 16, 0.2)
    whole, (origins, directions, near, far, _) = run(device, occupied, step=0.04)
    parts, at = [], near + run(device, occupied, step=0.04)[1][4] * 0.04 / directions.norm(dim=1)
    still = torch.zeros_like(near)
    for _ in range(60):
        some = march(origins, directions, at, far, still, pack_occupancy(occupied.to(device)), BOX.to(device), step=0.04, most=3)
        assert (some.offsets.diff() <= 3).all()
        parts.append(torch.stack([some.rays.float(), some.t_starts]))
        at = some.reached
    together = torch.cat(parts, 1)
    order = (together[0] * 1e3 + together[1]).argsort()
    assert abs(together.shape[1] - len(whole.rays)) <= 0.01 * len(whole.rays)
    if together.shape[1] == len(whole.rays):
        assert torch.allclose(together[1, order], whole.t_starts, atol=1e-3)
    assert torch.equal(at, far)


def test_empty_and_full_grids_and_no_rays(device):
    nothing, _ = run(device, torch.zeros(2, 8, 8, 8, dtype=torch.bool), step=0.1)
    assert nothing.t_starts.numel() == 0 and (nothing.offsets == 0).all()
    full, (_, directions, near, far, jitter) = run(device, torch.ones(1, 8, 8, 8, dtype=torch.bool), step=0.1)
    steps = ((far - near) * directions.norm(dim=1) / 0.1 - jitter).ceil().clamp(min=0)
    assert ((full.offsets.diff() - steps).abs() <= 1).all() and full.offsets[-1] > 500
    none, nowhere = torch.zeros(0, 3, device=device), pack_occupancy(torch.zeros(1, 8, 8, 8, dtype=torch.bool, device=device))
    empty = march(none, none, *[none[:, 0]] * 3, nowhere, BOX, step=0.1)
    assert empty.t_starts.numel() == 0 and empty.offsets.tolist() == [0]


def test_rays_along_faces_end(device):
    """Directions with zeros, through corners of cells."""
    origins = torch.tensor([[-3.0, -0.5, 0.5], [0.5, -4, 0.5], [0.5, -0.5, 4]], device=device)
    directions = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, -1]], device=device)
    near, far = box_intersection(origins, directions, BOX.to(device))
    for fraction in (0.0, 1.0, 0.4):
        occupied = grid(1, 8, fraction) if 0 < fraction < 1 else torch.full((1, 8, 8, 8), bool(fraction))
        samples = march(
            origins,
            directions,
            near,
            far,
            torch.zeros(3, device=device),
            pack_occupancy(occupied.to(device)),
            BOX.to(device),
            step=0.1,
        )
        if fraction == 1:
            assert (samples.offsets.diff() >= torch.tensor([30, 30, 20], device=device)).all()


def test_wrong_shapes_are_told(device):
    with pytest.raises(ValueError, match="multiple of 8"):
        pack_occupancy(torch.zeros(1, 12, 12, 12, dtype=torch.bool))
    one, three = torch.zeros(2, device=device), torch.zeros(2, 3, device=device)
    nowhere = pack_occupancy(torch.zeros(1, 8, 8, 8, dtype=torch.bool, device=device))
    with pytest.raises(ValueError, match="step above 0"):
        march(three, three, one, one, one, nowhere, BOX, step=0.0)
    with pytest.raises(ValueError, match="expected origins"):
        march(three, three, one, one, one[:1], nowhere, BOX, step=0.1)
