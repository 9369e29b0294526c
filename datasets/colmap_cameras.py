"""COLMAP's camera models (colmap.github.io/cameras.html): from names and parameters to lenses."""

import numpy as np

from datasets.lenses import Lens
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
# The models that are supported: the projection of their lenses, and the meaning of their parameters.
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


def camera_lens(name: str, width: int, height: int, values: tuple[float, ...], where: str) -> Lens:
    """The lens of a camera of the model `name`. Raises InputError, which begins with `where`, if there is none."""
    if name not in SUPPORTED:
        raise InputError(
            f"{where}: the camera model {name} is not supported: choose one of {', '.join(SUPPORTED)}, or undistort "
            "the images by COLMAP"
        )
    projection, names = SUPPORTED[name]
    if len(values) != len(names):
        raise InputError(f"{where}: {name} has {len(names)} parameters, and these are {len(values)}")
    parameters = dict(zip(names, values, strict=True))
    if "f" in parameters:
        parameters["fx"] = parameters["fy"] = parameters.pop("f")
    if projection in ("fov", "division") and not parameters["k1"]:
        projection = "radial"  # a pinhole
    lens = Lens(width=width, height=height, projection=projection, **parameters)
    if not (np.isfinite(values).all() and min(lens.fx, lens.fy) > 0 and min(width, height) >= 1):
        stated = ", ".join(f"{value:g}" for value in values)
        raise InputError(f"{where}: {name} of {width}x{height} px has parameters that are not valid: {stated}")
    lens.check(where)
    return lens
