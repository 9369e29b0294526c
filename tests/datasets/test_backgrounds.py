"""What pixels are composited over."""

import numpy as np
import pytest
import torch

from datasets.backgrounds import photograph_over, rendering_over

COLOURS = torch.tensor([[255, 51, 0], [0, 102, 255]], dtype=torch.uint8)
ALPHA = torch.tensor([51, 255], dtype=torch.uint8)  # 0.2 and 1


@pytest.mark.parametrize(
    ("background", "expected"),
    [("black", [0.2, 0.04, 0]), ("white", [1, 0.84, 0.8]), (torch.tensor([0.5, 0, 1]), [0.6, 0.04, 0.8])],
)
def test_a_photograph_over_a_background(background, expected):
    over = photograph_over(COLOURS, ALPHA, background)
    torch.testing.assert_close(over, torch.tensor([expected, [0, 0.4, 1]]))
    opaque = photograph_over(COLOURS, None, background)
    torch.testing.assert_close(opaque, torch.tensor([[1, 0.2, 0], [0, 0.4, 1]]))


def test_stored_colours_count_over_black_alone():
    assert photograph_over(COLOURS, ALPHA, "black", stored_over_black=True)[0].tolist() == [1, pytest.approx(0.2), 0]
    white = photograph_over(COLOURS, ALPHA, "white", stored_over_black=True)
    assert torch.equal(white, photograph_over(COLOURS, ALPHA, "white"))


def test_bytes_are_the_rounded_product_for_every_colour_and_alpha():
    colour, alpha = np.meshgrid(np.arange(256), np.arange(256))
    over = photograph_over(torch.from_numpy(colour[..., None]).byte(), torch.from_numpy(alpha).byte(), "black", in_bytes=True)
    assert over.dtype == torch.uint8 and np.array_equal(over[..., 0].numpy(), (2 * colour * alpha + 255) // 510)


@pytest.mark.parametrize(
    ("background", "expected"),
    [("black", [0.1, 0.2, 0.3]), ("white", [0.6, 0.7, 0.8]), (torch.tensor([1, 0, 0.5]), [0.6, 0.2, 0.55])],
)
def test_a_rendering_over_a_background(background, expected):
    image, transmittance = torch.tensor([[0.1, 0.2, 0.3]]), torch.tensor([0.5])
    torch.testing.assert_close(rendering_over(image, transmittance, background), torch.tensor([expected]))
