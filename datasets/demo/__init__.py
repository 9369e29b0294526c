"""The built-in scenes: made on first use by our sphere tracers, in NeRF-synthetic format, with exact maps.

A folder holds transforms_{train,val,test}.json, demo.json (its settings; written last, it marks a complete folder)
and for each view
  r_<i>.png         straight RGBA; RGB is 0 where alpha is 0, as Blender writes it
  r_<i>_depth.npy   (H, W) float32, world units along the camera's z axis; 0 = nothing there
  r_<i>_normal.png  8 bit, (n + 1) / 2 of the outward unit normal in world axes; 0 = nothing there
  r_<i>_roughness.npy  (H, W) float32, inverse concentration of the lobe of reflections; 0 = nothing there; the glossy scene alone
"""

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from datasets.atomic_folder import atomic_folder
from datasets.demo.glossy_tracing import trace_glossy
from datasets.demo.sphere_tracing import trace_demo
from settings.errors import InputError
from settings.options import DEMO_SCENES
from system import signals
from system.progress import progress

VERSIONS = {"demo": 1, "demo_glossy": 2}  # of the pictures: raised if the same settings give other bytes
MANIFEST = "demo.json"
FORMAT = "taichi-radiance demo scene"
FIELD_OF_VIEW = 0.6911112070083618  # radians over the shorter side, as in NeRF-synthetic
CAMERA_DISTANCE = 4.3  # world units from the point that the cameras look at
LOOK_AT = np.array([0.0, 0.0, -0.08])
LOWEST, HIGHEST = -0.25, 0.97  # sine of the cameras' elevation, train and val


@dataclass(frozen=True)
class DemoSettings:
    """The settings of the demo scene; the same settings give the same bytes."""

    width: int = 200  # pixels
    height: int = 200  # pixels
    train_views: int = 100
    val_views: int = 40  # the paper's protocol wants views 15 to 37
    test_views: int = 20  # along a closed orbit
    samples: int = 3  # rays along one side of a pixel
    seed: int = 0  # of the train and val cameras
    scene: str = "demo"  # one of DEMO_SCENES

    def __post_init__(self) -> None:
        lowest = {"width": 8, "height": 8, "train_views": 1, "samples": 1}
        if self.scene not in DEMO_SCENES:
            raise InputError(f"there is no built-in scene {self.scene!r}: choose {' or '.join(DEMO_SCENES)}")
        for field in fields(self):
            if field.name == "scene":
                continue
            value, least = getattr(self, field.name), lowest.get(field.name, 0)
            if not isinstance(value, int) or value < least:
                raise InputError(f"the demo scene's {field.name} is {value!r}: it must be at least {least}")

    @property
    def folder_name(self) -> str:
        """A name that no other settings have."""
        counts = f"{self.train_views}-{self.val_views}-{self.test_views}"
        return f"{self.scene}_{self.width}x{self.height}_{counts}_x{self.samples}_s{self.seed}"

    @property
    def camera_angle_x(self) -> float:
        """Horizontal field of view in radians, such that the scene fits the shorter side."""
        return 2.0 * math.atan(math.tan(FIELD_OF_VIEW / 2) * self.width / min(self.width, self.height))

    def manifest(self) -> dict:
        """The content of demo.json: version and settings; without the first scene's name, as in folders of earlier versions."""
        settings = asdict(self)
        if self.scene == "demo":
            settings.pop("scene")
        return {"format": FORMAT, "version": VERSIONS[self.scene], **settings}

    @property
    def endings(self) -> tuple[str, ...]:
        """The endings of a view's files."""
        return (".png", "_depth.npy", "_normal.png") + (("_roughness.npy",) if self.scene == "demo_glossy" else ())

    def views(self, split: str) -> list[str]:
        """The views of a split as transforms_*.json names them, without the extension."""
        return [f"./{split}/r_{i}" for i in range(getattr(self, f"{split}_views"))]


def poses_around(directions: np.ndarray) -> np.ndarray:
    """Camera-to-world matrices (V, 4, 4) of upright cameras that look at LOOK_AT, from the unit `directions` (V, 3)."""
    backward = directions
    right = np.cross([0.0, 0.0, 1.0], backward)
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    poses = np.tile(np.eye(4), (len(directions), 1, 1))
    poses[:, :3, :3] = np.stack([right, np.cross(backward, right), backward], axis=2)
    poses[:, :3, 3] = LOOK_AT + CAMERA_DISTANCE * backward
    return poses


def scattered_directions(count: int, seed: list[int]) -> np.ndarray:
    """Unit vectors (count, 3) from LOWEST to HIGHEST: a Fibonacci spiral, turned, jittered and shuffled."""
    random = np.random.default_rng(seed)
    steps = np.arange(count)
    z = LOWEST + (HIGHEST - LOWEST) * (steps + random.random(count)) / max(count, 1)
    azimuth = steps * math.pi * (3.0 - math.sqrt(5.0)) + random.random() * 2.0 * math.pi
    flat = np.sqrt(1.0 - z * z)
    return random.permutation(np.stack([flat * np.cos(azimuth), flat * np.sin(azimuth), z], axis=1))


def orbit_directions(count: int) -> np.ndarray:
    """Unit vectors (count, 3) once around the scene, rising and sinking between 8 and 48 degrees."""
    turn = np.arange(count) / max(count, 1) * 2.0 * math.pi
    azimuth, elevation = turn - math.radians(65.0), np.radians(28.0 + 20.0 * np.sin(2.0 * turn))
    return np.stack(
        [np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)], axis=1
    )


def demo_poses(settings: DemoSettings, split: str) -> np.ndarray:
    """Camera-to-world matrices (V, 4, 4) float64 of a split: train and val scattered, test along an orbit."""
    if split == "test":
        return poses_around(orbit_directions(settings.test_views))
    count = getattr(settings, f"{split}_views")
    return poses_around(scattered_directions(count, [settings.seed, ("train", "val").index(split)]))


def is_complete(folder: Path, settings: DemoSettings) -> bool:
    """Whether a folder holds the complete demo scene of these settings and this version."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        sizes = manifest.pop("bytes", {})  # missing in scenes that an earlier version made
        if manifest != settings.manifest():
            return False
        return all(path.is_file() and _has_size(path, sizes.get(path.relative_to(folder).as_posix()))
                   for path in _files(folder, settings))
    except (OSError, ValueError, AttributeError, RecursionError):
        return False


def _has_size(path: Path, size: int | None) -> bool:
    return size is None or path.stat().st_size == size


def ensure_demo(root: str | Path, settings: DemoSettings | None = None, quiet: bool = False) -> Path:
    """The folder of the demo scene under `root`, made now if it is missing or incomplete, with a progress bar unless `quiet`.

    Raises InputError if the folder's name is taken by something else, or it cannot be written.
    """
    settings = settings or DemoSettings()
    folder = Path(root) / settings.folder_name
    if not is_complete(folder, settings):
        make_demo(folder, settings, quiet)
    return folder


def make_demo(folder: str | Path, settings: DemoSettings, quiet: bool = False) -> None:
    """Write the demo scene to `folder`, completely or not at all. An older demo scene there is replaced.

    It is made in a hidden folder beside it and renamed at the end. Raises InputError if `folder` holds something else than a
    demo scene, or cannot be written.
    """
    folder = Path(folder)
    if folder.exists() and not _is_ours(folder):
        raise InputError(
            f"{folder} has the demo scene's name but is not one: move it away or choose another folder"
        )
    try:
        with atomic_folder(folder, lambda: is_complete(folder, settings)) as making:
            _write(making, settings, quiet)
    except OSError as error:
        raise InputError(
            f"cannot write the demo scene to {folder} ({error.strerror or error}): choose another folder"
        ) from error


def _is_ours(folder: Path) -> bool:
    """Whether a folder may be replaced: a demo scene of any settings, or empty."""
    try:
        found = json.loads((folder / MANIFEST).read_text())
        return isinstance(found, dict) and found.get("format") == FORMAT
    except (OSError, ValueError):
        return folder.is_dir() and not any(folder.iterdir())


def _files(folder: Path, settings: DemoSettings) -> Iterator[Path]:
    """Every file of a complete scene except its manifest."""
    for split in ("train", "val", "test"):
        yield folder / f"transforms_{split}.json"
        for view in settings.views(split):
            for ending in settings.endings:
                yield folder / f"{view}{ending}"


def _write(folder: Path, settings: DemoSettings, quiet: bool) -> None:
    """Render and write all views and the JSON files, the manifest last."""
    total = settings.train_views + settings.val_views + settings.test_views
    focal = settings.width / 2 / math.tan(settings.camera_angle_x / 2)
    intrinsics = torch.tensor([[focal, 0, settings.width / 2], [0, focal, settings.height / 2], [0, 0, 1]])
    with progress(total=total, unit="view", disable=quiet, desc="Compiling the demo scene's renderer") as bar:
        _traced(intrinsics, np.eye(4), replace(settings, width=8, height=8, samples=1))
        bar.reset()  # so that the time left is estimated from the views, not from the compilation
        bar.set_description("Making the demo scene")
        for split in ("train", "val", "test"):
            poses, names = demo_poses(settings, split), settings.views(split)
            (folder / split).mkdir()
            for pose, name in zip(poses, names, strict=True):
                _write_view(f"{folder}/{name}", intrinsics, pose, settings)
                signals.check()
                bar.update()
            frames = [
                {"file_path": n, "transform_matrix": p.tolist()} for n, p in zip(names, poses, strict=True)
            ]
            transforms = {"camera_angle_x": settings.camera_angle_x, "frames": frames}
            (folder / f"transforms_{split}.json").write_text(json.dumps(transforms, indent=1))
    sizes = {path.relative_to(folder).as_posix(): path.stat().st_size for path in _files(folder, settings)}
    (folder / MANIFEST).write_text(json.dumps({**settings.manifest(), "bytes": sizes}, indent=1))


def _write_view(stem: str, intrinsics: torch.Tensor, pose: np.ndarray, settings: DemoSettings) -> None:
    """Render one view and write its picture and its maps."""
    image, alpha, depth, normal, *roughness = (value[0].cpu().numpy() for value in _traced(intrinsics, pose, settings))
    rgba = np.round(np.concatenate([image, alpha[..., None]], axis=2) * 255).astype(np.uint8)
    rgba[rgba[..., 3] == 0] = 0
    Image.fromarray(rgba).save(f"{stem}.png")
    np.save(f"{stem}_depth.npy", depth)
    shown = np.round((normal + 1) * 127.5).astype(np.uint8)
    shown[depth == 0] = 0
    Image.fromarray(shown).save(f"{stem}_normal.png")
    for values in roughness:
        np.save(f"{stem}_roughness.npy", values)


def _traced(intrinsics: torch.Tensor, pose: np.ndarray, settings: DemoSettings) -> tuple[torch.Tensor, ...]:
    """Image, alpha, depth, normal, and roughness if the scene has it, of one view, each (1, H, W, ...)."""
    view = intrinsics[None], torch.from_numpy(pose[None, :3]).float(), settings.width, settings.height, settings.samples
    if settings.scene == "demo":
        return trace_demo(*view)
    seen, roughness = trace_glossy(*view)
    return *seen, roughness
