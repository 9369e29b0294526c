"""Lenses of photographs, and the pictures that a pinhole would have taken."""

import math
from dataclasses import dataclass, fields, replace
from functools import lru_cache

import numpy as np
from scipy import ndimage

from datasets.projections import PROJECTIONS
from settings.errors import InputError

WIDEST = 130.0  # degrees between opposite corners, at most, of the picture that is made of a fisheye's
_SHORTEST, _STEPS = 0.02, 60  # smallest focal length, as a fraction of the lens's; halvings of an interval


@dataclass(frozen=True)
class Lens:
    """Focal lengths and principal point in px of a picture of width x height px, and the lens's distortion.

    Image coordinates count from the picture's top left corner, so that a pixel's centre is at +0.5. A point (x, y, 1) in
    front of the camera, y down, is pictured at col = fx x' + cx, row = fy y' + cy, where x' and y' are those of the
    projection: `datasets.projections` has the formulas and the coefficients' meanings. The pinhole whose picture is made of
    the lens's has its size and principal point; its focal lengths are the lens's times `zoom`.
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
        """The pinhole's focal length as a multiple of the lens's.

        1 for a radial distortion. For the others, whose pictures bend more: the smallest for which the lens pictured all that
        the pinhole does, and its opposite corners are at most `WIDEST` apart; infinite if there is none.
        """
        return 1.0 if self.projection == "radial" else _zoom(self)

    @property
    def matrix(self) -> np.ndarray:
        """The intrinsics (3, 3) float64 of the pinhole, px."""
        zoom = self.zoom
        return np.array([[self.fx * zoom, 0, self.cx], [0, self.fy * zoom, self.cy], [0, 0, 1]])

    def scaled(self, width: int, height: int) -> "Lens":
        """The same lens for the whole picture at another size."""
        across, down = width / self.width, height / self.height
        return replace(
            self, fx=self.fx * across, cx=self.cx * across, fy=self.fy * down, cy=self.cy * down, width=width, height=height
        )

    def distort(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(x', y') of the class's formula, element by element."""
        return PROJECTIONS[self.projection](x, y, self)

    def check(self, where: str) -> None:
        """Raise InputError if the distortion folds the picture over, so that no pinhole picture can be made of it."""
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
def _zoom(lens: Lens) -> float:
    """The smallest zoom of `Lens.zoom`, found by halving: with more of it, a pinhole's picture shows less."""
    left, right, top, bottom = (
        -lens.cx / lens.fx,
        (lens.width - lens.cx) / lens.fx,
        -lens.cy / lens.fy,
        (lens.height - lens.cy) / lens.fy,
    )
    along = np.linspace(0, 1, 65)
    x = np.concatenate([left + (right - left) * along] * 2 + [np.full_like(along, left), np.full_like(along, right)])
    y = np.concatenate([np.full_like(along, top), np.full_like(along, bottom)] + [top + (bottom - top) * along] * 2)

    def pictured(zoom: float) -> bool:
        with np.errstate(all="ignore"):
            across, down = lens.distort(x / zoom, y / zoom)
        slack = 1e-9 * max(right - left, bottom - top)
        inside = (across >= left - slack) & (across <= right + slack) & (down >= top - slack) & (down <= bottom + slack)
        return bool(inside.all())

    low = max(float(np.hypot(x, y).max()) / math.tan(math.radians(WIDEST / 2)), _SHORTEST)
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


def undistort(image: np.ndarray, lens: Lens, *, smooth: bool = True) -> np.ndarray:
    """The picture (H, W, C) uint8 that a pinhole with the intrinsics `lens.matrix` would have taken in place of `image`.

    `lens` may be stated for another size of the same picture. Channel by channel, bilinear; by cubic splines for a fisheye, whose
    edges are stretched, unless `smooth` is False: splines overshoot beside the outline of a mask. Where the pinhole sees more
    than the lens did, the picture's edge is repeated: no border of another colour is learned as part of the scene.
    """
    rows, columns, channels = image.shape
    positions = _sources(lens.scaled(columns, rows))
    pinhole, order, largest = np.empty_like(image), 3 if smooth and lens.projection != "radial" else 1, np.iinfo(image.dtype).max
    for channel in range(channels):
        values = ndimage.map_coordinates(image[..., channel], positions, np.float32, order=order, mode="nearest")
        pinhole[..., channel] = np.rint(values).clip(0, largest)
    return pinhole


@lru_cache(maxsize=4)  # views that share a lens come one after the other
def _sources(lens: Lens) -> np.ndarray:
    """Where each pixel of the pinhole's picture is found in the lens's: (2, H, W) float32, rows and columns as indices."""
    zoom = lens.zoom
    x = (np.arange(lens.width) + 0.5 - lens.cx) / (lens.fx * zoom)
    y = (np.arange(lens.height) + 0.5 - lens.cy) / (lens.fy * zoom)
    x, y = lens.distort(*np.meshgrid(x, y))
    return np.stack([lens.fy * y + lens.cy - 0.5, lens.fx * x + lens.cx - 0.5]).astype(np.float32)
