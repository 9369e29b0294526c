"""COLMAP's camera models (colmap.github.io/cameras.html): from names and parameters to `CameraModel`."""

import numpy as np

from datasets.camera_models import CameraModel
from settings.errors import InputError

# The models by their numbers in .bin files.
MODELS = (
    "SIMPLE_PINHOLE",
    "PINHOLE",
    "SIMPLE_RADIAL",
    "RADIAL",
    "OPENCV",
    "OPENCV_FISHEYE",
    "FULL_OPENCV",
    "FOV",
    "SIMPLE_RADIAL_FISHEYE",
    "RADIAL_FISHEYE",
    "THIN_PRISM_FISHEYE",
    "RAD_TAN_THIN_PRISM_FISHEYE",
    "SIMPLE_DIVISION",
    "DIVISION",
    "SIMPLE_FISHEYE",
    "FISHEYE",
    "EQUIRECTANGULAR",
)
_ONE, _TWO = ("f", "cx", "cy"), ("fx", "fy", "cx", "cy")  # focal lengths
# The supported models: their projection, and the meaning of their parameters.
SUPPORTED = {
    "SIMPLE_PINHOLE": ("radial", _ONE),
    "PINHOLE": ("radial", _TWO),
    "SIMPLE_RADIAL": ("radial", (*_ONE, "k1")),
    "RADIAL": ("radial", (*_ONE, "k1", "k2")),
    "OPENCV": ("radial", (*_TWO, "k1", "k2", "p1", "p2")),
    "FULL_OPENCV": ("radial", (*_TWO, "k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")),
    "SIMPLE_FISHEYE": ("fisheye", _ONE),
    "FISHEYE": ("fisheye", _TWO),
    "SIMPLE_RADIAL_FISHEYE": ("fisheye", (*_ONE, "k1")),
    "RADIAL_FISHEYE": ("fisheye", (*_ONE, "k1", "k2")),
    "OPENCV_FISHEYE": ("fisheye", (*_TWO, "k1", "k2", "k3", "k4")),
    "THIN_PRISM_FISHEYE": ("fisheye", (*_TWO, "k1", "k2", "p1", "p2", "k3", "k4", "sx1", "sy1")),
    "FOV": ("fov", (*_TWO, "k1")),
    "SIMPLE_DIVISION": ("division", (*_ONE, "k1")),
    "DIVISION": ("division", (*_TWO, "k1")),
}
COUNTS = {name: len(parameters) for name, (_, parameters) in SUPPORTED.items()} | {"RAD_TAN_THIN_PRISM_FISHEYE": 16}


def build_camera_model(name: str, width: int, height: int, values: tuple[float, ...], where: str) -> CameraModel:
    """The camera with COLMAP's model `name` and its parameters `values`.

    Raises InputError, which begins with `where`, for an unsupported model and for parameters that are not valid.
    """
    if name not in SUPPORTED:
        raise InputError(
            f"{where}: the camera model {name} is not supported: choose one of {', '.join(SUPPORTED)}, or undistort "
            "the images by COLMAP"
        )
    projection, names = SUPPORTED[name]
    if len(values) != len(names):
        raise InputError(f"{where}: {name} has {len(names)} parameters, but {len(values)} are given")
    parameters = dict(zip(names, values, strict=True))
    if "f" in parameters:
        parameters["fx"] = parameters["fy"] = parameters.pop("f")
    if projection in ("fov", "division") and not parameters["k1"]:
        projection = "radial"  # a pinhole
    camera = CameraModel(width=width, height=height, projection=projection, **parameters)
    if not (np.isfinite(values).all() and min(camera.fx, camera.fy) > 0 and min(width, height) >= 1):
        stated = ", ".join(f"{value:g}" for value in values)
        raise InputError(f"{where}: {name} of {width}x{height} px has parameters that are not valid: {stated}")
    camera.check(where)
    return camera
