"""The photometric loss against hand-worked values and its plain-torch twin."""

import pytest
import torch

from taichi_kernels.photometric import photometric_loss
from tests.reference import photometric as twin


@pytest.mark.parametrize("size", [(40, 61), (3, 9), (1, 1), (2, 700), (600, 5)])
@pytest.mark.parametrize("background", [0.0, 1.0])
def test_agrees_with_twin(device, size, background):
    g = torch.Generator().manual_seed(0)
    image = (torch.rand(*size, 3, generator=g) * 1.4 - 0.2).to(device)
    alpha = torch.rand(*size, generator=g).to(device)
    target = torch.rand(*size, 3, generator=g).to(device)
    results = []
    for function in (photometric_loss, twin.photometric_loss):
        leaves = [image.clone().requires_grad_(), alpha.clone().requires_grad_()]
        loss, squared = function(*leaves, target, background=background, gradient_weight=0.3)
        (loss * 2).backward()
        results.append([loss.detach(), squared.detach(), *(leaf.grad for leaf in leaves)])
    for got, want in zip(*results, strict=True):
        assert torch.allclose(got, want, rtol=1e-4, atol=1e-7), (got - want).abs().max()


def test_worked_by_hand(device):
    """Two pixels side by side, errors 0.5 and 0: squares 0.125, one difference of 0.5."""
    image = torch.tensor([[[0.5] * 3, [0.25] * 3]], device=device)
    target = torch.tensor([[[0.0] * 3, [0.25] * 3]], device=device)
    loss, squared = photometric_loss(image, torch.ones(1, 2, device=device), target, gradient_weight=0.6)
    assert squared.item() == pytest.approx(0.125)
    assert loss.item() == pytest.approx(0.125 + 0.6 / 3 * 0.5)


def test_clamped_colours_have_no_gradient(device):
    image = torch.full((4, 4, 3), 1.5, device=device, requires_grad=True)
    photometric_loss(image, torch.ones(4, 4, device=device), torch.zeros(4, 4, 3, device=device))[0].backward()
    assert (image.grad == 0).all()
