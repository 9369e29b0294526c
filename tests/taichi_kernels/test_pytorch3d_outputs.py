"""Parity with PyTorch3D's points renderer by what it once made, see pytorch3d_outputs.py."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from taichi_kernels.pytorch3d_renderer import SplatRenderer
from tests.taichi_kernels.pytorch3d_outputs import FILE, FOCAL, NEAREST, RADIUS, SIZES


class StoredCameras:
    """PyTorch3D's perspective cameras: x_view = x R + T, and NDC is focal length times x / z and y / z."""

    def __init__(self, rotation, translation):
        self.rotation, self.translation = rotation, translation

    def _to_view(self, points):
        return points @ self.rotation + self.translation[:, None]

    def get_world_to_view_transform(self):
        return SimpleNamespace(transform_points=self._to_view)

    def transform_points_ndc(self, points):
        view = self._to_view(points)
        return FOCAL * view / view[..., 2:]


class Clouds:
    """Two clouds, padded to the longer one's length."""

    def __init__(self, points, features):
        pad = torch.nn.utils.rnn.pad_sequence
        self.points_padded, self.features_padded = (lambda: pad(points, True)), (lambda: pad(features, True))
        self.num_points_per_cloud = lambda: torch.tensor([len(p) for p in points])


@pytest.mark.parametrize("name", SIZES)
def test_parity_with_stored_pictures_and_gradients(device, name):
    with np.load(FILE) as file:
        stored = {key: torch.from_numpy(file[key]).to(device) for key in file.files}
    leaves = {key: stored[key].requires_grad_() for key in ("points0", "points1", "features0", "features1")}
    settings = SimpleNamespace(image_size=SIZES[name], radius=RADIUS, points_per_pixel=NEAREST)
    renderer = SplatRenderer(StoredCameras(stored["rotation"], stored["translation"]), settings)
    image = renderer(Clouds([leaves["points0"], leaves["points1"]], [leaves["features0"], leaves["features1"]]))
    grads = torch.autograd.grad((image * stored[f"weights_{name}"]).sum(), list(leaves.values()))
    assert (stored[f"image_{name}"] > 0).float().mean() > 0.3
    # alpha is 1 - d^2 / r^2 with r near 2 pixels: float32 rounds d^2 of a 40-pixel picture by 40 eps = 5e-6
    torch.testing.assert_close(image, stored[f"image_{name}"], atol=2e-5, rtol=0)
    for key, grad in zip(leaves, grads, strict=True):
        error = (grad - stored[f"grad_{key}_{name}"]).abs() / stored[f"grad_{key}_{name}"].abs().max()
        # where rounding decides whether a pixel lies inside a splat's edge, alpha is 0 all the same, but its slope is not
        assert (error > 2e-5).float().mean() < 0.01 and error.max() < 0.005, key
