"""What must hold for any splats: exact cases, invariances, and finite gradients at the extremes."""

import pytest
import torch

from taichi_kernels import runtime
from taichi_kernels.splatting import splat
from tests.reference import splatting as twin
from tests.taichi_kernels.test_splatting import cloud


def tensors(device, **values):
    return {k: torch.tensor(v, device=device) for k, v in values.items()}


def test_point_on_a_pixel_centre_is_opaque(device):
    """alpha = 1 at its own pixel, 1 - 1 / 4 at the four neighbours of a splat of radius 2; nothing behind shows through."""
    t = tensors(device, centers=[[2.5, 3.5], [2.5, 3.5]], depths=[1.0, 2.0], features=[[0.25], [1.0]])
    image, alpha, depth = splat(t["centers"], t["depths"], 2.0, None, t["features"], 6, 7, with_depth=True)
    assert alpha[3, 2] == 1 and image[3, 2, 0] == 0.25 and depth[3, 2] == 1
    assert alpha[3, 3].item() == pytest.approx(1 - 0.25**2)
    assert image[3, 3, 0].item() == pytest.approx(0.75 * 0.25 + 0.25 * 0.75)


def test_nothing_to_draw(device):
    empty = splat(
        torch.zeros(0, 2, device=device), torch.zeros(0, device=device), 1.0, None, torch.zeros(0, 3, device=device), 5, 4
    )
    assert empty.image.shape == (4, 5, 3) and (empty.image == 0).all() and (empty.alpha == 0).all()
    values = cloud(50, 20, 20, device=device)
    values["depths"] = -values["depths"]
    assert (splat(*values.values(), 20, 20).alpha == 0).all()


def test_order_of_the_points_does_not_matter(device):
    values = cloud(300, 40, 30, device=device)
    shuffled = torch.randperm(300, generator=torch.Generator().manual_seed(0)).to(device)
    a, b = splat(*values.values(), 40, 30), splat(*(v[shuffled] for v in values.values()), 40, 30)
    assert torch.equal(a.image, b.image) and torch.equal(a.alpha, b.alpha)


def test_a_window_of_the_picture_is_the_picture_of_the_window(device):
    """Tiles fall differently on a shifted picture; the pixels must not change."""
    values = cloud(2000, 64, 48, device=device)
    whole = splat(*values.values(), 64, 48)
    values["centers"] = values["centers"] - torch.tensor([13.0, 5.0], device=device)
    part = splat(*values.values(), 40, 33)
    assert torch.allclose(part.image, whole.image[5:38, 13:53], atol=2e-5)


def test_many_splats_in_one_tile(device):
    """Thousands of entries in a tile, sorted by several radix passes: the result follows the depths."""
    values = cloud(5000, 8, 8, device=device)
    values["opacities"] = values["opacities"] * 0.01
    image, alpha, _ = splat(*values.values(), 8, 8)
    order = values["depths"].argsort()
    again = splat(*(v[order] for v in values.values()), 8, 8)
    assert torch.equal(image, again.image) and alpha.max() > 0.5


def test_rows_of_a_tile_that_finish_first_hide_what_lies_behind_and_nothing_else(device):
    """A hundred opaque splats fill the middle rows of a tile; splats behind them show in the other rows only, as in the twin."""
    g = torch.Generator().manual_seed(3)
    front, back = 100, 60
    rows = torch.cat([6 + 4 * torch.rand(front, generator=g), 16 * torch.rand(back, generator=g)])
    values = {
        "centers": torch.stack([8 * torch.rand(front + back, generator=g), rows], 1),
        "depths": torch.cat([1 + torch.rand(front, generator=g), 3 + torch.rand(back, generator=g)]),
        "radii": torch.cat([torch.full((front,), 3.0), torch.full((back,), 1.5)]),
        "opacities": torch.full((front + back,), 0.95),
        "features": torch.rand(front + back, 3, generator=g),
    }
    results = []
    for function, where in ((splat, device), (twin.splat, torch.device("cpu"))):
        leaves = {k: v.to(where).requires_grad_(k != "depths") for k, v in values.items()}
        image, alpha, _ = function(*leaves.values(), 8, 16)
        weights = torch.rand(image.shape, generator=torch.Generator().manual_seed(1)).to(where)
        chosen = [leaves[name] for name in ("centers", "radii", "opacities", "features")]
        gradients = torch.autograd.grad((image * weights).sum(), chosen)
        results.append([t.detach().cpu() for t in (image, alpha, *gradients)])
    assert (results[1][1] > 1 - 1e-4).any() and (results[1][1] < 0.5).any()  # some rows are finished, some are not
    for got, want in zip(*results, strict=True):
        assert torch.allclose(got, want, rtol=2e-3, atol=2e-4), (got - want).abs().max()


@pytest.mark.parametrize("workers", [1, 3, 8])
def test_the_number_of_workers_changes_nothing(device, monkeypatch, workers):
    """Points are counted and tiles are shared out by worker; the picture and the gradients keep every bit."""
    if runtime.is_gpu():
        pytest.skip("the GPU schedule has no workers")

    def picture_and_gradients():
        leaves = {k: v.clone().requires_grad_() for k, v in cloud(2500, 90, 70, device=device).items()}
        image, alpha, _ = splat(*leaves.values(), 90, 70)
        chosen = [leaves[name] for name in ("centers", "radii", "opacities", "features")]
        return image, alpha, *torch.autograd.grad(image.square().sum() + alpha.sum(), chosen)

    two = picture_and_gradients()
    monkeypatch.setattr(runtime, "workers", lambda: workers)
    for one, other in zip(two, picture_and_gradients(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.skipif(runtime.available_threads() < 2, reason="needs two threads")
def test_same_bits_in_every_run(device):
    values = {k: v.requires_grad_() for k, v in cloud(3000, 60, 60, device=device).items()}
    gradients = []
    for _ in range(3):
        image, alpha, _ = splat(*values.values(), 60, 60)
        gradients.append(torch.autograd.grad(image.square().sum() + alpha.sum(), [values["centers"], values["radii"]]))
    for other in gradients[1:]:
        assert all(torch.equal(a, b) for a, b in zip(gradients[0], other, strict=True))


@pytest.mark.parametrize("profile", ["parabola", "gaussian"])
def test_gradients_are_finite_at_extremes(device, profile):
    """Far outside, huge, tiny, opaque, transparent and coincident splats."""
    big = 1e20
    values = tensors(
        device,
        centers=[[0.0, 0.0], [big, -big], [4.5, 4.5], [4.5, 4.5], [3.0, 3.0], [8.0, 2.0]],
        depths=[1.0, 2.0, 1e-6, 1e20, 3.0, 3.0],
        radii=[1e4, 2.0, 1e-3, 3.0, 2.0, 1e-20],
        opacities=[1e-6, 1.0, 1.0, 1.0, 0.0, 1.0],
        features=[[1e6], [1.0], [-1e6], [0.5], [1.0], [1.0]],
    )
    leaves = {k: v.requires_grad_() for k, v in values.items()}
    image, alpha, _ = splat(*leaves.values(), 9, 9, profile=profile)
    (image.sum() + alpha.sum()).backward()
    assert torch.isfinite(image).all() and torch.isfinite(alpha).all()
    for name in ("centers", "radii", "opacities", "features"):
        assert torch.isfinite(leaves[name].grad).all(), name
