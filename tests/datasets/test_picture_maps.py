"""Shiny Blender's layout: normals and alpha in files beside the pictures."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

from datasets.normal_maps import decoded_normals, encoded_normals
from datasets.scales import at_scales
from tests.datasets.written_scene import load, picture, refusal, write_scene


def dome(width: int, height: int) -> np.ndarray:
    """Unit vectors (H, W, 3) that tilt to the left and to the right; the first row has none."""
    x = np.broadcast_to(np.linspace(-0.9, 0.9, width), (height, width))
    vectors = np.stack([x, 0 * x, np.sqrt(1 - x * x)], -1)
    return np.where(np.arange(height)[:, None, None] > 0, vectors, 0)


def save_normals(folder, count=2, width=8, height=6) -> np.ndarray:
    vectors = dome(width, height)
    for view in range(count):
        Image.fromarray(encoded_normals(vectors)).save(folder / f"test/r_{view}_normal.png")
    return vectors


def test_bytes_hold_unit_vectors():
    vectors = np.random.default_rng(0).normal(size=(500, 3))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    found = decoded_normals(encoded_normals(7 * vectors))
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    assert np.degrees(np.arccos((found * unit).sum(1).clip(-1, 1))).max() < 0.5
    assert encoded_normals(np.array([[0.0, 0, 0], [0, -1, 1]])).tolist() == [[0, 0, 0], [128, 37, 218]]
    nothing = np.array([[0, 0, 0], [128, 128, 128], [127, 127, 127], [255, 255, 255]], np.uint8)
    assert not decoded_normals(nothing).any()
    half = np.rint(255 * (0.5 + 0.25 * unit[:1])).astype(np.uint8)  # a rim: half of it is grey
    assert np.abs(decoded_normals(half) - unit[0]).max() < 0.02


@pytest.mark.parametrize("method", ["points", "nerf"])
def test_normals_of_the_test_views_are_read(tmp_path, method):
    write_scene(tmp_path)
    vectors = save_normals(tmp_path)
    (tmp_path / "train/r_0_normal.png").write_text("not read")
    scene = load(tmp_path, method=method)
    assert scene.train.normals is None
    assert np.abs(scene.test.normal(1).numpy() - vectors).max() < 0.01 and not scene.test.normal(0)[0].any()
    assert scene.test.subset([1]).normals.shape == (1, 6, 8, 3)
    with pytest.raises(ValueError, match="no normals"):
        scene.train.normal(0)


def test_normals_are_averaged_as_vectors(tmp_path):
    """Of a fan from -64 to 64 degrees, pairs have the mean direction of the two, and all of them the middle."""
    write_scene(tmp_path, size=(16, 12))
    vectors = save_normals(tmp_path, width=16, height=12)
    small = load(tmp_path, img_s=8).test
    expected = vectors[2:4, 0] + vectors[2:4, 1]
    expected = expected[0] / np.linalg.norm(expected[0])
    assert np.abs(small.normal(0)[1, 0].numpy() - expected).max() < 0.01
    torch.testing.assert_close(small.normal(0).norm(dim=-1), torch.ones(6, 8))  # the empty row does not count
    assert small.shrunk(2).normals.shape == (2, 3, 4, 3)
    half = small.shrunk(2).normal(0)
    assert half[1, 3].abs().max() == 0  # transparent there: the right half of these pictures
    assert half[1, 0, 0] < -0.6 and half[1, 0].norm() == pytest.approx(1, abs=1e-5)
    sizes = at_scales(small, (1, 2))
    assert len(sizes.normals) == 4 and torch.equal(sizes.normal(2), half)


def test_pictures_with_alpha_in_another_file_are_those_with_alpha(tmp_path):
    """Shiny Blender's ball; at full size and shrunk, where hidden colours must not count."""
    whole, parted = write_scene(tmp_path / "rgba", size=(64, 12)), tmp_path / "ball"
    write_scene(parted, size=(64, 12), mode="RGB")
    for path in whole.glob("*/r_?.png"):
        Image.open(path).getchannel("A").save(parted / path.parent.name / f"{path.stem}_alpha.png")
    for size in (None, 32, 13):
        one, other = load(whole, img_s=size), load(parted, img_s=size)
        for split in ("train", "test"):
            assert np.array_equal(getattr(one, split).alpha, getattr(other, split).alpha)
            assert np.array_equal(getattr(one, split).images, getattr(other, split).images)
        assert other.train.black_if_transparent == one.train.black_if_transparent is False


def test_a_picture_with_alpha_of_its_own_needs_no_other(tmp_path):
    write_scene(tmp_path)
    for view in range(3):
        Image.new("L", (8, 6)).save(tmp_path / f"train/r_{view}_alpha.png")
    assert load(tmp_path).train.alpha.max() == 255


def test_a_map_that_is_missing_or_wrong_is_named(tmp_path):
    write_scene(tmp_path, mode="RGB")
    save_normals(tmp_path, count=1)
    (tmp_path / "train/r_0_alpha.png").write_bytes(b"")
    said = refusal(tmp_path, method="nerf")
    assert "train/r_1_alpha.png is missing: 1 of the 3 pictures of its split have such a file" in said
    for view in range(3):
        picture(8, 6, mode="L").save(tmp_path / f"train/r_{view}_alpha.png")
    picture(4, 3, mode="L").save(tmp_path / "train/r_2_alpha.png")
    assert "r_2_alpha.png is 4x3 px, but its picture r_2.png is 8x6 px" in refusal(tmp_path, method="nerf")
    picture(8, 6, mode="L").save(tmp_path / "train/r_2_alpha.png")
    assert "test/r_1_normal.png is missing: 1 of the 2 pictures" in refusal(tmp_path, method="nerf")
    save_normals(tmp_path, count=2, width=9)
    assert "r_0_normal.png is 9x6 px, but its picture r_0.png is 8x6 px" in refusal(tmp_path, method="nerf")
    save_normals(tmp_path)
    (tmp_path / "test/r_1_normal.png").write_bytes((tmp_path / "test/r_1_normal.png").read_bytes()[:60])
    assert "r_1_normal.png cannot be decoded" in refusal(tmp_path, method="nerf")


def test_an_angle_of_normal_maps_is_that_of_the_surface():
    """The worst rounding of 8 bits is a third of a degree."""
    turn = np.linspace(0, 2 * math.pi, 997)
    vectors = np.stack([np.cos(turn), np.sin(turn), 0 * turn], 1)
    cosine = (decoded_normals(encoded_normals(vectors)) * vectors).sum(1)
    assert np.degrees(np.arccos(cosine.clip(-1, 1))).max() < 0.4
