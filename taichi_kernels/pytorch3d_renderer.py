"""These kernels behind the call signature of PyTorch3D's points renderer, for programs written against it.

    renderer = SplatRenderer(cameras, PointsRasterizationSettings(image_size=400, radius=0.01, points_per_pixel=15))
    images = renderer(point_clouds)                                              # (N, H, W, C)

takes the place of `PointsRenderer(PointsRasterizer(cameras, raster_settings), AlphaCompositor())`. PyTorch3D's own objects are
passed in and only their methods are called, so nothing of it is imported here.

Its conventions (NDC): x to the left, y up, the image's shorter side spans [-1, 1]; a point of NDC radius r covers a pixel at NDC
distance d with alpha = 1 - d² / r²; the `points_per_pixel` nearest points count.
"""

import torch
from torch import Tensor, nn

from taichi_kernels.splatting import splat


class SplatRenderer(nn.Module):
    """Alpha-composited points of PyTorch3D `Pointclouds` seen by its cameras.

    cameras: a batch of PyTorch3D cameras, one for each cloud or one for all; raster_settings: an object with `image_size`,
    `radius` (a number, or (N, P) in NDC) and `points_per_pixel`; `bin_size` and `max_points_per_bin` are not needed: nothing is
    dropped. background_color: C numbers that show through where points leave a pixel transparent (PyTorch3D's compositor paints
    it only where no point is, which leaves dark rims), or None for black.
    """

    def __init__(self, cameras=None, raster_settings=None, background_color=None):
        super().__init__()
        self.cameras, self.raster_settings, self.background_color = cameras, raster_settings, background_color

    def forward(self, point_clouds, **kwargs) -> Tensor:
        """Images (N, H, W, C) of N clouds with C features; differentiable in points, features and radii.

        `cameras`, `raster_settings`, `background_color` and what the cameras' own methods take may be given as keywords. Raises
        ValueError without cameras, settings or features.
        """
        cameras = kwargs.pop("cameras", self.cameras)
        settings = kwargs.pop("raster_settings", self.raster_settings)
        background = kwargs.pop("background_color", self.background_color)
        features = point_clouds.features_padded()
        if cameras is None or settings is None or features is None:
            raise ValueError("cameras, raster_settings and a point cloud with features are needed to render")
        points = point_clouds.points_padded()
        depths = cameras.get_world_to_view_transform(**kwargs).transform_points(points)[..., 2]
        ndc = cameras.transform_points_ndc(points, **kwargs)[..., :2]
        size = settings.image_size
        height, width = (size, size) if isinstance(size, int) else size
        radii = torch.as_tensor(settings.radius, dtype=points.dtype, device=points.device).expand(points.shape[:2])
        images = []
        for n, count in enumerate(point_clouds.num_points_per_cloud().tolist()):
            inputs = (ndc[n, :count], depths[n, :count], radii[n, :count], features[n, :count])
            images.append(_render(*inputs, width, height, settings.points_per_pixel, background))
        return torch.stack(images)


def _render(
    ndc: Tensor, depths: Tensor, radii: Tensor, features: Tensor, width: int, height: int, nearest: int, background
) -> Tensor:
    half = min(width, height) / 2
    centers = torch.stack([width / 2 - ndc[:, 0] * half, height / 2 - ndc[:, 1] * half], 1)
    limits = {"max_layers": nearest, "min_transmittance": 0.0}
    image, alpha, _ = splat(centers, depths, radii * half, None, features, width, height, **limits)
    if background is None:
        return image
    colour = torch.as_tensor(background, dtype=image.dtype, device=image.device)
    return image + (1 - alpha)[..., None] * colour
