"""Damaged masks: reproducible, unchanged at amount 0, and with the amount of damage that was asked for."""

import math

import numpy as np
import pytest

from datasets.mask_corruption import corrupt, random_affine
from settings.errors import InputError
from settings.masks import KINDS, parse_corruption
from tests.scenes import sphere_split

SIZE = 100  # px, a quarter of the width that lengths are given for


@pytest.fixture(scope="module")
def split():
    return sphere_split(12, width=SIZE, height=90)


def fraction(split, wrong) -> np.ndarray:
    """Pixels of a (V, H, W) bool array as a fraction of each view's object."""
    return wrong.sum((1, 2)) / (split.alpha > 0).sum((1, 2))


def taken_and_added(split, damage, amount):
    damaged = corrupt(split, [(damage, amount)], 0)
    taken = (split.alpha > 0) & (damaged.alpha == 0)
    added = (split.alpha == 0) & (damaged.alpha > 0)
    return fraction(split, taken), fraction(split, added)


@pytest.mark.parametrize("damage", KINDS)
def test_the_seed_decides_and_zero_changes_nothing(split, damage):
    amount = {"affine": 0.3, "missing": 0.3, "empty": 0.3, "holes": 0.2, "parts": 0.2, "blobs": 0.2, "jpeg": 60}.get(damage, 20)
    one, again, other = (corrupt(split, [(damage, amount)], seed) for seed in (0, 0, 1))
    assert np.array_equal(one.alpha, again.alpha) and np.array_equal(one.images, again.images)
    if damage not in ("erode", "dilate", "jpeg"):  # these draw nothing
        assert not np.array_equal(one.alpha, other.alpha)
    assert not np.array_equal(one.alpha, split.alpha)
    assert corrupt(split, [(damage, 0.0)], 0) is split


def test_colours_follow_the_mask_and_the_originals_stay(split):
    before = split.images.copy(), split.alpha.copy()
    damaged = corrupt(split, [("blobs", 0.2), ("holes", 0.2)], 0)
    assert np.array_equal(damaged.images.any(-1), damaged.alpha > 0)
    assert np.array_equal(split.images, before[0]) and np.array_equal(split.alpha, before[1])


def test_a_views_damage_does_not_depend_on_the_others(split):
    some = corrupt(split.subset([0, 1, 2]), [("ragged", 5.0)], 0)
    assert np.array_equal(some.alpha, corrupt(split, [("ragged", 5.0)], 0).alpha[:3])


def test_affine_keeps_the_forks_ranges():
    rng, width, height, x = np.random.default_rng(0), 400, 300, 0.12
    draws = [random_affine(rng, x, width, height) for _ in range(2000)]
    centre = np.array([(height - 1) / 2, (width - 1) / 2])
    determinants = np.array([np.linalg.det(matrix) for matrix, _ in draws])
    # the position whose source is the centre: how far the picture moved, in (row, column)
    shift = np.array([np.linalg.solve(matrix, centre - offset) - centre for matrix, offset in draws])
    assert np.abs(shift[:, 1]).max() <= 0.06 * width + 1e-6 and np.abs(shift[:, 1]).max() > 0.058 * width
    assert np.abs(shift[:, 0]).max() <= 0.06 * height + 1e-6 and np.abs(shift.mean(0)).max() < 1
    # rotation and shears keep areas up to cos(shear y), scale changes them by its square
    scale = 1 / np.sqrt(determinants)
    assert 0.93 < scale.min() < 0.96 and 1.10 < scale.max() < 1.14
    rotations = np.array([np.degrees(np.arctan2(matrix[1, 0], matrix[0, 0])) for matrix, _ in draws])
    assert 10.8 < np.abs(rotations).max() <= 22 and abs(rotations.mean()) < 0.5


class Drawn:
    """A random generator whose next uniform numbers are given, and which notes their ranges."""

    def __init__(self, *values):
        self.values, self.ranges = list(values), []

    def uniform(self, low, high, size=None):
        self.ranges.append((low, high, size))
        return np.array(self.values.pop(0), float)


@pytest.mark.parametrize(
    "turn, shear_x, shear_y, forward",
    [
        (30, 0, 0, [[math.cos(math.pi / 6), -0.5], [0.5, math.cos(math.pi / 6)]]),
        (0, 10, 0, [[1, -math.tan(math.radians(10))], [0, 1]]),
        (0, 0, 10, [[1, 0], [-math.tan(math.radians(10)), 1]]),
    ],
)
def test_affine_worked_by_hand(turn, shear_x, shear_y, forward):
    """Where torchvision's rotation, shears and scale, about the centre, take the columns and rows of a picture."""
    rng = Drawn([turn, shear_x, shear_y], [0.1, -0.2], 1.5)
    matrix, offset = random_affine(rng, 0.5, 101, 51)
    assert rng.ranges == [(-45, 45, 3), (-0.25, 0.25, 2), (0.75, 1.5, None)]
    back = np.linalg.inv(1.5 * np.array(forward))
    assert matrix == pytest.approx(back[::-1, ::-1])
    position = np.array([60.0, 20.0])  # column, row of the result; the centre is (50, 25), the shift (10.1, -10.2)
    source = back @ (position - (50, 25) - (10.1, -10.2)) + (50, 25)
    assert matrix @ position[::-1] + offset == pytest.approx(source[::-1])


def test_affine_moves_a_picture_as_its_map_says(split):
    damaged = corrupt(split, [("affine", 0.2)], 3)
    matrix, offset = random_affine(np.random.default_rng([3, 0, 0, 5]), 0.2, SIZE, 90)
    for row, column in ((45, 50), (30, 60), (60, 30)):
        source = np.rint(matrix @ (row, column) + offset).astype(int)
        assert (damaged.images[5, row, column] == split.images[5, source[0], source[1]]).all()


@pytest.mark.parametrize("damage, sign", [("erode", -1), ("dilate", 1)])
def test_rims_have_their_width(split, damage, sign):
    taken, added = taken_and_added(split, damage, 20.0)  # 5 px here
    area = (split.alpha > 0).sum((1, 2))
    radius = np.sqrt(area / np.pi)
    changed = added if sign > 0 else taken
    assert (taken if sign > 0 else added).max() == 0
    np.testing.assert_allclose(changed, np.abs((1 + sign * 5 / radius) ** 2 - 1), rtol=0.12)


@pytest.mark.parametrize("damage, amount", [("holes", 0.15), ("parts", 0.3), ("blobs", 0.4)])
def test_areas_are_what_was_asked_for(split, damage, amount):
    taken, added = taken_and_added(split, damage, amount)
    changed, other = (added, taken) if damage == "blobs" else (taken, added)
    np.testing.assert_allclose(changed, amount, atol=0.002)
    assert other.max() == 0


def test_ragged_outlines_go_in_and_out(split):
    taken, added = taken_and_added(split, "ragged", 12.0)
    assert 0.02 < taken.mean() < 0.2 and 0.02 < added.mean() < 0.2
    farther = taken_and_added(split, "ragged", 24.0)
    assert farther[0].mean() > 1.5 * taken.mean()


def test_coarse_masks_are_squares(split):
    alpha = corrupt(split, [("coarse", 40.0)], 0).alpha[0] > 0  # 10 px here
    edges = np.nonzero((alpha[:, 1:] != alpha[:, :-1]).any(0))[0]
    assert len(edges) > 2 and len(set((edges + 1) % 10)) == 1


def test_jpeg_rings_around_the_outline(split):
    taken, added = taken_and_added(split, "jpeg", 90.0)
    assert added.mean() > 0.02 and taken.mean() < 0.01


@pytest.mark.parametrize("damage, value", [("missing", 255), ("empty", 0)])
def test_some_views_have_no_mask(split, damage, value):
    alpha = corrupt(split, [(damage, 0.25)], 0).alpha
    spoilt = (alpha == value).all((1, 2))
    assert spoilt.sum() == 3 and np.array_equal(alpha[~spoilt], split.alpha[~spoilt])


def test_empty_and_full_masks_survive_every_kind(split):
    split = split.subset([0, 1])
    split.alpha[0], split.alpha[1] = 0, 255
    for damage in KINDS:
        assert corrupt(split, [(damage, 1.0)], 0).alpha.shape == split.alpha.shape


def test_kinds_and_amounts_are_read():
    assert parse_corruption(None) == []
    assert parse_corruption("affine:.12, erode:5") == [("affine", 0.12), ("erode", 5.0)]


@pytest.mark.parametrize(
    "text, words",
    [
        ("blur:1", "unknown kind 'blur': choose one of affine, erode"),
        ("erode", "write erode:AMOUNT"),
        ("affine:1.5", "from 0 to 1"),
        ("holes:-1", "from 0 to 1"),
        ("holes:nan", "from 0 to 1"),
        ("", "unknown kind ''"),
        ("erode:5,", "unknown kind ''"),
        ("erode:five", "write erode:AMOUNT"),
    ],
)
def test_what_is_not_understood_is_said(text, words):
    with pytest.raises(InputError, match=words.replace("(", r"\(")):
        parse_corruption(text)
