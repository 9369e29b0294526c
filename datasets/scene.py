"""What a loader gives: a scene of photographed views, split for training, validation and test."""

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from datasets.cameras import Cameras


@dataclass(frozen=True)
class Split:
    """The views of one split. Images stay uint8 in memory and are converted view by view."""

    images: np.ndarray  # (V, H, W, 3) uint8, straight colours as stored (not multiplied by alpha)
    alpha: np.ndarray | None  # (V, H, W) uint8, or None where the files have no alpha channel
    cameras: Cameras
    names: list[str]  # V names, for pictures and messages

    def __len__(self) -> int:
        return len(self.names)

    def picture(self, view: int, background: str) -> Tensor:
        """One view as float32 (H, W, 3) in [0, 1] over a background.

        `black` is the stored colours as they are (what the original point-radiance trains on: files keep transparent
        pixels black); `white` is colour * alpha + 1 - alpha, what NeRF tables use.
        """
        image = torch.from_numpy(self.images[view]).float() / 255
        if background == "white" and self.alpha is not None:
            alpha = torch.from_numpy(self.alpha[view]).float()[..., None] / 255
            image = image * alpha + (1 - alpha)
        return image

    def over_black(self) -> "Split":
        """The same views with their colours multiplied by alpha: what a model with exact alpha shows before black."""
        if self.alpha is None:
            return self
        product = self.images.astype(np.uint16) * self.alpha[..., None]
        return replace(self, images=((product + 127) // 255).astype(np.uint8))

    def shrunk(self, factor: int) -> "Split":
        """The same views at 1/factor of the size, one pixel at least, by averages over areas; with alpha, colours are averaged
        by it."""
        width, height = (max(1, size // factor) for size in (self.cameras.width, self.cameras.height))
        straight = self.images.astype(np.float32)
        cover = np.ones_like(straight[..., :1]) if self.alpha is None else self.alpha[..., None].astype(np.float32) / 255
        product, alpha = (_area_mean(values, width, height) for values in (straight * cover, cover))
        images = np.rint(product / np.maximum(alpha, 1e-6)).clip(0, 255).astype(np.uint8)
        covered = None if self.alpha is None else np.rint(255 * alpha[..., 0]).astype(np.uint8)
        return Split(images, covered, self.cameras.scaled(width, height), self.names)

    def subset(self, views: list[int]) -> "Split":
        """The same split with only some views, in the given order."""
        alpha = None if self.alpha is None else self.alpha[views]
        return Split(self.images[views], alpha, self.cameras[views], [self.names[v] for v in views])


def _area_mean(values: np.ndarray, width: int, height: int) -> np.ndarray:
    """Values (V, H, W, C) averaged over the areas of smaller pixels."""
    tensor = torch.from_numpy(values).permute(0, 3, 1, 2)
    return torch.nn.functional.interpolate(tensor, (height, width), mode="area").permute(0, 2, 3, 1).numpy()


@dataclass(frozen=True)
class Scene:
    """A photographed scene: three splits (val and test may be empty) and the box that holds what is to be learned."""

    name: str
    train: Split
    val: Split
    test: Split
    bounds: Tensor  # (2, 3) float32, world: lower and upper corner
    near: float  # nearest and farthest content, world units along the camera's z axis
    far: float
    background: str = "black"  # black | white: what lies behind alpha, in training and in evaluation
    cut_out: bool = False  # masks from files made the pictures black outside them: a wrong mask spoils its picture
    carving: Split | None = None  # the training views as carving sees them, where their masks are damaged or come from files
    # True: everything lies before one plane, far away too, and rays belong in normalised device coordinates, from z = -1
    # (0 there; near is beyond it) to infinity (1)
    forward_facing: bool = False
    render_path: Cameras | None = None  # the path that the data's own programs film, where there is one
    extras: dict = field(default_factory=dict)  # loader's own facts for the report (folder, format, skipped images)

    @property
    def silhouettes(self) -> Split:
        """The training views with the masks that may be used; `train` itself where nothing was said about masks."""
        return self.train if self.carving is None else self.carving
