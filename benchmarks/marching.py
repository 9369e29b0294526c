"""What marching past empty cells and stopping at opaque samples saves in a trained field, and what it changes in the pictures.

    python -m benchmarks.marching --method nerf --datadir nerf_synthetic/lego --basedir runs/lego_nerf [--views 2]

Takes the flags of the run whose model it looks at. Rays are marched in steps of 1/1024 of the box's diagonal (--divisions), and
at the step that the model was trained with. Prints, of the first views of the protocol, samples a ray: in open cells, in occupied
cells, evaluated, and seen; and the PSNR between the picture and one for which every step is composited that lies in a cell where
the field was ever allowed to have anything: all of them, or those of the visual hull.
"""

import argparse
import math
import sys
from pathlib import Path
from typing import Any

import torch

import datasets
from datasets.protocols import evaluation_views
from methods.command_line import parse
from methods.fields.options import FieldOptions
from methods.fields.run import load_field_run
from models.marched_field import SEEN_TRANSMITTANCE, MarchedField
from models.rays import Rays, pack_cameras, pixel_rays, view_pixels
from settings.errors import InputError
from taichi_kernels import runtime
from training.checkpoint import CHECKPOINT

_RAYS = 1024  # that are marched whole at a time


@torch.no_grad()
def counted(model: MarchedField, rays: Rays) -> tuple[torch.Tensor, dict[str, int]]:
    """Colour and transmittance (R, 4) as the program shows them, and how many samples there are of each kind."""
    field: Any = model.field
    evaluated, encode = [], field.encode
    field.encode = lambda positions: evaluated.append(len(positions)) or encode(positions)
    parts = rays_in_parts(rays, model.chunk)
    found = map(model.render_rays, parts)
    shown = torch.cat([torch.cat([part.colour, part.transmittance[:, None]], 1) for part in found])
    del field.encode
    seen = sum(
        len(samples.rays) for part in parts for _, samples, _, _ in model.march_rounds(part, min_transmittance=SEEN_TRANSMITTANCE)
    )
    occupied = sum(len(model.sample(part).rays) for part in parts)
    return shown, {"in occupied cells": occupied, "evaluated": sum(evaluated), "seen": seen}


@torch.no_grad()
def marched_whole(model: MarchedField, rays: Rays) -> tuple[torch.Tensor, int]:
    """The same for every step through open cells, and how many samples that is."""
    occupied = model.occupancy.occupied
    model.occupancy.set_occupied(model.occupancy.open)
    colours, count = [], 0
    for part in rays_in_parts(rays, _RAYS):
        samples = model.sample(part)
        found, count = model.render_samples(part, samples, depth=False), count + len(samples.rays)
        colours.append(torch.cat([found.colour, found.transmittance[:, None]], 1))
    model.occupancy.set_occupied(occupied)
    return torch.cat(colours), count


def rays_in_parts(rays: Rays, size: int) -> list[Rays]:
    """Some rays at a time."""
    return [rays[first : first + size] for first in range(0, len(rays), size)]


def measure(model: MarchedField, cameras, background: str, views: int) -> dict[str, float]:
    """Samples a ray and decibels, over all rays of the first views."""
    total, squares, numbers = {}, 0.0, 0
    for view in range(min(views, len(cameras))):
        width, height = cameras.size(view)
        pixels = view_pixels(view, width, height, model.device)
        rays = model.to_model_space(pixel_rays(pack_cameras(cameras).to(model.device), pixels))
        shown, counts = counted(model, rays)
        whole, counts["in open cells"] = marched_whole(model, rays)
        behind = float(background == "white")
        pictures = [(part[:, :3] + behind * part[:, 3:]).clamp(0, 1) for part in (shown, whole)]
        squares += float(((pictures[0] - pictures[1]) ** 2).sum())
        numbers += len(rays)
        total = {name: total.get(name, 0) + count for name, count in counts.items()}
    return {name: count / numbers for name, count in total.items()} | {
        "PSNR, dB": -10 * math.log10(max(squares / (3 * numbers), 1e-12))
    }


def main(argv: list[str]) -> int:
    """Print a line for each step length."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--views", type=int, default=2)
    parser.add_argument("--divisions", type=float, default=1024, help="of the box's diagonal, that make a step")
    own, words = parser.parse_known_args(argv)
    try:
        options = parse(["--method", "nerf", *words, "--render_only"])
        assert isinstance(options, FieldOptions)
        options = options.complete()
        runtime.init(options.device, options.threads)
        scene = datasets.load(options)
        views, _ = evaluation_views(scene, options.protocol)
        folder = Path(options.basedir or "").expanduser()
        model: Any = load_field_run(scene, options, folder).model
        if not (folder / CHECKPOINT).is_file():
            raise InputError(f"{folder} holds no {CHECKPOINT}, which alone knows the cells that were open in training")
        if not hasattr(model, "occupancy") or own.views < 1:
            raise InputError("it takes a run of --field grid with --sampler occupancy, and at least one of its --views")
    except InputError as mistake:
        print(f"marching: {mistake}", file=sys.stderr)
        return 2
    diagonal, trained = float((model.occupancy.box[1] - model.occupancy.box[0]).norm()), model.occupancy.step
    for name, step in ((f"1/{own.divisions:g}", diagonal / own.divisions), (f"1/{diagonal / trained:.0f}", trained)):
        model.occupancy.step = step
        found = measure(model, views.cameras, scene.background, own.views)
        print(f"steps of {name}: " + ", ".join(f"{key} {value:.2f}" for key, value in found.items()), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
