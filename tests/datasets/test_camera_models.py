"""Camera models, reduced decoding, and poses: against values worked by hand."""

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from datasets import pictures, shrinking
from datasets.camera_models import CameraModel, undistort
from datasets.paths import circle, spiral
from datasets.pictures import PictureFile, read_picture, shrink
from datasets.poses import average_pose, look_at, similarity, transformed_poses
from settings.errors import InputError
from tests.datasets.written_photos import facing, opengl


def test_distortion_worked_by_hand():
    """x = 0.5, y = -0.25: r^2 = 0.3125; radial = 1 + 0.1 r^2 + 0.2 r^4 - 0.3 r^6 = 1.0416259765625."""
    lens = CameraModel(100, 100, 50, 50, 100, 100, k1=0.1, k2=0.2, k3=-0.3, p1=0.01, p2=0.02)
    x, y = lens.distort(np.array(0.5), np.array(-0.25))
    assert x == pytest.approx(0.5 * 1.0416259765625 + 0.02 * 0.5 * -0.25 + 0.02 * (0.3125 + 0.5))
    assert y == pytest.approx(-0.25 * 1.0416259765625 + 0.01 * (0.3125 + 0.125) + 0.04 * 0.5 * -0.25)


def test_an_undistorted_picture_is_a_pinholes():
    """A lens with k1 photographs a linear ramp in x'; the pinhole's picture of it is x (1 + k1 r^2), to bilinear precision."""
    lens = CameraModel(80, 80, 50, 40, 100, 80, k1=-0.2)
    ramp = np.tile((np.arange(100) * 2.5).astype(np.uint8)[:, None], (80, 1, 2))
    columns, rows = np.meshgrid((np.arange(100) + 0.5 - 50) / 80, (np.arange(80) + 0.5 - 40) / 80)
    source = 80 * columns * (1 - 0.2 * (columns**2 + rows**2)) + 50 - 0.5
    np.testing.assert_allclose(undistort(ramp, lens)[..., 1], 2.5 * source, atol=1.01)
    assert np.array_equal(undistort(ramp, CameraModel(80, 80, 50, 40, 100, 80)), ramp)


def test_the_edge_is_repeated_where_the_pinhole_sees_more():
    lens = CameraModel(80, 80, 50, 40, 100, 80, k1=0.3)
    picture = np.full((80, 100, 3), 200, np.uint8)
    assert (undistort(picture, lens) == 200).all()


def test_a_lens_that_folds_the_picture_is_refused():
    CameraModel(100, 100, 50, 50, 100, 100, k1=-0.3, k2=0.1).check("here")  # r up to 0.71: 1 - 0.9 r^2 + 0.5 r^4 > 0
    with pytest.raises(InputError, match="here: the lens distortion"):
        CameraModel(50, 50, 50, 50, 100, 100, k1=-0.3).check("here")  # r up to 1.41: 1 - 0.9 r^2 < 0
    with pytest.raises(InputError, match="not finite"):
        CameraModel(50, 50, 50, 50, 100, 100, p1=float("nan")).check("here")


def test_a_fisheyes_picture_shows_what_the_lens_saw():
    """An equidistant lens of 100 px a radian, 160 x 120 px: its bottom edge is 0.6 radians from the middle, its right edge 0.8.
    The pinhole that sees tan(0.6) = 0.684 half its height down has a focal length of 60 / 0.684 = 87.7 px."""
    lens = CameraModel(100, 100, 80, 60, 160, 120, projection="fisheye")
    lens.check("here")
    np.testing.assert_allclose(lens.matrix, [[60 / np.tan(0.6), 0, 80], [0, 60 / np.tan(0.6), 60], [0, 0, 1]], rtol=1e-7, atol=0)
    x, y = lens.distort(np.array(0.0), np.array(np.tan(0.6)))
    assert (x, y) == (0, pytest.approx(0.6))
    small = lens.scaled(80, 60)
    assert small.matrix[0, 0] == pytest.approx(lens.matrix[0, 0] / 2)


@pytest.mark.parametrize("degrees", [150, 180, 220, 300])
def test_the_field_of_very_wide_lenses_is_cut(degrees):
    """A circle of 200 px across holds all; the pinhole's corners are 130 degrees apart: 100 sqrt(2) / tan(65) = 65.9 px."""
    lens = CameraModel(*[200 / np.radians(degrees)] * 2, 100, 100, 200, 200, projection="fisheye")
    lens.check("here")
    assert lens.matrix[0, 0] == pytest.approx(100 * np.sqrt(2) / np.tan(np.radians(65)))
    ramp = np.repeat(np.hypot(*(np.mgrid[:200, :200] + 0.5 - 100))[..., None], 3, 2)  # the distance from the middle: the angle
    seen = undistort(np.rint(ramp).astype(np.uint8), lens)[100, :, 0].astype(float)
    angles = np.arctan(np.abs(np.arange(200) + 0.5 - 100) / lens.matrix[0, 0])
    np.testing.assert_allclose(seen, angles * lens.fx, atol=1.2)


def test_fisheyes_that_cannot_be():
    with pytest.raises(InputError, match=r"here: the lens distortion \(k1 -2\) folds the picture over"):
        CameraModel(50, 50, 50, 50, 100, 100, k1=-2, projection="fisheye").check("here")
    with pytest.raises(InputError, match="folds"):
        CameraModel(50, 50, -200, 50, 100, 100, projection="fisheye").check("here")  # the middle is outside the picture


def test_a_lens_scales_with_its_picture():
    lens = CameraModel(100, 90, 52, 41, 100, 80, k1=0.1).scaled(50, 20)
    assert (lens.fx, lens.fy, lens.cx, lens.cy, lens.width, lens.height, lens.k1) == (50, 22.5, 26, 10.25, 50, 20, 0.1)


def test_shrinking_a_part_of_the_pixels():
    """The picture covers 2.5 of 3 columns: two pixels of 1.25 each, the first 1, 0.25 x 2; the second 0.75 x 2, 0.5 x 3."""
    row = np.array([[[10], [50], [90]]], np.uint8)
    assert shrink(row, 2, 1, (2.5, 1)).ravel().tolist() == [18, 66]


def test_shrinking_in_blocks_gives_the_same(monkeypatch):
    image = np.random.default_rng(0).integers(0, 256, (61, 47, 3), dtype=np.uint8)
    whole = shrink(image, 13, 17)
    monkeypatch.setattr(shrinking, "_BLOCK", 300)
    assert np.array_equal(shrink(image, 13, 17), whole)


def test_a_large_jpeg_is_not_decoded_in_full(tmp_path, monkeypatch):
    """2003 x 1504 px at 1/8: at most an eighth of it, rounded up, is averaged, and its mean is the picture's."""
    smooth = np.linspace(0, 250, 2003)[None, :] * np.linspace(0.3, 1, 1504)[:, None]
    picture = np.repeat(smooth[..., None], 3, 2).astype(np.uint8)
    Image.fromarray(picture).save(tmp_path / "a.jpg", quality=98)
    decoded = []
    monkeypatch.setattr(pictures, "shrink", lambda image, *rest: decoded.append(image.shape) or shrink(image, *rest))
    small = read_picture(PictureFile(tmp_path / "a.jpg", 250, 188), "RGB")[0]
    assert decoded == [(188, 251, 3)] and small.shape == (188, 250, 3)
    np.testing.assert_allclose(small.astype(float), shrink(picture, 250, 188), atol=2.1)
    decoded.clear()
    bent = CameraModel(1800, 1800, 1001.5, 752, 2003, 1504, k1=0.01)
    read_picture(PictureFile(tmp_path / "a.jpg", 250, 188, bent), "RGB")
    assert decoded[0] == (376, 501, 3)  # twice the size, for the lens


# Poses and paths


def test_a_similarity_moves_cameras_and_points_alike():
    turn = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    matrix = similarity(2.0, turn, (1, 2, 3))
    pose = transformed_poses(np.concatenate([np.eye(3), [[1.0], [2], [4]]], axis=1)[None], matrix)[0]
    np.testing.assert_allclose(pose, [[0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 2]], atol=1e-12)


def test_the_average_of_cameras_around_a_point_keeps_the_axes():
    eyes = np.array([[1.0, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]])
    np.testing.assert_allclose(average_pose(look_at(eyes, np.zeros(3), np.array([0, 0, 1.0]))), np.eye(3, 4), atol=1e-12)


def rigid(poses) -> bool:
    squares = np.swapaxes(poses[:, :, :3], 1, 2) @ poses[:, :, :3]
    return np.allclose(squares, np.eye(3), atol=1e-9) and np.allclose(np.linalg.det(poses[:, :, :3]), 1)


def test_the_spiral_looks_at_one_point_from_among_the_cameras():
    poses = np.array([opengl(motion)[:3] for motion in facing()])
    poses = transformed_poses(poses, np.linalg.inv(np.concatenate([average_pose(poses), [[0, 0, 0, 1]]])))
    path = spiral(poses, 2.0, 10.0)
    assert path.shape == (120, 3, 4) and rigid(path)
    depth = 1 / (0.25 / 1.8 + 0.75 / 50)
    toward = np.array([0, 0, -depth]) - path[:, :, 3]
    np.testing.assert_allclose(toward / np.linalg.norm(toward, axis=1, keepdims=True), -path[:, :, 2], atol=1e-9)
    reach = np.percentile(np.abs(poses[:, :, 3]), 90, axis=0)
    np.testing.assert_allclose(path[0, :, 3], [reach[0], 0, 0], atol=1e-9)
    np.testing.assert_allclose(path[15, :, 3], [0, -reach[1], -reach[2] * np.sin(np.pi / 4)], atol=1e-9)  # a quarter of a turn
    np.testing.assert_allclose(path[60, :, 3], [reach[0], 0, -reach[2] * np.sin(np.pi)], atol=1e-9)  # the second turn


def test_the_circle_looks_at_the_origin():
    poses = look_at(np.array([[3.0, 0, 1], [0, 3, 2]]), np.zeros(3), np.array([0, 0, 1.0]))
    path = circle(poses)
    assert path.shape == (120, 3, 4) and rigid(path) and (path[:, 2, 1] > 0).all()
    np.testing.assert_allclose(path[:, 2, 3], 1.5)
    np.testing.assert_allclose((path[:, :, 3] ** 2).sum(1), (10 + 13) / 2)
    distance = np.sqrt(11.5)
    np.testing.assert_allclose(path[:, :, 3], distance * path[:, :, 2], atol=1e-9)


@pytest.mark.parametrize("projection", ["radial", "fisheye"])
def test_masks_stay_masks(projection):
    """No false foreground beside the outline of a mask: undistorted pixels far from the mask stay 0."""
    lens = CameraModel(40.0, 40.0, 40, 40, 80, 80, k1=0.1, projection=projection)
    mask = np.zeros((80, 80, 1), np.uint8)
    mask[20:60, 20:60] = 255
    seen, full = undistort(mask, lens, smooth=False), undistort(np.full_like(mask, 255), lens, smooth=False)
    assert full.min() == 255
    near = undistort((ndimage.maximum_filter(mask[..., 0], 3) > 0).astype(np.uint8)[..., None] * 255, lens, smooth=False)
    assert (seen[near == 0] == 0).all() and (seen > 0).any()
