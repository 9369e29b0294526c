"""The orbit: the positions of its cameras, and a file that plays."""

import math

import imageio.v2 as imageio
import numpy as np
import pytest
import torch

from datasets.cameras import Cameras
from models.rendering import Rendering
from reporting import video
from reporting.orbit import arrangement, orbit
from tests.reporting.fake_model import FakeModel, ring_of_cameras, small_split

BOUNDS = torch.tensor([[-1.0] * 3, [1.0] * 3])


def _forward(cameras: Cameras) -> torch.Tensor:
    return -cameras.camera_to_world[:, :, 2]


def _moved(cameras: Cameras, rotation: torch.Tensor, shift: torch.Tensor) -> Cameras:
    """The cameras of a world that was rotated and then shifted."""
    poses = rotation @ cameras.camera_to_world
    poses[:, :, 3] += shift
    return Cameras(cameras.intrinsics, poses, cameras.width, cameras.height)


def _some_rotation() -> torch.Tensor:
    q, r = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(1)))
    q = q * r.diagonal().sign()
    return q * torch.linalg.det(q).sign()


@pytest.mark.parametrize("arc", [2 * math.pi, math.pi / 2])
def test_orbit_cameras_are_rigid_and_look_at_the_centre(arc):
    center = torch.tensor([0.3, -2.0, 5.0])
    cameras = ring_of_cameras(20, 64, 48, radius=3.0, arc=arc, center=center.tolist())
    path = orbit(cameras, BOUNDS, 16, 32, 24)
    rotations = path.camera_to_world[:, :, :3]
    assert len(path) == 16 and (path.width, path.height) == (32, 24)
    assert torch.allclose(rotations.mT @ rotations, torch.eye(3).expand(16, 3, 3), atol=1e-5)
    assert torch.allclose(torch.linalg.det(rotations), torch.ones(16), atol=1e-5)
    to_center = torch.nn.functional.normalize(center - path.centers, dim=1)
    assert torch.allclose(to_center, _forward(path), atol=1e-3)
    assert torch.allclose((path.centers - center).norm(dim=1), torch.full((16,), 3.0), atol=1e-2)
    assert torch.allclose(rotations[:, 2, 0], torch.zeros(16), atol=1e-3)  # level: x axes across the world's up
    assert (rotations[:, 2, 1] > 0).all()  # and not upside down


def test_orbit_of_a_surrounded_scene_is_a_full_turn():
    path = orbit(ring_of_cameras(12, 64, 48), BOUNDS, 36, 32, 24)
    angles = np.unwrap(torch.atan2(path.centers[:, 1], path.centers[:, 0]).numpy())
    assert np.allclose(np.abs(np.diff(angles)), 2 * math.pi / 36, atol=1e-3)
    assert torch.allclose(path.centers[:, 2], torch.full((36,), 2.0), atol=1e-2)  # 4 sin(30 degrees)


def test_orbit_of_a_scene_seen_from_one_side_stays_on_that_side():
    path = orbit(ring_of_cameras(30, 64, 48, arc=math.pi / 2), BOUNDS, 24, 32, 24)
    angles = torch.atan2(path.centers[:, 1], path.centers[:, 0])
    assert angles.min() > 0 and angles.max() < math.pi / 2
    assert angles.max() - angles.min() > math.pi / 6  # but it moves


def test_orbit_follows_a_world_that_is_turned_and_shifted():
    rotation, shift = _some_rotation(), torch.tensor([5.0, -3.0, 2.0])
    cameras = ring_of_cameras(20, 64, 48)
    moved = arrangement(_moved(cameras, rotation, shift), BOUNDS)
    assert torch.allclose(moved.center.float(), shift, atol=2e-2)
    assert torch.allclose(moved.up.float(), rotation[:, 2], atol=1e-3)
    assert moved.distance == pytest.approx(4.0, abs=2e-2)


def test_stray_cameras_do_not_move_the_centre():
    cameras = ring_of_cameras(20, 64, 48)
    poses = cameras.camera_to_world.clone()
    poses[3, :, :3] = poses[3, :, :3] @ torch.tensor([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])  # looks sideways
    found = arrangement(Cameras(cameras.intrinsics, poses, 64, 48), BOUNDS)
    assert found.center.norm() < 0.02


def test_parallel_and_single_cameras_use_the_scenes_box():
    one = ring_of_cameras(1, 64, 48)
    poses = one.camera_to_world.repeat(5, 1, 1)
    poses[:, :, 3] += torch.arange(5)[:, None] * 0.1 * poses[0, :, 0]  # side by side
    parallel = Cameras(one.intrinsics.repeat(5, 1, 1), poses, 64, 48)
    for cameras in (one, parallel):
        found = arrangement(cameras, BOUNDS)
        assert found.center.norm() < 0.5
        assert torch.allclose(found.up.float(), cameras.camera_to_world[0, :, 1], atol=1e-4)
        assert torch.isfinite(orbit(cameras, BOUNDS, 8, 32, 24).camera_to_world).all()
    with pytest.raises(ValueError, match="at least one camera"):
        arrangement(one[[]], BOUNDS)


def test_field_of_view_is_kept_at_another_size():
    path = orbit(ring_of_cameras(8, 64, 48), BOUNDS, 4, 32, 24)
    assert torch.allclose(path.intrinsics[0], torch.tensor([[38.4, 0, 16], [0, 38.4, 12], [0, 0, 1]]))


@pytest.mark.parametrize(
    ("size", "panel"), [((400, 400), (400, 400)), ((801, 601), (480, 360)), ((35, 23), (36, 24)), ((3000, 1), (480, 2))]
)
def test_panels_are_even_and_capped(size, panel):
    assert video.film_size(*size, 0.01) == (*panel, video.MOST_FRAMES)


def test_slow_models_get_fewer_frames_and_smaller_ones():
    assert video.film_size(400, 400, 1.0) == (400, 400, 60)
    assert video.film_size(800, 800, 1.0)[2] == 150  # panels of 480 px
    assert video.film_size(400, 400, 10.0) == (200, 200, 24)
    assert video.film_size(400, 400, 1000.0) == (120, 120, 24)


def test_video_has_its_frames_at_its_size_and_plays_in_browsers(tmp_path):
    split = small_split(6, width=35, height=23)
    model = FakeModel(split)
    facts = video.save_orbit(tmp_path / "orbit.mp4", model, ring_of_cameras(6, 35, 23), BOUNDS, "white", 2.5)
    assert [p.name for p in tmp_path.iterdir()] == ["orbit.mp4"]
    with imageio.get_reader(tmp_path / "orbit.mp4", format="FFMPEG") as reader:
        meta = reader.get_meta_data()
        frames = [np.asarray(frame) for frame in reader]
    assert len(frames) == facts["frames"] == 24
    assert meta["codec"] == "h264" and meta["pix_fmt"].startswith("yuv420p")
    assert meta["duration"] == pytest.approx(video.SECONDS, abs=0.3)
    assert frames[0].shape == (24, 72, 3) and (facts["width"], facts["height"]) == (72, 24)
    assert 3.0 <= facts["depth_near"] < facts["depth_far"] <= 4.0


def test_without_an_encoder_installed_a_remark_stands_for_the_video(tmp_path, monkeypatch):
    def missing(*_, **__):
        raise ImportError("The `FFMPEG` plugin is not installed.")

    monkeypatch.setattr(video.imageio, "get_writer", missing)
    orbit = FakeModel(small_split(6, width=35, height=23)), ring_of_cameras(6, 35, 23), BOUNDS, "white", 2.5
    facts, remark = video.try_orbit(tmp_path / "orbit.mp4", *orbit)
    assert facts is None and "FFMPEG" in remark and list(tmp_path.iterdir()) == []


def test_frame_shows_depth_on_a_fixed_scale_and_the_background_where_nothing_is():
    alpha = torch.tensor([[1.0, 1.0, 0.0]])
    depth = torch.tensor([[2.0, 4.0, 0.0]])
    rendering = Rendering(torch.full((1, 3, 3), 0.5), alpha, depth)
    near, far, nothing = video.frame(rendering, "white", 2.0, 4.0)[0, 3:].tolist()
    assert near == [253, 231, 37] and far == [68, 1, 84]  # the ends of viridis
    assert nothing == [255, 255, 255]
    assert video.frame(rendering, "black", 2.0, 4.0)[0, 5].tolist() == [0, 0, 0]
    assert video.frame(rendering, "black", 2.0, 4.0)[0, :3].tolist() == [[128] * 3] * 3


def test_depth_scale_of_an_empty_model_is_harmless():
    class Empty(FakeModel):
        def render(self, cameras, view, background, with_depth=True, antialias=True, with_normal=False):
            nothing = torch.zeros(cameras.height, cameras.width)
            return Rendering(nothing[..., None].expand(-1, -1, 3), nothing, nothing)

    split = small_split(2)
    with torch.no_grad():
        near, far = video.depth_scale(Empty(split), split.cameras, "black")
    assert near < far
