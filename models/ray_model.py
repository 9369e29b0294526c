"""How a picture is made of rays: common to all models that are rendered ray by ray."""

from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from datasets.backgrounds import rendering_over
from datasets.cameras import Cameras
from models.antialiasing import AntialiasedModel
from models.rays import Ndc, Rays, pack_cameras, pixel_rays, view_pixels
from models.rendering import Rendering
from models.volume import RayRendering
from system import signals

CHUNK, NETWORK_CHUNK = 32_768, 4096  # rays that are rendered at a time; of models that sample each ray many times


class RayModel(nn.Module, AntialiasedModel):
    """A model that answers `render_rays`. Its coordinates are the world's, or normalised device coordinates.

    through_corners: rays go through the upper left corners of pixels, as in nerf-pytorch, not through their centres.
    """

    field_word: Any  # str, the word for --field
    chunk: int  # rays that are rendered at a time
    points: int | None = None  # samples that go through a network at a time in rendering; None: as many as are fast
    no_calls = "it evaluates the radiance at every sample"  # why `radiance_samples` is always 0
    contracted: Any = False  # bool, whether the field covers all of space
    state: Callable[..., dict]  # the model as plain tensors and numbers

    def __init__(self, ndc: Ndc | None = None, *, through_corners: bool = False):
        super().__init__()
        self.ndc, self.through_corners, self.chunk = ndc, through_corners, CHUNK

    @property
    def radiance_samples(self) -> int:
        """Samples per ray that evaluate the radiance alone; 0: every sample does."""
        return 0

    @radiance_samples.setter
    def radiance_samples(self, count: int) -> None:
        """Raises ValueError for a number that the model has no samples for: any but 0, if it does not say otherwise."""
        if count:
            raise ValueError(self.no_calls)

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @property
    def in_bfloat16(self) -> bool:
        """Whether the networks multiply in bfloat16."""
        return any(getattr(part, "in_bfloat16", False) for part in self._parts())

    def set_bfloat16(self, on: bool) -> None:
        """Have the networks multiply in bfloat16, or in single precision."""
        for part in self._parts():
            if hasattr(part, "in_bfloat16"):
                part.in_bfloat16 = on  # pyright: ignore[reportArgumentType]  # nn.Module declares tensors alone

    def _parts(self) -> Iterator[torch.nn.Module]:
        return (part for part in self.modules() if part is not self)

    def to_model_space(self, rays: Rays) -> Rays:
        """Rays of the world in the model's coordinates."""
        return rays if self.ndc is None else self.ndc.to_ndc(rays)

    @abstractmethod
    def render_rays(self, rays: Rays, *, with_normal: bool = False) -> RayRendering:
        """Colour, transmittance and depth of rays in the model's coordinates; with_normal: normals too, if it has any."""

    @torch.no_grad()
    def render_at(
        self, cameras: Cameras, view: int, background: str, *, with_depth: bool, with_normal: bool = False
    ) -> Rendering:
        """One view with one ray a pixel, in chunks of rays, so that memory does not grow with the picture."""
        packed = pack_cameras(cameras[view]).to(self.device)
        if self.through_corners:
            packed[:, 14:16] += 0.5
        width, height = cameras.size(view)
        pixels = view_pixels(0, width, height, self.device)
        parts = []
        for some in pixels.split(self.chunk):
            signals.check()
            parts.append(self._over_black(pixel_rays(packed, some), with_normal))
        colour, alpha, depth = (torch.cat(column) for column in zip(*(part[:3] for part in parts), strict=True))
        normals = [part[3] for part in parts if part[3] is not None]
        colour = rendering_over(colour, 1 - alpha, background).clamp(0, 1)
        size = height, width
        return Rendering(
            colour.view(*size, 3),
            alpha.view(size),
            depth.view(size) if with_depth else None,
            torch.cat(normals).view(*size, 3) if normals else None,
        )

    def _over_black(self, rays: Rays, with_normal: bool) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Colour over black, alpha, mean depth along the camera's z axis, 0 where alpha is 0, and unit normals of rays of the
        world."""
        colour, transmittance, weighted, normal = self.render_rays(self.to_model_space(rays), with_normal=with_normal)
        alpha = 1 - transmittance
        depth = weighted / alpha.clamp_min(1e-8)
        if self.ndc is not None:
            depth = torch.where(alpha > 0, self.ndc.depth(rays, depth), 0)
        return colour, alpha, depth, None if normal is None else torch.nn.functional.normalize(normal, dim=1)
