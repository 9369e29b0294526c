"""What every method returns for a view, so that metrics, video and report are written once."""

from dataclasses import dataclass

from torch import Tensor


@dataclass
class Rendering:
    """One rendered view."""

    image: Tensor  # (H, W, 3) in [0, 1], over the background that was asked for
    alpha: Tensor  # (H, W) in [0, 1]: 1 - transmittance behind the last point
    depth: Tensor | None  # (H, W) world units along the camera's z axis, alpha-weighted mean, 0 where alpha is 0; None unasked
    normal: Tensor | None = None  # (H, W, 3) unit world vectors, where the model has one
