"""Camera paths for videos: past the photographs, and those of nerf-pytorch (`load_llff.py` and `load_blender.py`)."""

import math

import numpy as np
import torch

from datasets.cameras import Cameras
from datasets.poses import average_pose, look_at

_LEAST, _NEIGHBOURS = 8, 0.5  # photographs of a path; the distance of neighbours on it, in mean distances of any two


def spiral(poses: np.ndarray, nearest: float, farthest: float, views: int = 120, turns: int = 2) -> np.ndarray:
    """Poses (views, 3, 4) on a spiral about the average of `poses` (V, 3, 4), all looking at one point in the scene.

    Its radii are the 90th percentiles of the cameras' offsets along each axis. The depth of that point is the mean, in disparity
    and weighted 1 to 3, of 0.9 times the nearest content and 5 times the farthest; both are in world units.
    """
    near, far = 0.9 * nearest, 5 * farthest
    depth = 1 / (0.25 / near + 0.75 / far)
    reach = np.percentile(np.abs(poses[:, :, 3]), 90, axis=0)
    middle = average_pose(poses)
    angle = np.linspace(0, 2 * math.pi * turns, views, endpoint=False)
    offsets = np.stack([np.cos(angle), -np.sin(angle), -np.sin(angle / 2)], axis=1) * reach
    target = middle[:, 3] - depth * middle[:, 2]
    return look_at(offsets @ middle[:, :3].T + middle[:, 3], target, poses[:, :, 1].sum(0))


def circle(poses: np.ndarray, views: int = 120) -> np.ndarray:
    """Poses (views, 3, 4) on a circle about the z axis at the cameras' mean height, looking at the origin, z up.

    Its distance from the origin is the root mean square of the cameras'. The last view is the same as the first.
    """
    height = poses[:, 2, 3].mean()
    radius = math.sqrt(max((poses[:, :, 3] ** 2).sum(1).mean() - height**2, 0))
    angle = np.linspace(0, 2 * math.pi, views)
    eyes = np.stack([radius * np.cos(angle), radius * np.sin(angle), np.full(views, height)], axis=1)
    return look_at(eyes, np.zeros(3), np.array([0.0, 0, 1]))


def through_photographs(cameras: Cameras, views: int = 120) -> Cameras | None:
    """A smooth path of `views` cameras past the photographs, in the order of their files; None if that order is not a path, or if
    there are fewer than `_LEAST` of them.

    Positions, view directions and upward directions are means over neighbours in that order, weighted by a Gaussian of a fortieth
    of its length.
    """
    poses = cameras.camera_to_world.double()
    steps = poses[1:, :, 3].sub(poses[:-1, :, 3]).norm(dim=1)
    apart = torch.cdist(poses[:, :, 3], poses[:, :, 3]).mean()
    if len(poses) < _LEAST or not steps.median() < _NEIGHBOURS * apart:
        return None
    index = torch.arange(len(poses), dtype=torch.float64)
    at = torch.linspace(0, len(poses) - 1, views, dtype=torch.float64)
    weights = torch.softmax(-0.5 * ((at[:, None] - index) / max(len(poses) / 40, 0.5)) ** 2, 1)
    mean = torch.einsum("nv,vab->nab", weights, poses).numpy()
    return cameras_on_path(look_at(mean[:, :, 3], mean[:, :, 3] - mean[:, :, 2], mean[:, :, 1]), cameras)


def cameras_on_path(path: np.ndarray, cameras: Cameras) -> Cameras:
    """Cameras at the poses (V, 3, 4) of a path, with the intrinsics and the picture size of the first of `cameras`."""
    intrinsics = cameras.intrinsics[:1].expand(len(path), 3, 3)
    return Cameras(intrinsics, torch.from_numpy(path).float(), *cameras.size(0))
