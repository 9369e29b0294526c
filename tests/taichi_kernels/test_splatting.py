"""The splatting op against its plain-torch twin, in value and gradient, and its promises at the extremes."""

import pytest
import torch

from taichi_kernels.splatting import splat
from tests.reference import splatting as twin

PROFILES = ["parabola", "gaussian"]


def cloud(count, width, height, channels=3, radius=3.0, seed=0, dtype=torch.float32, device="cpu"):
    """Random splats over the image and a little outside, of varied radius and opacity."""
    g = torch.Generator().manual_seed(seed)
    rand = lambda *shape: torch.rand(*shape, generator=g, dtype=torch.float64)  # noqa: E731
    size = torch.tensor([width, height], dtype=torch.float64)
    values = {
        "centers": rand(count, 2) * (size + 8) - 4,
        "depths": rand(count) * 4 + 0.5,
        "radii": radius * (0.5 + rand(count)),
        "opacities": 0.1 + 0.85 * rand(count),
        "features": rand(count, channels),
    }
    return {k: v.to(dtype).to(device) for k, v in values.items()}


def both(values, width, height, **settings):
    """Outputs and gradients of the op and of the twin for the same random output gradient."""
    results = []
    for function in (splat, twin.splat):
        leaves = {k: v.detach().clone().requires_grad_() for k, v in values.items()}
        image, alpha, depth = function(*leaves.values(), width, height, **settings)
        g = torch.Generator().manual_seed(1)
        weight = torch.randn(*image.shape, generator=g, dtype=torch.float64).to(image)
        loss = (image * weight).sum() + (alpha * weight[..., 0].flip(0)).sum()
        if depth is not None:
            loss = loss + (depth * weight[..., 0]).sum()
        loss.backward()
        outputs = [image, alpha] + ([depth] if depth is not None else [])
        results.append(([o.detach() for o in outputs], {k: v.grad for k, v in leaves.items() if v.grad is not None}))
    return results


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("max_layers", [0, 5])
@pytest.mark.parametrize("size", [(33, 21), (8, 16), (70, 50)])
def test_agrees_with_twin(device, profile, max_layers, size):
    values = cloud(400, *size, device=device)
    (got, got_grad), (want, want_grad) = both(values, *size, profile=profile, max_layers=max_layers)
    for g, w in zip(got, want, strict=True):
        assert torch.allclose(g, w, atol=2e-5), (g - w).abs().max()
    for name in want_grad:
        if name == "depths":
            continue
        g, w = got_grad[name], want_grad[name]
        assert torch.nn.functional.cosine_similarity(g.flatten(), w.flatten(), 0) > 0.9999, name
        assert (g - w).norm() < 1e-2 * w.norm(), name


def test_depth_and_many_channels(device):
    values = cloud(200, 30, 20, channels=7, device=device)
    (got, got_grad), (want, want_grad) = both(values, 30, 20, with_depth=True)
    for g, w in zip(got, want, strict=True):
        assert torch.allclose(g, w, atol=1e-4), (g - w).abs().max()
    for name in want_grad:
        assert torch.allclose(got_grad[name], want_grad[name], rtol=1e-2, atol=2e-3 * want_grad[name].abs().max()), name


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("max_layers", [0, 3])
def test_gradcheck_float64(device, profile, max_layers):
    """Central differences in float64 on a tiny image; opacities keep alpha away from 1 and sizes away from the rim."""
    values = cloud(12, 9, 7, channels=2, radius=4.0, dtype=torch.float64, device=device, seed=3)
    names = ["centers", "radii", "opacities", "features"]
    leaves = [values[n].requires_grad_() for n in names]

    def function(centers, radii, opacities, features):
        image, alpha, _ = splat(
            centers,
            values["depths"],
            radii,
            opacities,
            features,
            9,
            7,
            profile=profile,
            max_layers=max_layers,
            min_transmittance=0.0,
        )
        return image, alpha

    assert torch.autograd.gradcheck(function, leaves, eps=1e-7, atol=1e-5, rtol=1e-4)
