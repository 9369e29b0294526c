"""What PyTorch3D's points renderer makes of two small clouds, stored once, so that parity is tested where it is not installed.

    python -m tests.taichi_kernels.pytorch3d_outputs          (where PyTorch3D is installed; writes pytorch3d_outputs.npz)

The stored file is of PyTorch3D's commit 9381c401 (28 July 2026) on a CPU with torch 2.13.0: its own C++ of the rasterizer and of
the compositors, compiled by gcc 12 -O2 without the rest of the library, and its own Python classes. Inputs are in the file too.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

FILE = Path(__file__).with_suffix(".npz")
SIZES = {"square": (32, 32), "wide": (24, 40)}  # height, width
FOCAL, RADIUS, NEAREST = 2.0, 0.12, 10


def inputs() -> dict[str, Tensor]:
    """Two clouds, their features, and a weight for each pixel's channels by which pictures are summed to one number."""
    g = torch.Generator().manual_seed(0)
    found = {f"points{n}": torch.randn(count, 3, generator=g) for n, count in enumerate((300, 120))}
    found |= {f"features{n}": torch.rand(count, 3, generator=g) for n, count in enumerate((300, 120))}
    return found | {f"weights_{name}": torch.rand(2, *size, 3, generator=g) for name, size in SIZES.items()}


def main() -> None:
    """Render the clouds by PyTorch3D, from a camera each, and store pictures and gradients."""
    from pytorch3d.renderer import (
        AlphaCompositor,
        PerspectiveCameras,
        PointsRasterizationSettings,
        PointsRasterizer,
        PointsRenderer,
    )
    from pytorch3d.renderer.cameras import look_at_view_transform
    from pytorch3d.structures import Pointclouds

    given = inputs()
    rotation, translation = look_at_view_transform(4.0, 30.0, [20.0, 200.0])
    cameras = PerspectiveCameras(focal_length=FOCAL, R=rotation, T=translation)
    found: dict[str, Any] = given | {"rotation": rotation, "translation": translation}
    for name, size in SIZES.items():
        raster = PointsRasterizationSettings(image_size=size, radius=RADIUS, points_per_pixel=NEAREST, bin_size=0)
        leaves = {key: given[key].clone().requires_grad_() for key in ("points0", "points1", "features0", "features1")}
        clouds = Pointclouds([leaves["points0"], leaves["points1"]], features=[leaves["features0"], leaves["features1"]])
        image = PointsRenderer(PointsRasterizer(cameras, raster), AlphaCompositor())(clouds)
        grads = torch.autograd.grad((image * given[f"weights_{name}"]).sum(), list(leaves.values()))
        found[f"image_{name}"] = image.detach()
        found |= {f"grad_{key}_{name}": grad for key, grad in zip(leaves, grads, strict=True)}
    np.savez_compressed(FILE, **{key: value.numpy() for key, value in found.items()})


if __name__ == "__main__":
    main()
