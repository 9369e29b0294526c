"""The result of every method for a view, so that metrics, video and report are written once."""

from dataclasses import dataclass

from torch import Tensor


@dataclass
class Rendering:
    """One rendered view."""

    image: Tensor  # (H, W, 3) in [0, 1], over the requested background
    alpha: Tensor  # (H, W) in [0, 1]: 1 - transmittance behind the last point
    depth: Tensor | None  # (H, W) world units along the camera's z axis, alpha-weighted mean (0 if alpha is 0); may be None
    normal: Tensor | None = None  # (H, W, 3) unit world vectors, if the model has normals
