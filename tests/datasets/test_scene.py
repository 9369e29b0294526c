"""Splits: shrinking, selecting and compositing their views."""

import numpy as np
import pytest
import torch

from datasets.scene import Split
from tests.scenes import sphere_split, with_sizes


def test_shrunk_views_are_what_a_coarser_camera_sees():
    """A picture at a quarter of its size against the same sphere drawn at that size, to the difference of 64 and 4 samples."""
    small, drawn = sphere_split(3, width=64, height=60).shrunk(4), sphere_split(3, width=16, height=15)
    assert small.images.shape == (3, 15, 16, 3) and small.names == drawn.names
    torch.testing.assert_close(small.cameras.intrinsics, drawn.cameras.intrinsics)
    assert (small.cameras.width, small.cameras.height) == (16, 15)
    difference = small.alpha.astype(int) - drawn.alpha
    assert abs(difference).mean() < 4 and (small.alpha > 0).any()
    for view in range(3):
        assert ((small.picture(view, "white") - drawn.picture(view, "white")) ** 2).mean() < 1e-3


def test_views_of_several_sizes_are_what_each_alone_is():
    """Pictures, shrinking and choosing go view by view."""
    whole, mixed = sphere_split(4, width=48, height=48), with_sizes(sphere_split(4, width=48, height=48))
    assert not mixed.cameras.same_size and mixed.cameras.size(2) == (42, 40) and mixed.cameras.width == 48
    for background in ("black", "white"):
        assert torch.equal(mixed.picture(2, background), whole.picture(2, background)[:40, 6:])
    small = mixed.shrunk(2)
    assert torch.equal(small.picture(2, "white"), mixed.subset([2]).shrunk(2).picture(0, "white"))
    assert small.cameras.size(2) == (21, 20) and small.cameras.intrinsics[2, 0, 2] == (24 - 6) / 2
    alike = mixed.subset([3, 0])
    assert isinstance(alike.images, np.ndarray) and alike.images.shape == (2, 48, 48, 3) and alike.names == ["r_3", "r_0"]


def test_colours_are_averaged_by_alpha():
    images = np.array([[[[200, 0, 0], [7, 9, 11]], [[100, 0, 0], [7, 9, 11]]]], np.uint8)
    alpha = np.array([[[255, 0], [255, 0]]], np.uint8)
    cameras = sphere_split(1, width=2, height=2).cameras
    small = Split(images, alpha, cameras, ["a"]).shrunk(2)
    assert small.images.tolist() == [[[[150, 0, 0]]]] and small.alpha.tolist() == [[[128]]]
    flat = Split(images, None, cameras, ["a"]).shrunk(2)
    assert flat.alpha is None and flat.images[0, 0, 0, 0] == pytest.approx(78.5, abs=0.6)
    assert Split(images, None, cameras, ["a"]).shrunk(9).images.shape == (1, 1, 1, 3)
