"""A camera path around any scene, estimated from the poses of its photographs."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from datasets.bounds import nearest_to_axes
from datasets.cameras import Cameras
from datasets.poses import look_at

FULL_TURN_COVERAGE = math.radians(240)  # photographs cover at least this angle: the orbit is a full turn
AXIS_RATIO = 0.2  # how flat the cameras' x axes must lie, against their spread, to define a horizon


@dataclass(frozen=True)
class Arrangement:
    """The arrangement of a set of cameras around its scene. Angles in radians."""

    center: Tensor  # (3,) the point that the cameras look at
    up: Tensor  # (3,) unit
    forward: Tensor  # (3,) unit, normal to up: azimuth 0
    azimuths: Tensor  # (V,) about `up`, counted so that the widest gap is at the ends
    elevations: Tensor  # (V,) above the plane through the centre
    distance: float  # median, world units

    @property
    def coverage(self) -> float:
        """The angle from the first to the last azimuth, in [0, 2 pi)."""
        return float(self.azimuths.max() - self.azimuths.min())


def arrangement(cameras: Cameras, bounds: Tensor) -> Arrangement:
    """Estimates centre, up axis and the cameras' spread, in float64; robust to single stray cameras.

    bounds (2, 3), world units: decides the centre if the optical axes leave it open (one camera, parallel
    cameras) or point away from each other. Raises ValueError without cameras.
    """
    if len(cameras) == 0:
        raise ValueError("an orbit needs at least one camera")
    poses = cameras.camera_to_world.detach().double().cpu()
    point = nearest_to_axes(cameras, bounds)
    center = bounds.double().cpu().mean(0) if point is None else point
    up = _up_axis(poses)
    offsets = poses[:, :, 3] - center
    height = offsets @ up
    forward = _any_normal(up)
    azimuths = torch.atan2(offsets @ torch.linalg.cross(up, forward), offsets @ forward)
    distances = offsets.norm(dim=1)
    elevations = torch.asin((height / distances.clamp_min(1e-12)).clamp(-1, 1))
    return Arrangement(center, up, forward, _unwrap(azimuths), elevations, max(float(distances.median()), 1e-6))


def orbit(cameras: Cameras, bounds: Tensor, frames: int, width: int, height: int) -> Cameras:
    """A closed path of `frames` cameras (float32, on the cameras' device) that look at the scene's centre.

    If the photographs surround the scene it is a full turn at their median distance and elevation; else a
    gentle swing inside the sector that they cover, so that it shows no side without photographs. The field of
    view is the median one. Raises ValueError without cameras.
    """
    layout = arrangement(cameras, bounds)
    turn = torch.arange(frames, dtype=torch.float64) / frames * (2 * math.pi)
    low, middle, high = (layout.elevations.quantile(q) for q in (0.15, 0.5, 0.85))
    limit = math.radians(80)  # straight above there is no horizon to keep level
    if layout.coverage >= FULL_TURN_COVERAGE:
        azimuths, elevations = turn + layout.azimuths.median(), middle.expand(frames)
    else:
        left, center, right = (layout.azimuths.quantile(q) for q in (0.15, 0.5, 0.85))
        azimuths = center + (right - left) / 2 * turn.sin()
        elevations = middle + (high - low) / 2 * turn.cos()
    elevations = elevations.clamp(-limit, limit)
    side = torch.linalg.cross(layout.up, layout.forward)
    around = azimuths.cos()[:, None] * layout.forward + azimuths.sin()[:, None] * side
    directions = elevations.cos()[:, None] * around + elevations.sin()[:, None] * layout.up
    eyes = layout.center + layout.distance * directions
    poses = torch.from_numpy(look_at(eyes.numpy(), layout.center.numpy(), layout.up.numpy()))

    intrinsics = of_one_size(cameras).scaled(width, height).intrinsics.detach().double().cpu()
    k = torch.eye(3, dtype=torch.float64)
    k[0, 0], k[1, 1] = intrinsics[:, 0, 0].median(), intrinsics[:, 1, 1].median()
    k[0, 2], k[1, 2] = width / 2, height / 2
    device = cameras.camera_to_world.device
    return Cameras(k.expand(frames, 3, 3).float().contiguous().to(device), poses.float().to(device), width, height)


def of_one_size(cameras: Cameras) -> Cameras:
    """The cameras whose pictures have the most frequent size."""
    sizes = [cameras.size(view) for view in range(len(cameras))]
    commonest = max(sizes, key=sizes.count)
    return cameras[[view for view, size in enumerate(sizes) if size == commonest]]


def _up_axis(poses: Tensor) -> Tensor:
    """The world's up, (3,): the axis perpendicular to the cameras' x axes; or, if these do not determine it (parallel
    cameras, or cameras rolled at random), their mean y axis."""
    right, mean_up = poses[:, :, 0], poses[:, :, 1].mean(0)
    values, vectors = torch.linalg.eigh(right.T @ right / len(poses))  # ascending
    axis = vectors[:, 0]
    if values[0] < AXIS_RATIO * values[1] and values[1] > 0.02 and mean_up.norm() > 0.05:
        return axis if axis @ mean_up > 0 else -axis
    if mean_up.norm() > 0.05:
        return mean_up / mean_up.norm()
    return torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)


def _any_normal(axis: Tensor) -> Tensor:
    """A unit vector perpendicular to `axis`, made from the world axis that is least parallel to it."""
    seed = torch.zeros(3, dtype=torch.float64)
    seed[int(axis.abs().argmin())] = 1
    return torch.nn.functional.normalize(seed - axis * (seed @ axis), dim=0)


def _unwrap(azimuths: Tensor) -> Tensor:
    """The angles with 2 pi added to some, so that the widest sector without cameras is not between them."""
    order = azimuths.sort().values
    gaps = torch.cat([order[1:] - order[:-1], order[:1] + 2 * math.pi - order[-1:]])
    start = order[(int(gaps.argmax()) + 1) % len(order)]
    return torch.where(azimuths < start, azimuths + 2 * math.pi, azimuths)
