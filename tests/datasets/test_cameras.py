"""Cameras: projection and scaling against values worked by hand."""

import math

import pytest
import torch

from datasets.bounds import meeting_point, near_and_far, odd_views, scene_box, without_odd_views
from datasets.cameras import Cameras


def cameras_looking_at(target, centers, focal=30.0, width=20, height=10) -> Cameras:
    """Cameras at `centers` (V, 3) that look at `target`, upright; focal length in px."""
    poses = []
    for center in torch.as_tensor(centers, dtype=torch.float64):
        backward = torch.nn.functional.normalize(center - torch.as_tensor(target, dtype=torch.float64), dim=0)
        right = torch.linalg.cross(torch.tensor([0.1, 0.2, 1.0], dtype=torch.float64), backward)
        right = torch.nn.functional.normalize(right, dim=0)
        poses.append(torch.stack([right, torch.linalg.cross(backward, right), backward, center], 1))
    intrinsics = torch.tensor([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    return Cameras(intrinsics.expand(len(poses), 3, 3), torch.stack(poses).float(), width, height)


def camera(rotation, center) -> Cameras:
    """One 20x10 px camera with fx = 10, fy = 12, cx = 9, cy = 4 px."""
    pose = torch.cat([torch.tensor(rotation), torch.tensor(center)[:, None]], 1)
    return Cameras(torch.tensor([[[10.0, 0, 9], [0, 12, 4], [0, 0, 1]]]), pose[None], 20, 10)


UPRIGHT = [[1.0, 0, 0], [0, 1, 0], [0, 0, 1]]
LOOKS_ALONG_X = [[0.0, 0, -1], [-1, 0, 0], [0, 1, 0]]  # columns: right = -y, up = z, backward = -x


def test_projection_of_an_upright_camera_at_the_origin():
    points = torch.tensor([[0.0, 0, -2], [1, 0, -2], [0, 1, -2], [1, -1, -4], [0, 0, 3]])
    pixels, depth = camera(UPRIGHT, [0.0, 0, 0]).project(points, 0)
    # col = 10 x / z + 9, row = -12 y / z + 4
    assert pixels[:4].tolist() == [[9, 4], [14, 4], [9, -2], [11.5, 7]]
    assert depth.tolist() == [2, 2, 2, 4, -3]


def test_projection_of_a_turned_camera():
    """At (1, 2, 3), looking along +x with z up: +y is to the left and +z is up in the picture."""
    points = torch.tensor([[6.0, 2, 3], [6, 3, 3], [6, 2, 4]])
    pixels, depth = camera(LOOKS_ALONG_X, [1.0, 2, 3]).project(points, 0)
    torch.testing.assert_close(pixels, torch.tensor([[9.0, 4], [7, 4], [9, 1.6]]))
    assert depth.tolist() == [5, 5, 5]


def test_scaling_moves_a_projected_point_with_the_picture():
    large = camera(LOOKS_ALONG_X, [1.0, 2, 3])
    small = large.scaled(10, 2)
    assert (small.width, small.height) == (10, 2)
    torch.testing.assert_close(small.intrinsics[0], torch.tensor([[5.0, 0, 4.5], [0, 2.4, 0.8], [0, 0, 1]]))
    point = torch.tensor([[6.0, 3, 4]])
    expected = large.project(point, 0)[0] * torch.tensor([0.5, 0.2])
    torch.testing.assert_close(small.project(point, 0)[0], expected)
    assert torch.equal(large.intrinsics[0, 0], torch.tensor([10.0, 0, 9]))


def test_picking_views_keeps_their_order():
    cameras = cameras_looking_at([0, 0, 0], [[4.0, 0, 0], [0, 5, 0], [0, 0, 6]])
    assert cameras[[2, 0]].centers.tolist() == [[0, 0, 6], [4, 0, 0]]
    assert len(cameras[1]) == 1 and cameras[1].centers.tolist() == [[0, 5, 0]]
    assert len(cameras[1:]) == 2


RING = torch.tensor([[4.0, 0, 0], [-4, 0, 0], [0, 4, 0], [0, -4, 1]])


def test_the_axes_meet_where_the_cameras_look():
    target = torch.tensor([3.0, -2, 7])
    point = meeting_point(cameras_looking_at(target, target + RING))
    torch.testing.assert_close(point.float(), target, atol=1e-5, rtol=0)


def test_cameras_at_four_units_get_the_original_cube():
    box, words = scene_box(cameras_looking_at([0, 0, 0], RING))
    assert box.tolist() == [[-2, -2, -2], [2, 2, 2]] and "original" in words


@pytest.mark.parametrize(("scale", "shift"), [(0.01, [0.0, 0, 0]), (250, [0.0, 0, 0]), (1, [9.0, -4, 2])])
def test_other_units_and_positions_get_a_cube_of_half_the_distance(scale, shift):
    target = torch.tensor(shift)
    box, words = scene_box(cameras_looking_at(target, target + scale * RING))
    half = scale * 2.0  # median of the distances 4, 4, 4, sqrt(17), halved
    torch.testing.assert_close(box, torch.stack([target - half, target + half]), rtol=1e-4, atol=1e-4 * half)
    assert "axes meet" in words


def test_wide_lenses_get_a_larger_cube():
    """Half an angle of 45 degrees (focal 10 px, half a width of 10 px): sin 45 = 0.707, held at 0.7."""
    box, _ = scene_box(cameras_looking_at([0, 0, 0], 100 * RING, focal=10.0))
    assert box[1].tolist() == pytest.approx([280.0] * 3, rel=1e-4)
    box, _ = scene_box(cameras_looking_at([0, 0, 0], 100 * RING, focal=10 * math.sqrt(2)))  # atan(1 / sqrt 2)
    assert box[1].tolist() == pytest.approx([400 / math.sqrt(3)] * 3, rel=1e-4)


def looking(which: str) -> Cameras:
    inward = cameras_looking_at([0, 0, 0], RING)
    if which == "alone":
        return inward[0]
    poses = inward.camera_to_world.clone()
    if which == "the same way":
        poses[:, :, :3] = poses[0, :, :3]
    else:  # outward: half a turn about each camera's own vertical axis
        poses *= torch.tensor([-1.0, 1, -1, 1])
    return Cameras(inward.intrinsics, poses, inward.width, inward.height)


@pytest.mark.parametrize("which", ["alone", "the same way", "outward"])
def test_cameras_that_look_at_nothing_together_get_the_original_cube(which):
    cameras = looking(which)
    assert meeting_point(cameras) is None
    box, words = scene_box(cameras)
    assert box.tolist() == [[-2, -2, -2], [2, 2, 2]] and "do not meet" in words


def test_views_whose_poses_are_unlike_the_others_do_not_count():
    """A camera 300 times as far away, and one that looks the other way, of 12 that look at a point from 3 units."""
    turns = torch.arange(12, dtype=torch.float64) * math.pi / 6
    target = torch.tensor([1.0, 2, 0.5], dtype=torch.float64)
    sound = cameras_looking_at(target, target + 3 * torch.stack([turns.cos(), turns.sin(), 0.3 + 0 * turns], 1))
    assert odd_views(sound) == [] and without_odd_views(sound) is sound
    far = sound.camera_to_world.clone()
    far[5, :, 3] *= 300
    away = sound.camera_to_world.clone()
    away[7, :, [0, 2]] *= -1
    for view, poses in ((5, far), (7, away)):
        cameras = Cameras(sound.intrinsics, poses, 20, 10)
        assert odd_views(cameras) == [view]
        torch.testing.assert_close(meeting_point(cameras), target, atol=1e-4, rtol=0)
        torch.testing.assert_close(scene_box(cameras)[0], scene_box(sound)[0], atol=1e-3, rtol=0)
        assert near_and_far(scene_box(sound)[0], cameras) == pytest.approx(near_and_far(scene_box(sound)[0], sound), rel=1e-3)
    away[:4, :, [0, 2]] *= -1  # five of twelve are no mistake of one
    assert odd_views(Cameras(sound.intrinsics, away, 20, 10)) == []
    assert odd_views(Cameras(sound.intrinsics, far, 20, 10)[[4, 5, 6]]) == []  # of three, none can be told


def test_near_and_far_are_those_of_the_box_corners():
    cameras = camera(UPRIGHT, [0.0, 0, 5])
    box = torch.tensor([[-1.0, -1, -1], [1, 1, 2]])
    assert near_and_far(box, cameras) == (3.0, 6.0)
    near, far = near_and_far(box, camera(UPRIGHT, [0.0, 0, 0]))  # inside the box
    assert (near, far) == (pytest.approx(0.01), 1.0)
