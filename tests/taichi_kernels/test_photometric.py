"""The photometric loss against hand-worked values and its plain-torch twin."""

import pytest
import torch

from taichi_kernels.photometric import photometric_loss
from tests.reference import photometric as twin


def pictures(size, device, dtype=torch.float32):
    g = torch.Generator().manual_seed(0)
    image = torch.rand(*size, 3, generator=g, dtype=torch.float64) * 1.4 - 0.2
    return image.to(dtype).to(device), torch.rand(*size, 3, generator=g, dtype=torch.float64).to(dtype).to(device)


@pytest.mark.parametrize("size", [(40, 61), (3, 9), (1, 1), (2, 700), (600, 5), (64, 64)])
def test_agrees_with_twin(device, size):
    image, target = pictures(size, device)
    results = []
    for function in (photometric_loss, twin.photometric_loss):
        leaf = image.clone().requires_grad_()
        loss, squared = function(leaf, target, gradient_weight=0.3)
        (loss * 2).backward()
        results.append([loss.detach(), squared.detach(), leaf.grad])
    for got, want in zip(*results, strict=True):
        assert torch.allclose(got, want, rtol=1e-4, atol=1e-7), (got - want).abs().max()


def test_gradcheck_float64(device):
    image, target = pictures((5, 6), device, torch.float64)
    image = (image * 0.5 + 0.3).requires_grad_()  # away from the clamp
    assert torch.autograd.gradcheck(lambda i: photometric_loss(i, target)[0], image, eps=1e-7)


def test_bytes_are_fractions_of_255(device):
    image, _ = pictures((9, 12), device)
    target = torch.randint(0, 256, (9, 12, 3), dtype=torch.uint8).to(device)
    leaves = [image.clone().requires_grad_() for _ in range(2)]
    losses = [photometric_loss(leaf, t)[0] for leaf, t in zip(leaves, (target, target.float() / 255), strict=True)]
    gradients = [torch.autograd.grad(loss, leaf)[0] for loss, leaf in zip(losses, leaves, strict=True)]
    assert losses[0].item() == pytest.approx(losses[1].item(), rel=1e-6)
    assert torch.allclose(*gradients, rtol=1e-4, atol=1e-8) and gradients[0].abs().max() > 0


def test_worked_by_hand(device):
    """Two pixels side by side, errors 0.5 and 0: squares 0.125, one difference of 0.5."""
    image = torch.tensor([[[0.5] * 3, [0.25] * 3]], device=device)
    target = torch.tensor([[[0.0] * 3, [0.25] * 3]], device=device)
    loss, squared = photometric_loss(image, target, gradient_weight=0.6)
    assert squared.item() == pytest.approx(0.125)
    assert loss.item() == pytest.approx(0.125 + 0.6 / 3 * 0.5)


def test_clamped_colours_have_no_gradient(device):
    image = torch.full((4, 4, 3), 1.5, device=device, requires_grad=True)
    photometric_loss(image, torch.zeros(4, 4, 3, device=device))[0].backward()
    assert (image.grad == 0).all()
