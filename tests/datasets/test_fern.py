"""The real fern: the colours of COLMAP's points agree with the pictures at their projections, if the scene is present."""

import os
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage
from scipy.spatial.transform import Rotation

from datasets.llff import read_poses_bounds
from tests.datasets.half_size import load
from tests.datasets.written_photos import colmap_binaries

DATA = Path(os.environ.get("RADIANCE_DATA", Path(__file__).parents[3] / "shared/data"))
FERN = DATA / "nerf_llff_data/fern"
needs_fern = pytest.mark.skipif(not FERN.is_dir(), reason=f"{FERN} does not exist: set RADIANCE_DATA to another folder")


def fern_points() -> tuple[np.ndarray, np.ndarray, list]:
    """Points (P, 3), colours (P, 3) and the images that see each, from the sparse model."""
    data = (FERN / "sparse/0/points3D.bin").read_bytes()
    offset, points, colours, seen = 8, [], [], []
    for _ in range(struct.unpack_from("<Q", data)[0]):
        _, x, y, z, r, g, b, _, length = struct.unpack_from("<Q3d3BdQ", data, offset)
        seen.append(set(struct.unpack_from(f"<{2 * length}i", data, offset + 51)[::2]))
        offset += 51 + 8 * length
        points.append((x, y, z))
        colours.append((r, g, b))
    return np.array(points), np.array(colours, float), seen


def colour_errors(scene, points, colours, seen, number, shifts, k1=0.0) -> dict:
    """Mean distance (0 to 255) of the points' colours from the pictures' at their projections, for shifts in px."""
    world = np.array(scene.extras["world_from_file"])
    points = torch.from_numpy(points @ world[:3, :3].T + world[:3, 3]).float()
    errors = {shift: [] for shift in shifts}
    for split in (scene.train, scene.test):
        for view, name in enumerate(split.names):
            mine = np.array([number(name) in images for images in seen])
            pixels, depth = split.cameras.project(points[mine], view)
            assert (depth > 0).all()
            k = split.cameras.intrinsics[view].numpy()
            x = (pixels.numpy() - k[:2, 2]) / k[0, 0]
            columns, rows = (x * (1 + k1 * (x**2).sum(1, keepdims=True)) * k[0, 0] + k[:2, 2]).T
            for shift in shifts:
                found = np.stack(
                    [
                        ndimage.map_coordinates(
                            split.images[view, ..., channel].astype(float),
                            [rows - 0.5 + shift[1], columns - 0.5 + shift[0]],
                            order=1,
                            mode="nearest",
                        )
                        for channel in range(3)
                    ],
                    1,
                )
                errors[shift].append(np.abs(found - colours[mine]).mean(1))
    return {shift: np.concatenate(values).mean() for shift, values in errors.items()}


SHIFTS = [(0.0, 0.0), (0.5, 0.0), (-0.5, 0.0), (0.0, 0.5), (0.0, -0.5), (9.0, 9.0)]


FERN_K1 = 0.019750463822896944  # of the model's SIMPLE_RADIAL camera; poses_bounds.npy does not hold it


def check_fern(errors: dict) -> None:
    """The colours agree best at the points' projections, to less than half a pixel, and not at all elsewhere."""
    here = errors[0.0, 0.0]
    assert all(here < 0.93 * error for shift, error in errors.items() if shift != (0, 0)), errors
    assert here < 0.45 * errors[9.0, 9.0]


@needs_fern
def test_fern():
    scene = load(FERN, factor=8)
    assert (len(scene.train), scene.test.names) == (17, ["image000", "image008", "image016"])
    assert scene.train.images.shape == (17, 378, 504, 3) and scene.forward_facing
    assert scene.train.cameras.intrinsics[0, 0, 0] == pytest.approx(3260.52633 / 8)
    assert scene.near == pytest.approx(1.2) and scene.far == pytest.approx(80.0020974 / 16.98529618 / 0.75)
    points, colours, seen = fern_points()
    check_fern(colour_errors(scene, points, colours, seen, lambda name: int(name[-3:]) + 1, SHIFTS, FERN_K1))
    world = np.array(scene.extras["world_from_file"])
    bounds = np.load(FERN / "poses_bounds.npy")[1:8, 15:] * np.cbrt(np.linalg.det(world[:3, :3]))
    moved = torch.from_numpy(points @ world[:3, :3].T + world[:3, 3]).float()
    for view in range(7):  # LLFF's bounds are percentiles 0.1 and 99.9 of the depths of what a view sees
        mine = np.array([view + 2 in images for images in seen])
        depths = scene.train.cameras.project(moved[mine], view)[1]
        np.testing.assert_allclose(np.percentile(depths, [0.1, 99.9]), bounds[view], rtol=1e-5)


@needs_fern
def test_fern_by_its_colmap_model(tmp_path):
    """The model lacks images.bin: it is made from the poses, and the distortion in cameras.bin is undone."""
    poses = read_poses_bounds(FERN / "poses_bounds.npy")[0] * [1, -1, -1, 1]
    pictures = []
    for k, pose in enumerate(poses):
        x, y, z, w = Rotation.from_matrix(pose[:, :3].T).as_quat()
        pictures.append((k + 1, [w, x, y, z, *(-pose[:, :3].T @ pose[:, 3])], f"image{k:03d}.png", [], []))
    (tmp_path / "sparse/0").mkdir(parents=True)
    colmap_binaries(tmp_path / "sparse/0", [], pictures, [], [], camera=1)
    for name in ("cameras", "points3D"):
        (tmp_path / f"sparse/0/{name}.bin").write_bytes((FERN / f"sparse/0/{name}.bin").read_bytes())
    (tmp_path / "images_8").symlink_to(FERN / "images_8")
    scene = load(tmp_path, factor=8)
    assert scene.extras["format"] == "COLMAP" and scene.train.images.shape == (17, 378, 504, 3)
    points, colours, seen = fern_points()
    check_fern(colour_errors(scene, points, colours, seen, lambda name: int(name[-3:]) + 1, SHIFTS))
    depth = scene.train.cameras.centers.norm(dim=1)
    assert depth.min() > 2 and depth.max() < 6 and 0 < scene.near < scene.far < 40
