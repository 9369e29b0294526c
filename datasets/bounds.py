"""The box that holds the scene's content, found from the cameras alone."""

import torch
from torch import Tensor

from datasets.cameras import Cameras

ORIGINAL_CUBE = 2.0  # half an edge of the cube that the original program carves, world units
# Mean squared sine of the angles between the axes and the direction nearest to them all (5.7 degrees): below it they are almost
# parallel, and the point where they meet is noise.
_MEETING = 0.01
_FAR, _AWAY, _FEW = 10.0, 60.0, 0.1  # times the median distance; degrees; the fraction of the views that may be odd
_LEAST = 5  # the least number of views among which one may be odd
_ROUNDS, _PRIOR = 10, 1e-5  # of the robust point: rounds of reweighting; weight of the box's middle, relative to all axes


def odd_views(cameras: Cameras) -> list[int]:
    """Indices of views whose pose is unlike the others'; at most a tenth, or one. They are left out of all statistics.

    A view is odd if it is more than 10 times as far from the median of the centres as half of the views are, or if it looks
    more than 60 degrees, and 5 times the median angle, away from where the axes meet (from the mean direction if they do not).
    The list is empty for fewer than 5 views, and if more than a tenth would be odd.
    """
    count = len(cameras)
    if count < _LEAST:
        return []
    centers = cameras.centers.double()
    distances = (centers - centers.median(0).values).norm(dim=1)
    odd = distances > _FAR * distances.median().clamp_min(1e-9 * float(centers.abs().max()) + 1e-300)
    others = torch.nonzero(~odd)[:, 0]
    if len(others) >= _LEAST:
        axes, point = -cameras.camera_to_world[:, :, 2].double(), _meeting_point(cameras[others])
        toward = axes[others].mean(0).expand_as(axes) if point is None else point - centers
        cosines = (torch.nn.functional.normalize(toward, dim=1) * torch.nn.functional.normalize(axes, dim=1)).sum(1)
        angles = torch.rad2deg(torch.arccos(cosines.clamp(-1, 1)))
        odd |= angles > max(_AWAY, 5 * float(angles[others].median()))
    odd = torch.nonzero(odd)[:, 0].tolist()
    return odd if len(odd) <= max(1, _FEW * count) else []


def without_odd_views(cameras: Cameras) -> Cameras:
    """The cameras that are not odd (`odd_views`); the same object if none is."""
    odd = set(odd_views(cameras))
    return cameras[[view for view in range(len(cameras)) if view not in odd]] if odd else cameras


def meeting_point(cameras: Cameras) -> Tensor | None:
    """The point (3,) nearest to all optical axes in the least-squares sense, world units.

    It solves  sum_v (I - d d^T) (x - t) = 0  with the axes' directions d and the camera centres t. None if the axes are almost
    parallel, or if the point lies behind half of the cameras, which then do not look at one object. Odd views do not count.
    """
    return _meeting_point(without_odd_views(cameras))


def _meeting_point(cameras: Cameras) -> Tensor | None:
    d = -cameras.camera_to_world[:, :, 2].double()
    return None if torch.linalg.eigvalsh(_across(d).mean(0))[0] < _MEETING else nearest_to_axes(cameras)


def nearest_to_axes(cameras: Cameras, box: Tensor | None = None) -> Tensor | None:
    """The point x (3,) float64, world units, that minimises  sum_v w_v |(I - d d^T) (x - t)|^2  over the cameras v, whose optical
    axes start at t in the direction d. None if x lies behind half of the cameras.

    Without a box all weights w are 1. With one, (2, 3), the estimate is robust: ten rounds of reweighting by the inverse of the
    distance to each axis, so that single stray cameras count little; and x tends to the middle of the box in directions that the
    axes leave open (one camera, parallel cameras). Raises torch.linalg.LinAlgError without a box if all axes are parallel.
    """
    t, d = cameras.centers.double().cpu(), -cameras.camera_to_world[:, :, 2].double().cpu()
    across, weights = _across(d), torch.ones(len(cameras), dtype=torch.float64)
    rounds, prior = (1, 0.0) if box is None else (_ROUNDS, _PRIOR)
    corners = torch.zeros(2, 3, dtype=torch.float64) if box is None else box.double().cpu()
    middle, least = corners.mean(0), 1e-3 * (float((corners[1] - corners[0]).norm()) or 1.0)
    for _ in range(rounds):
        system = (weights[:, None, None] * across).sum(0) / weights.sum() + prior * torch.eye(3, dtype=torch.float64)
        right_side = (weights[:, None] * (across @ t[:, :, None])[:, :, 0]).sum(0) / weights.sum() + prior * middle
        point = torch.linalg.solve(system, right_side)
        weights = 1 / (across @ (point - t)[:, :, None])[:, :, 0].norm(dim=1).clamp_min(least)
    ahead = ((point - t) * d).sum(1) > 0
    return point if ahead.double().mean() > 0.5 else None


def _across(directions: Tensor) -> Tensor:
    """The projections I - d d^T (V, 3, 3) onto the planes across unit directions (V, 3)."""
    return torch.eye(3, dtype=torch.float64) - directions[:, :, None] * directions[:, None, :]


def scene_box(cameras: Cameras) -> tuple[Tensor, str]:
    """Lower and upper corner (2, 3) float32 of a cube around the object, world units; and in words how it was found.

    The cube is centred where the optical axes meet and reaches half of the median camera distance D to each side. Cameras with
    a field of view above 60 degrees see more of the object at that distance: their cube reaches sin(half angle) D, at most
    0.7 D. Cameras that look at the origin from about 4 units, as NeRF-synthetic's do (4.03), get the original program's cube
    [-2, 2]^3 exactly; so do cameras whose axes do not meet. Odd views (`odd_views`) do not count.
    """
    cube = torch.tensor([[-ORIGINAL_CUBE] * 3, [ORIGINAL_CUBE] * 3])
    cameras = without_odd_views(cameras)
    point = _meeting_point(cameras)
    if point is None:
        return cube, "the cube [-2, 2]^3, because the cameras' axes do not meet"
    distance = (cameras.centers.double() - point).norm(dim=-1).median()
    size = torch.stack([cameras.widths, cameras.heights], 1)
    focal = cameras.intrinsics.diagonal(dim1=1, dim2=2)[:, :2]
    half_angle = torch.atan((size / (2 * focal)).max(1).values.median())
    reach = distance * torch.sin(half_angle).clamp(0.5, 0.7)
    if point.norm() < 0.1 * distance and abs(float(reach) - ORIGINAL_CUBE) < 0.1 * ORIGINAL_CUBE:
        return cube, "the cube [-2, 2]^3 of the original program"
    return torch.stack([point - reach, point + reach]).float(), "where the cameras' axes meet"


def near_and_far(box: Tensor, cameras: Cameras) -> tuple[float, float]:
    """(near, far): the depths, in world units along the z axes, between which all cameras but odd ones see the box (2, 3).

    near is at least 1 % of far, so that it is positive for cameras inside the box.
    """
    cameras = without_odd_views(cameras)
    corners = torch.cartesian_prod(*box.T)
    depths = torch.cat([cameras.project(corners, view)[1] for view in range(len(cameras))])
    far = max(float(depths.max()), 1e-6)
    return max(float(depths.min()), 0.01 * far), far


def seen_box(cameras: Cameras, near: Tensor, far: Tensor) -> Tensor:
    """Lower and upper corner (2, 3) float32 of the box that holds all that the cameras see from depth near (V,) to far (V,).

    Depths are along each camera's z axis; everything is in world units.
    """
    k = cameras.intrinsics.double()
    columns, rows = cameras.widths[:, None] * torch.tensor([0, 1, 0, 1]), cameras.heights[:, None] * torch.tensor([0, 0, 1, 1])
    x = (columns - k[:, 0, 2, None]) / k[:, 0, 0, None]  # (V, 4), at depth 1
    y = (k[:, 1, 2, None] - rows) / k[:, 1, 1, None]
    rays = torch.stack([x, y, -torch.ones_like(x)], -1) @ cameras.camera_to_world[:, :, :3].double().mT  # (V, 4, 3)
    depths = torch.stack([near, far], 1).double()[:, :, None, None]
    points = (cameras.centers.double()[:, None, None] + depths * rays[:, None]).reshape(-1, 3)
    return torch.stack([points.amin(0), points.amax(0)]).float()
