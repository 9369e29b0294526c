"""Lenses of photographs: a pinhole with radial and tangential distortion, and the pictures that a pinhole would have taken."""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from scipy import ndimage

from settings.errors import InputError


@dataclass(frozen=True)
class Lens:
    """Focal lengths and principal point in px of a picture of width x height px, and OpenCV's distortion.

    Image coordinates count from the picture's top left corner, so that a pixel's centre is at +0.5. A point (x, y, 1) in
    front of the camera, y down, with r^2 = x^2 + y^2, is seen at col = fx x' + cx, row = fy y' + cy, where

        x' = x (1 + k1 r^2 + k2 r^4 + k3 r^6) + 2 p1 x y + p2 (r^2 + 2 x^2)
        y' = y (1 + k1 r^2 + k2 r^4 + k3 r^6) + p1 (r^2 + 2 y^2) + 2 p2 x y

    (Brown 1966, as in OpenCV's documentation of `calib3d`).
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

    @property
    def is_distorted(self) -> bool:
        return any((self.k1, self.k2, self.k3, self.p1, self.p2))

    @property
    def matrix(self) -> np.ndarray:
        """The intrinsics (3, 3) float64 of the pinhole, px."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1]])

    def scaled(self, width: int, height: int) -> "Lens":
        """The same lens for the whole picture at another size."""
        across, down = width / self.width, height / self.height
        return replace(self, fx=self.fx * across, cx=self.cx * across, fy=self.fy * down, cy=self.cy * down,
                       width=width, height=height)

    def distort(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(x', y') of the class's formula, element by element."""
        square = x * x + y * y
        radial = 1 + square * (self.k1 + square * (self.k2 + square * self.k3))
        return (x * radial + 2 * self.p1 * x * y + self.p2 * (square + 2 * x * x),
                y * radial + self.p1 * (square + 2 * y * y) + 2 * self.p2 * x * y)

    def check(self, where: str) -> None:
        """Raise InputError where the distortion folds the picture over, so that no pinhole picture can be made of it."""
        if not self.is_distorted:
            return
        if not np.isfinite([self.k1, self.k2, self.k3, self.p1, self.p2]).all():
            raise InputError(f"{where}: a coefficient of the lens distortion is not finite")
        corner = np.hypot(max(self.cx, self.width - self.cx) / self.fx, max(self.cy, self.height - self.cy) / self.fy)
        with np.errstate(over="ignore", invalid="ignore"):  # damaged files hold any number
            square = np.linspace(0, corner, 200) ** 2
            slope = 1 + square * (3 * self.k1 + square * (5 * self.k2 + square * 7 * self.k3))  # of r (1 + k1 r^2 + ...)
        if not slope.min() > 0:
            raise InputError(f"{where}: the lens distortion (k1 {self.k1:g}, k2 {self.k2:g}, k3 {self.k3:g}) folds the picture "
                             "over before its corners: calibrate again, or undistort the images first")


def undistort(image: np.ndarray, lens: Lens) -> np.ndarray:
    """The picture (H, W, C) uint8 that a pinhole with the lens's fx, fy, cx, cy would have taken in place of `image`.

    `lens` may be stated for another size of the same picture. Bilinear, channel by channel. Where the pinhole sees more
    than the lens did, the picture's edge is repeated: no border of another colour is learned as part of the scene.
    """
    rows, columns, channels = image.shape
    places = _sources(lens.scaled(columns, rows))
    pinhole = np.empty_like(image)
    for channel in range(channels):
        values = ndimage.map_coordinates(image[..., channel], places, np.float32, order=1, mode="nearest")
        pinhole[..., channel] = np.rint(values)
    return pinhole


@lru_cache(maxsize=4)  # views that share a lens come one after the other
def _sources(lens: Lens) -> np.ndarray:
    """Where each pixel of the pinhole's picture is found in the lens's: (2, H, W) float32, rows and columns as indices."""
    x = (np.arange(lens.width) + 0.5 - lens.cx) / lens.fx
    y = (np.arange(lens.height) + 0.5 - lens.cy) / lens.fy
    x, y = lens.distort(*np.meshgrid(x, y))
    return np.stack([lens.fy * y + lens.cy - 0.5, lens.fx * x + lens.cx - 0.5]).astype(np.float32)
