"""A stand-in for a trained model: it returns the photographs off by a constant, so that a report of it is
quick to make and its figures can be foretold."""

import math

import numpy as np
import torch

from datasets.cameras import Cameras
from datasets.scene import Split
from models.points import PointCloud
from models.rendering import Rendering
from reporting.cloud import CloudArtifact
from reporting.run_record import RunRecord


def ring_of_cameras(
    count: int, width: int, height: int, radius: float = 4.0, arc: float = 2 * math.pi, center=(0.0, 0.0, 0.0)
) -> Cameras:
    """Cameras on a circle 30 degrees above a centre that they look at; the world's up is +z."""
    poses = []
    for i in range(count):
        azimuth, elevation = arc * i / count, math.radians(30)
        backward = np.array(
            [math.cos(azimuth) * math.cos(elevation), math.sin(azimuth) * math.cos(elevation), math.sin(elevation)]
        )
        right = np.array([-math.sin(azimuth), math.cos(azimuth), 0.0])
        eye = np.array(center) + radius * backward
        poses.append(np.stack([right, np.cross(backward, right), backward, eye], axis=1))
    k = torch.tensor([[1.2 * width, 0, width / 2], [0, 1.2 * width, height / 2], [0, 0, 1]])
    return Cameras(k.expand(count, 3, 3).clone(), torch.tensor(np.stack(poses)).float(), width, height)


def small_split(count: int = 5, width: int = 36, height: int = 24, names: list[str] | None = None) -> Split:
    """A split of smooth coloured pictures with a round mask."""
    rows, columns = np.mgrid[0:height, 0:width]
    mask = (rows - height / 2) ** 2 + (columns - width / 2) ** 2 < (height / 2.5) ** 2
    images = [
        np.stack([columns * 7 % 256, rows * 9 % 256, np.full_like(rows, 40 * i % 256)], -1) * mask[..., None]
        for i in range(count)
    ]
    alpha = np.repeat((mask * 255).astype(np.uint8)[None], count, axis=0)
    cameras = ring_of_cameras(count, width, height)
    return Split(np.stack(images).astype(np.uint8), alpha, cameras, names or [f"r_{i}" for i in range(count)])


class FakeModel:
    """Returns a split's own pictures, off by a constant; for other cameras, a plain disc."""

    def __init__(self, split: Split, offset: float = 0.1):
        self.split, self.offset = split, offset
        self.rendered: list[int] = []
        self.seen: list[Cameras] = []

    def describe(self) -> str:
        return "7 points"

    def render(
        self, cameras: Cameras, view: int, background: str, with_depth=True, antialias=True, with_normal=False
    ) -> Rendering:
        assert not torch.is_grad_enabled()
        self.seen.append(cameras)
        self.rendered.append(view)
        if cameras is self.split.cameras:
            alpha = torch.from_numpy(self.split.alpha[view]).float() / 255
            true = self.split.picture(view, background)
            return Rendering(true + self._away(true), alpha, alpha * 4)
        rows, columns = torch.meshgrid(torch.arange(cameras.height), torch.arange(cameras.width), indexing="ij")
        alpha = ((rows - cameras.height / 2) ** 2 + (columns - cameras.width / 2) ** 2 < 80).float()
        return Rendering(alpha[..., None].expand(-1, -1, 3) * 0.8, alpha, alpha * (3 + rows / cameras.height))

    def _away(self, true: torch.Tensor) -> torch.Tensor:
        """The offset towards the middle of [0, 1], so that clamping takes nothing of it away."""
        return torch.where(true < 0.5, self.offset, -self.offset)


def fake_run(folder, **changes) -> RunRecord:
    """A complete record of a run with a model that is off by 0.1 everywhere, which is 20 dB."""
    split = changes.pop("evaluation", None) or small_split()
    generator = torch.Generator().manual_seed(3)
    cloud = PointCloud(
        torch.randn(7, 3, generator=generator),
        torch.rand(7, 3, generator=generator),
        torch.randn(7, 9, 3, generator=generator),
        radius=0.1,
    )
    history = [
        {
            "epoch": i,
            "step": 5 * i,
            "seconds": 2.0 * i + 1,
            "train_psnr": 18 + i / 5,
            "validation_psnr": 17 + i / 5 if i % 2 else None,
            "points": 7 * (1 + i // 5),
            "stage": "base" if i < 5 else "refine $1",
        }
        for i in range(10)
    ]
    record = {
        "folder": folder,
        "scene_name": "disc",
        "options": {"method": "points", "recipe": "paper", "data_r": 0.08, "ft_path": None},
        "model": FakeModel(split),
        "evaluation": split,
        "protocol": "paper",
        "background": "black",
        "train_cameras": split.cameras,
        "bounds": torch.tensor([[-1.0] * 3, [1.0] * 3]),
        "model_bytes": 7_675_576,
        "device": "cpu",
        "threads": 2,
        "seed": 11,
        "training_seconds": 148.588,
        "setup_seconds": 4.25,
        "compile_seconds": 1.5,
        "evaluation_seconds": 12.0,
        "history": history,
        "size_label": ("points", "points"),
        "figures": {"points": 7},
        "artifacts": [CloudArtifact(cloud)],
        "stages": "base 5 epochs, refine 5",
    }
    return RunRecord(**(record | changes))
