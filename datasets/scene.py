"""The result of a loader: a scene of photographed views, split for training, validation and test."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from datasets.backgrounds import photograph_over
from datasets.cameras import Cameras
from datasets.normal_maps import decoded_normals, encoded_normals

Pictures = np.ndarray | list[np.ndarray]  # an array (V, H, W, ...) if all pictures have one size, else a list of V arrays


def joined(pictures: Sequence[np.ndarray]) -> Pictures:
    """The pictures as one array if they have one size, else as a list."""
    if isinstance(pictures, np.ndarray):
        return pictures
    return np.stack(pictures) if len({picture.shape for picture in pictures}) == 1 else list(pictures)


@dataclass(frozen=True)
class Split:
    """The views of one split, whose pictures may have different sizes. They stay uint8 in memory and are converted one by one."""

    images: Pictures  # V pictures (H, W, 3) uint8, straight colours as stored (not multiplied by alpha)
    alpha: Pictures | None  # V masks (H, W) uint8, or None if the files have no alpha channel
    cameras: Cameras
    names: list[str]  # V names, for pictures and messages
    black_if_transparent: bool = False  # whether the files' colours are black wherever alpha is 0, which loaders measure
    scales: list[int] | None = None  # V, a picture is 1 / scale as large as its photograph; None: they have their own size
    normals: Pictures | None = None  # V pictures (H, W, 3) uint8 as `encoded_normals` says; None: the files have none
    stored_over_black: bool = False  # whether views over black are the stored colours; see `datasets.backgrounds`

    def __len__(self) -> int:
        return len(self.names)

    @property
    def masks(self) -> Pictures:
        """`alpha`, which is not None. Raises ValueError if it is."""
        if self.alpha is None:
            raise ValueError("the split has no alpha")
        return self.alpha

    def picture(self, view: int, background: str) -> Tensor:
        """One view as float32 (H, W, 3) in [0, 1] over a background, `black` (rounded to bytes, as `over_black`) or `white`."""
        return self.over_black(view).float() / 255 if background == "black" else self._over(view, background)

    def over_black(self, view: int) -> Tensor:
        """One view over black, uint8 (H, W, 3): colour * alpha, or the stored colours if `stored_over_black`."""
        return self._over(view, "black", in_bytes=True)

    def _over(self, view: int, background: str, *, in_bytes: bool = False) -> Tensor:
        alpha = None if self.alpha is None else torch.from_numpy(self.alpha[view])
        return photograph_over(
            torch.from_numpy(self.images[view]), alpha, background, stored_over_black=self.stored_over_black, in_bytes=in_bytes
        )

    def normal(self, view: int) -> Tensor:
        """The surface's outward normals in one view, float32 (H, W, 3): unit vectors in world axes, 0 where there is none.

        Raises ValueError if the files have no normals.
        """
        if self.normals is None:
            raise ValueError("the split has no normals")
        return torch.from_numpy(decoded_normals(self.normals[view]))

    def shrunk(self, factor: int) -> "Split":
        """The same views at 1/factor of the size, at least one pixel, by area averages; colours and normals weighted by alpha."""
        sizes = ([max(1, int(size) // factor) for size in both] for both in (self.cameras.widths, self.cameras.heights))
        cameras = self.cameras.scaled(*map(torch.tensor, sizes))
        views = [self._shrunk_view(view, *cameras.size(view)) for view in range(len(self))]
        images, alpha = (joined(part) for part in zip(*views, strict=True)) if views else (self.images, self.alpha)
        normals = self.normals
        if normals is not None and views:
            normals = joined([self._shrunk_normals(view, *cameras.size(view)) for view in range(len(self))])
        return replace(self, images=images, alpha=None if self.alpha is None else alpha, cameras=cameras, normals=normals)

    def _shrunk_normals(self, view: int, width: int, height: int) -> np.ndarray:
        cover = 1.0 if self.alpha is None else self.alpha[view][..., None].astype(np.float32) / 255
        return encoded_normals(_area_mean(self.normal(view).numpy() * cover, width, height))

    def _shrunk_view(self, view: int, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
        straight = self.images[view].astype(np.float32)
        cover = np.ones_like(straight[..., :1]) if self.alpha is None else self.alpha[view][..., None].astype(np.float32) / 255
        product, alpha = (_area_mean(values, width, height) for values in (straight * cover, cover))
        colours = np.rint(product / np.maximum(alpha, 1e-6)).clip(0, 255).astype(np.uint8)
        return colours, np.rint(255 * alpha[..., 0]).astype(np.uint8)

    def subset(self, views: list[int]) -> "Split":
        """The same split with only some views, in the given order."""
        images, alpha, normals = (_some(pictures, views) for pictures in (self.images, self.alpha, self.normals))
        names, scales = [self.names[view] for view in views], self.scales and [self.scales[view] for view in views]
        cameras = self.cameras[views]
        return replace(self, images=images, alpha=alpha, cameras=cameras, names=names, scales=scales, normals=normals)


def _some(pictures: Pictures | None, views: list[int]) -> Pictures | None:
    if pictures is None or isinstance(pictures, np.ndarray):
        return None if pictures is None else pictures[views]
    return joined([pictures[view] for view in views])


def _area_mean(values: np.ndarray, width: int, height: int) -> np.ndarray:
    """Values (H, W, C) averaged over the areas of smaller pixels."""
    tensor = torch.from_numpy(values).permute(2, 0, 1)[None]
    return torch.nn.functional.interpolate(tensor, (height, width), mode="area")[0].permute(1, 2, 0).numpy()


@dataclass(frozen=True)
class Scene:
    """A photographed scene: three splits (val and test may be empty) and the box that holds its content."""

    name: str
    train: Split
    val: Split
    test: Split
    bounds: Tensor  # (2, 3) float32, world: lower and upper corner
    near: float  # nearest and farthest content, world units along the camera's z axis
    far: float
    background: str = "black"  # black | white: what lies behind alpha, in training and in evaluation
    cut_out: bool = False  # masks from files made the pictures black outside them: a wrong mask spoils its picture
    carving: Split | None = None  # the training views as carving sees them, if their masks are damaged or come from files
    # True: everything lies in front of one plane, some of it far away, and rays belong in normalised device coordinates: t is 0
    # at z = -1 (near is beyond it) and 1 at infinity
    forward_facing: bool = False
    render_path: Cameras | None = None  # the camera path of the format's own programs; None: they have none
    notes: list[str] = field(default_factory=list)  # sentences for the report on how the data were used
    extras: dict = field(default_factory=dict)  # the loader's facts for the report (folder, format, skipped images)

    @property
    def silhouettes(self) -> Split:
        """The training views with the masks for carving: `carving`, or `train` if it is None."""
        return self.train if self.carving is None else self.carving
