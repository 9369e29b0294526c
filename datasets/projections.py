"""Projections with lens distortion, by OpenCV's and COLMAP's formulas.

Each function takes (x, y) of points (x, y, 1) in front of the camera, y down, and the camera model with its coefficients, and
returns (x', y') of the same shape: the point is seen at col = fx x' + cx, row = fy y' + cy. r^2 = x^2 + y^2.
"""

from collections.abc import Callable

import numpy as np


def radial(x: np.ndarray, y: np.ndarray, camera) -> tuple[np.ndarray, np.ndarray]:
    """A pinhole with radial and tangential distortion (Brown 1966, as in OpenCV's documentation of `calib3d`):

    x' = x (1 + k1 r^2 + k2 r^4 + k3 r^6) / (1 + k4 r^2 + k5 r^4 + k6 r^6) + 2 p1 x y + p2 (r^2 + 2 x^2)
    y' = y (1 + k1 r^2 + k2 r^4 + k3 r^6) / (1 + k4 r^2 + k5 r^4 + k6 r^6) + p1 (r^2 + 2 y^2) + 2 p2 x y
    """
    square = x * x + y * y
    factor = 1 + square * (camera.k1 + square * (camera.k2 + square * camera.k3))
    if camera.k4 or camera.k5 or camera.k6:
        factor = factor / (1 + square * (camera.k4 + square * (camera.k5 + square * camera.k6)))
    return _tangential(x * factor, y * factor, x, y, square, camera)


def fisheye(x: np.ndarray, y: np.ndarray, camera) -> tuple[np.ndarray, np.ndarray]:
    """A fisheye: the distance from the middle is the angle t = atan(r), times 1 + k1 t^2 + k2 t^4 + k3 t^6 + k4 t^8 (OpenCV).

    With coefficients p1, p2, sx1, sy1 it is COLMAP's THIN_PRISM_FISHEYE: they act on (u, v) = (x, y) t / r.
    """
    length = np.hypot(x, y)
    angle = np.arctan(length)
    ratio = np.divide(angle, length, out=np.ones_like(length), where=length > 1e-12)
    u, v, square = x * ratio, y * ratio, angle * angle
    factor = 1 + square * (camera.k1 + square * (camera.k2 + square * (camera.k3 + square * camera.k4)))
    across, down = _tangential(u * factor, v * factor, u, v, square, camera)
    return across + camera.sx1 * square, down + camera.sy1 * square


def fov(x: np.ndarray, y: np.ndarray, camera) -> tuple[np.ndarray, np.ndarray]:
    """The field-of-view model (Devernay and Faugeras 2001): r' = atan(2 r tan(k1 / 2)) / k1, with k1 their omega, not 0."""
    length = np.hypot(x, y)
    wide = np.arctan(2 * length * np.tan(camera.k1 / 2)) / camera.k1
    ratio = np.divide(wide, length, out=np.full_like(length, 2 * np.tan(camera.k1 / 2) / camera.k1), where=length > 1e-12)
    return x * ratio, y * ratio


def division(x: np.ndarray, y: np.ndarray, camera) -> tuple[np.ndarray, np.ndarray]:
    """The division model (Fitzgibbon 2001): r = r' / (1 + k1 r'^2), so that r' = 2 r / (1 + sqrt(1 - 4 k1 r^2))."""
    ratio = 2 / (1 + np.sqrt(1 - 4 * camera.k1 * (x * x + y * y)))
    return x * ratio, y * ratio


PROJECTIONS: dict[str, Callable] = {"radial": radial, "fisheye": fisheye, "fov": fov, "division": division}


def _tangential(across, down, x, y, square, camera) -> tuple[np.ndarray, np.ndarray]:
    return (
        across + 2 * camera.p1 * x * y + camera.p2 * (square + 2 * x * x),
        down + camera.p1 * (square + 2 * y * y) + 2 * camera.p2 * x * y,
    )
