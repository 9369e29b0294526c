"""Camera models of photographs: focal lengths, principal point and lens distortion; and undistortion."""

import math
from dataclasses import dataclass, fields, replace
from functools import lru_cache

import numpy as np
from scipy import ndimage

from datasets.projections import PROJECTIONS
from settings.errors import InputError

WIDEST = 130.0  # degrees between opposite corners of an undistorted fisheye picture, at most
_SMALLEST_ZOOM, _STEPS = 0.02, 60  # pinhole's focal length as a fraction of the camera's; halvings of an interval


@dataclass(frozen=True)
class CameraModel:
    """Focal lengths and principal point in px of a picture of width x height px, and the distortion.

    Image coordinates count from the picture's top left corner, so that a pixel's centre is at +0.5. A point (x, y, 1) in
    front of the camera, y down, is seen at col = fx x' + cx, row = fy y' + cy; (x', y') = projection(x, y), whose formulas and
    coefficients are in `datasets.projections`. Undistorted pictures are those of a pinhole with the same size and principal
    point, and with the focal lengths times `zoom`.
    """

    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int
    k1: float = 0.0
    k2: float = 0.0
    k3: float = 0.0
    p1: float = 0.0
    p2: float = 0.0
    k4: float = 0.0
    k5: float = 0.0
    k6: float = 0.0
    sx1: float = 0.0
    sy1: float = 0.0
    projection: str = "radial"  # a key of PROJECTIONS

    @property
    def coefficients(self) -> dict[str, float]:
        """All coefficients of the distortion by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)[6:-1]}

    @property
    def is_distorted(self) -> bool:
        return self.projection != "radial" or any(self.coefficients.values())

    @property
    def zoom(self) -> float:
        """The pinhole's focal length divided by this camera's.

        1 for a radial distortion. For the others, which bend more: the smallest with which the camera sees all that the pinhole
        sees, and the pinhole's opposite corners are at most `WIDEST` apart; infinite if there is none.
        """
        return 1.0 if self.projection == "radial" else _zoom(self)

    @property
    def matrix(self) -> np.ndarray:
        """The intrinsics (3, 3) float64 of the pinhole, px."""
        zoom = self.zoom
        return np.array([[self.fx * zoom, 0, self.cx], [0, self.fy * zoom, self.cy], [0, 0, 1]])

    def scaled(self, width: int, height: int) -> "CameraModel":
        """The same camera for the whole picture at another size."""
        across, down = width / self.width, height / self.height
        return replace(
            self, fx=self.fx * across, cx=self.cx * across, fy=self.fy * down, cy=self.cy * down, width=width, height=height
        )

    def distort(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(x', y') of the class's formula, element by element."""
        return PROJECTIONS[self.projection](x, y, self)

    def check(self, where: str) -> None:
        """Raise InputError if the distortion folds the picture over, so that it cannot be undistorted."""
        if not self.is_distorted:
            return
        if not np.isfinite(list(self.coefficients.values())).all():
            raise InputError(f"{where}: a coefficient of the lens distortion is not finite")
        with np.errstate(all="ignore"):  # damaged files hold any number
            x, y = max(self.cx, self.width - self.cx) / self.fx, max(self.cy, self.height - self.cy) / self.fy
            length = np.linspace(0, np.hypot(x, y) / self.zoom, 400)
            around = replace(self, p1=0.0, p2=0.0, sx1=0.0, sy1=0.0)
            rising = np.diff(around.distort(length, np.zeros_like(length))[0])
        if not (np.isfinite(self.zoom) and rising.min() > 0):
            named = ", ".join(f"{name} {value:g}" for name, value in self.coefficients.items() if value)
            raise InputError(
                f"{where}: the lens distortion ({named}) folds the picture over before its corners: calibrate "
                "again, or undistort the images first"
            )


@lru_cache(maxsize=256)
def _zoom(camera: CameraModel) -> float:
    """`CameraModel.zoom`, found by halving: the larger the zoom, the less the pinhole sees."""
    left, right, top, bottom = (
        -camera.cx / camera.fx,
        (camera.width - camera.cx) / camera.fx,
        -camera.cy / camera.fy,
        (camera.height - camera.cy) / camera.fy,
    )
    along = np.linspace(0, 1, 65)
    x = np.concatenate([left + (right - left) * along] * 2 + [np.full_like(along, left), np.full_like(along, right)])
    y = np.concatenate([np.full_like(along, top), np.full_like(along, bottom)] + [top + (bottom - top) * along] * 2)

    def pictured(zoom: float) -> bool:
        with np.errstate(all="ignore"):
            across, down = camera.distort(x / zoom, y / zoom)
        slack = 1e-9 * max(right - left, bottom - top)
        inside = (across >= left - slack) & (across <= right + slack) & (down >= top - slack) & (down <= bottom + slack)
        return bool(inside.all())

    low = max(float(np.hypot(x, y).max()) / math.tan(math.radians(WIDEST / 2)), _SMALLEST_ZOOM)
    if pictured(low):
        return low
    high = low
    while not pictured(high):
        high *= 2
        if not high < 1e6:
            return math.inf
    low = high / 2
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if pictured(middle) else (middle, high)
    return high


def undistort(image: np.ndarray, camera: CameraModel, *, smooth: bool = True) -> np.ndarray:
    """The picture (H, W, C) uint8 of a pinhole with the intrinsics `camera.matrix`, sampled from the distorted `image`.

    `camera` may be stated for another size of the same picture. Channel by channel, bilinear; by cubic splines for a fisheye,
    whose edges are stretched, unless `smooth` is False: splines overshoot beside the outline of a mask. Outside the distorted
    picture its edge is repeated, because a border of another colour would be learned as part of the scene.
    """
    rows, columns, channels = image.shape
    positions = _sources(camera.scaled(columns, rows))
    order = 3 if smooth and camera.projection != "radial" else 1
    pinhole, largest = np.empty_like(image), np.iinfo(image.dtype).max
    for channel in range(channels):
        values = ndimage.map_coordinates(image[..., channel], positions, np.float32, order=order, mode="nearest")
        pinhole[..., channel] = np.rint(values).clip(0, largest)
    return pinhole


@lru_cache(maxsize=4)  # views that share a camera come one after the other
def _sources(camera: CameraModel) -> np.ndarray:
    """The position of each of the pinhole's pixels in the distorted picture: (2, H, W) float32, rows and columns as indices."""
    zoom = camera.zoom
    x = (np.arange(camera.width) + 0.5 - camera.cx) / (camera.fx * zoom)
    y = (np.arange(camera.height) + 0.5 - camera.cy) / (camera.fy * zoom)
    x, y = camera.distort(*np.meshgrid(x, y))
    return np.stack([camera.fy * y + camera.cy - 0.5, camera.fx * x + camera.cx - 0.5]).astype(np.float32)
