"""What the splatting op is measured against: the same loop in C, PyTorch3D's renderer, and the plain-torch twin."""

import ctypes
import importlib.util
import shutil
import subprocess
import tempfile
from pathlib import Path

import taichi as ti
import torch
from torch import Tensor

from taichi_kernels import runtime
from taichi_kernels.pytorch3d_renderer import SplatRenderer
from taichi_kernels.splatting.binning_cpu import bin_cpu

_SOURCE = Path(__file__).with_name("splat_loop.c")
_C_FLAGS = ["-O3", "-march=native", "-ffast-math", "-fopenmp", "-mprefer-vector-width=512", "-shared", "-fPIC"]


def c_loop(splats: Tensor, depths: Tensor, width: int, height: int):
    """A function that rasterizes ready-made bins by the compiled loop, and its picture; None without a C compiler that takes
    these options (x86, OpenMP) or on a GPU.

    splats (N, 7) and depths (N,) as `taichi_kernels.splatting.op.splat_packed` takes them, on the CPU.
    """
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None or runtime.is_gpu():
        return None
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "splat_loop.so"
        built = subprocess.run([compiler, *_C_FLAGS, str(_SOURCE), "-o", str(library), "-lm"], capture_output=True)
        if built.returncode:
            return None
        loop = ctypes.CDLL(str(library)).splat
    grid = (-(-width // 16), -(-height // 16))
    tile_start, entries, _, _ = bin_cpu(splats, depths, ti.f32, 1.0, (16, 16), grid, runtime.workers())
    image, transmittance = torch.empty(height, width, 3), torch.empty(height, width)
    pointers = [ctypes.c_void_p(t.data_ptr()) for t in (splats, tile_start, entries)]
    out = [ctypes.c_void_p(t.data_ptr()) for t in (image, transmittance)]

    def run():
        loop(*pointers, width, height, runtime.workers(), *out)
        return image

    run.keep = (splats, tile_start, entries, image, transmittance)  # the pointers' memory
    return run


def pytorch3d_renderers(points: int, size: int, radius: float, nearest: int = 10):
    """(theirs, ours, cloud): two renderers of one call signature and a function that makes a random sphere of points, or None."""
    if importlib.util.find_spec("pytorch3d") is None:
        return None
    from pytorch3d.renderer import (  # pyright: ignore[reportMissingImports]  # optional
        AlphaCompositor,
        PerspectiveCameras,
        PointsRasterizationSettings,
        PointsRasterizer,
        PointsRenderer,
    )
    from pytorch3d.structures import Pointclouds  # pyright: ignore[reportMissingImports]

    device = runtime.torch_device()
    cameras = PerspectiveCameras(focal_length=2.0, T=torch.tensor([[0.0, 0.0, 3.0]]), device=device)
    settings = PointsRasterizationSettings(image_size=size, radius=radius, points_per_pixel=nearest, bin_size=0)
    theirs = PointsRenderer(PointsRasterizer(cameras, settings), AlphaCompositor())
    generator = torch.Generator().manual_seed(0)
    positions = torch.nn.functional.normalize(torch.randn(points, 3, generator=generator), dim=1).to(device)
    colours = torch.rand(points, 3, generator=generator).to(device)

    def cloud(gradients: bool):
        leaves = [t.clone().requires_grad_(gradients) for t in (positions, colours)]
        return Pointclouds(leaves[:1], features=leaves[1:])

    return theirs, SplatRenderer(cameras, settings), cloud
