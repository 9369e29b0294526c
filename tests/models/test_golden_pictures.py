"""Pictures of four small models, compared with stored pictures: a change of any part of the renderers shows here.

    python -m tests.models.test_golden_pictures        stores them again, after an intended change

The models are made by formulas and seeded numbers. If a picture differs, tests/models/golden/NAME.failed.png shows stored | new |
ten times the difference.
"""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import taichi_kernels  # noqa: F401  before torch starts its threads
from datasets.cameras import Cameras
from models.grid_field import GridField, GridShape
from models.marched_field import MarchedField
from models.network_field import NetworkField, NetworkShape
from models.occupancy import OccupancyGrid
from models.points import SH_COEFFICIENTS, PointCloud
from models.sampled_field import SampledField, Sampling
from tests.scenes import look_at_origin

FOLDER = Path(__file__).with_name("golden")
WIDTH, HEIGHT = 64, 48
BOX = torch.tensor([[-1.0, -1, -1], [1, 1, 1]])


def cameras() -> Cameras:
    k = torch.tensor([[80.0, 0, WIDTH / 2], [0, 80, HEIGHT / 2], [0, 0, 1]])
    return Cameras(k[None], look_at_origin(torch.tensor([1.0, -3.2, 1.4]))[None], WIDTH, HEIGHT)


def cloud(**settings) -> PointCloud:
    """A spiral shell whose colours follow the position and, by harmonics, the direction."""
    g, count = torch.Generator().manual_seed(0), 1500
    turn = torch.arange(count) * 2.39996
    z = 1 - 2 * (torch.arange(count) + 0.5) / count
    ring = (1 - z**2).sqrt()
    positions = torch.stack([ring * turn.cos(), ring * turn.sin(), z], 1) * (0.8 + 0.2 * (3 * turn).sin()[:, None])
    return PointCloud(
        positions,
        0.5 + 0.5 * positions,
        0.1 * torch.randn(count, SH_COEFFICIENTS, 3, generator=g),
        0.05,
        opacity_logits=torch.randn(count, generator=g),
        log_radii=torch.log(0.03 + 0.05 * torch.rand(count, generator=g)),
        **settings,
    )


def grid() -> MarchedField:
    g = torch.Generator().manual_seed(0)
    field = GridField(BOX, GridShape(levels=4, coarsest=4, finest=32, log2_rows=14), g)
    with torch.no_grad():
        field.table.copy_(torch.randn(field.table.shape, generator=g))
        field.out[0] *= 4
    occupancy = OccupancyGrid(BOX, cells=32, step=0.02)
    occupancy.set_occupied(torch.ones_like(occupancy.occupied))
    return MarchedField(field, occupancy)


def networks() -> SampledField:
    g = torch.Generator().manual_seed(0)
    shape = NetworkShape(depth=6, width=32, octaves=3, direction_octaves=2, density_shift=-1.0)
    both = [NetworkField(shape, g) for _ in range(2)]
    with torch.no_grad():
        for network in both:
            network.density.weight *= 20
            network.colour.weight *= 6
    return SampledField(*both, Sampling(1.5, 5.5, samples=24, importance=24))


PICTURES = {
    "cloud": lambda: (cloud(), "black"),
    "cloud_gaussian_per_pixel": lambda: (cloud(profile="gaussian", sh_per="pixel", max_layers=8), "white"),
    "grid": lambda: (grid(), "white"),
    "networks": lambda: (networks(), "white"),
}


def picture(name: str, device) -> np.ndarray:
    model, background = PICTURES[name]()
    with torch.no_grad():
        image = model.to(device).render(cameras(), 0, background).image
    return (255 * image.cpu()).round().to(torch.uint8).numpy()


@pytest.mark.parametrize("name", PICTURES)
def test_the_picture_is_the_stored_one(device, name):
    stored, new = np.asarray(Image.open(FOLDER / f"{name}.png")), picture(name, device)
    assert stored.std() > 15  # there is something to compare
    difference = np.abs(stored.astype(int) - new)
    if difference.max() > 2 or (difference > 1).mean() > 0.001:
        strip = np.concatenate([stored, new, np.minimum(10 * difference, 255).astype(np.uint8)], 1)
        Image.fromarray(strip).save(FOLDER / f"{name}.failed.png")
        pytest.fail(f"it differs by up to {difference.max()} levels: see {FOLDER / name}.failed.png")


def test_a_small_change_is_noticed(device):
    """Radii 2 % larger are more than the tolerance."""
    stored = np.asarray(Image.open(FOLDER / "cloud.png"))
    model = cloud()
    with torch.no_grad():
        model.log_radii += 0.02
        image = model.to(device).render(cameras(), 0, "black").image
    assert np.abs(stored.astype(int) - (255 * image.cpu()).round().numpy()).max() > 2


if __name__ == "__main__":
    from taichi_kernels import runtime

    runtime.init("cpu")
    FOLDER.mkdir(exist_ok=True)
    for each in PICTURES:
        Image.fromarray(picture(each, runtime.torch_device())).save(FOLDER / f"{each}.png")
    sys.exit()
