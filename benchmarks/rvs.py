"""Where reparameterized volume sampling wins: quality against calls of the radiance and against time, on small pictures.

    python -m benchmarks.rvs --scene nerf_synthetic/lego_100 --scene demo [--out docs/rvs] [--seeds 3]

Methods, each with the same field at every number of calls:
  estimate    voxels and a radiance network that is called K times a ray (Monte-Carlo RVS), trained and shown with K calls
  marching    the same field, radiance at every sample that is not hidden, with 128 to 1,024 steps along the box's diagonal;
              `estimate fine` takes the 1,024 steps too, and 8 calls
  hierarchy   the original's networks, small: density and radiance networks, 32 + 64 samples: classic, with its loss for the
              coarse network and all 96 samples in the fine one; reparameterized, with the 64 alone and (union) with all of
              them; and, with the first seed, as published

Seeds after the first run a part of the settings. A run that is finished is read from OUT/<name>.json and not run again; the same
command in another process takes what is left. All of them are drawn and printed at the end. PSNR is that of 8,192 random rays of
the test views on white, seconds are those of training alone.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

import datasets
from benchmarks.rvs_figures import draw, table
from methods.command_line import parse
from methods.fields.options import FieldOptions
from methods.fields.ray_batches import RayBatches
from methods.fields.task import FieldTask
from system.files import write_json
from system.progress import progress
from taichi_kernels import runtime

CALLS = (1, 2, 4, 8, 16, 32, 64)
STEPS = (128, 256, 512, 1024)  # of marching, along the diagonal
_EACH = (2, 8, 128, 1024, "classic", "rvs", "rvs, union")  # of these, what is run with every seed and not the first alone
_SHOWN_RAYS, _POINTS = 8192, 10  # of the test views; points of a curve over time
_NETWORK = [
    "--field",
    "mlp",
    "--use_viewdirs",
    "--N_rand",
    "512",
    "--N_samples",
    "32",
    "--N_importance",
    "64",
    "--multires",
    "8",
    "--netdepth",
    "6",
    "--netwidth",
    "64",
    "--netdepth_fine",
    "6",
    "--netwidth_fine",
    "64",
    "--lrate",
    "1e-3",
    "--lrate_decay",
    "3",
]
HIERARCHIES = {
    "classic": [],
    "rvs": ["--rvs", "--samples_union", "False"],
    "rvs, union": ["--rvs"],
    "rvs as published": ["--rvs", "--fine_density", "own"],
}


def tasks(seed: int, grid_steps: int, network_steps: int) -> Iterator[dict]:
    """All runs of a scene with a seed: method, flags, and for marching the number of steps along the diagonal."""
    common = ["--seed", str(seed), "--N_iters", str(grid_steps), "--field", "voxels"]
    wanted = lambda setting: not seed or setting in _EACH  # noqa: E731
    for calls in filter(wanted, CALLS):
        yield {"method": "estimate", "calls": calls, "seed": seed, "flags": [*common, "--radiance_calls", str(calls)]}
    for divisions in filter(wanted, STEPS):
        yield {"method": "marching", "divisions": divisions, "seed": seed, "flags": [*common, "--radiance_calls", "0"]}
    yield {
        "method": "estimate fine",
        "divisions": STEPS[-1],
        "calls": 8,
        "seed": seed,
        "flags": [*common, "--radiance_calls", "8"],
    }
    for kind in filter(wanted, HIERARCHIES):
        flags = [*_NETWORK, *HIERARCHIES[kind], "--seed", str(seed), "--N_iters", str(network_steps)]
        yield {"method": f"hierarchy: {kind}", "calls": 64, "seed": seed, "flags": flags}


def load(scene: str, options):
    """The scene; `demo` is made beside its data at 100 px."""
    where = ["--dataname", "demo", "--img_s", "100"] if scene == "demo" else ["--datadir", scene]
    return datasets.load(field_options([*where, "--testskip", options.testskip]))


def field_options(words: list[str]) -> FieldOptions:
    """The options of these flags, complete."""
    options = parse(["--method", "nerf", *words])
    assert isinstance(options, FieldOptions)
    return options.complete()


class _Trial:
    """A model in training, and what it shows of the test rays."""

    def __init__(self, scene, task: dict):
        self.options = options = field_options(["--datadir", "unused", *task["flags"]])
        self.task = FieldTask(scene, scene.test, options)
        self.task.start()
        self.step = self.task.step
        self.model: Any = self.task.model
        if "divisions" in task:
            box = self.model.occupancy.box
            self.model.occupancy.step = float((box[1] - box[0]).norm()) / task["divisions"]
        tests = RayBatches(scene.test, "white", runtime.torch_device())
        self.shown = tests.draw(_SHOWN_RAYS, torch.Generator().manual_seed(0))

    @torch.no_grad()
    def psnr(self) -> float:
        rays = self.model.to_model_space(self.shown.rays)
        parts = [self.model.render_rays(rays[i : i + 1024]) for i in range(0, _SHOWN_RAYS, 1024)]
        colour, clear = torch.cat([part.colour for part in parts]), torch.cat([part.transmittance for part in parts])
        seen = (colour + clear[:, None] * self.shown.background).clamp(0, 1)
        return float(-10 * ((seen - self.shown.colours) ** 2).mean().log10())

    def psnr_by_calls(self) -> dict[int, float]:
        """What the trained model shows with other numbers of calls."""
        model, found = self.model, {}
        for calls in CALLS:
            if hasattr(model, "occupancy"):
                kept, model.radiance_samples = model.radiance_samples, calls
                found[calls], model.radiance_samples = self.psnr(), kept
            elif calls > 2:
                kept, model.sampling = model.sampling, replace(model.sampling, importance=calls)
                found[calls], model.sampling = self.psnr(), kept
        return found

    @torch.no_grad()
    def calls_a_ray(self) -> dict[str, float]:
        """Samples of a ray that meets any: in occupied cells, and not hidden."""
        if not hasattr(self.model, "occupancy"):
            return {}
        rays = self.model.to_model_space(self.shown.rays)
        whole, seen = self.model.sample(rays), self.model.visible_samples(rays)[0]
        hit = max(int((whole.offsets.diff() > 0).sum()), 1)
        return {"occupied": len(whole.rays) / hit, "seen": len(seen.rays) / hit}


def run(scene, task: dict, label: str) -> dict:
    """Train; returns the task with `curve`, [(step, seconds, PSNR)], and what the model shows in the end."""
    trial, curve, spent = _Trial(scene, task), [], 0.0
    count = trial.options.N_iters
    trial.psnr()  # compiles, as do the gradients of a step
    _Trial(scene, task).step()
    for number in progress(range(count), desc=label, leave=False):
        began = time.perf_counter()
        trial.step()
        spent += time.perf_counter() - began
        if (number + 1) * _POINTS // count != number * _POINTS // count:
            curve.append((number + 1, spent, trial.psnr()))
    return task | {
        "curve": curve,
        "psnr": curve[-1][2],
        "seconds": spent,
        "step_ms": 1e3 * spent / count,
        "psnr_by_calls": trial.psnr_by_calls(),
        "samples": trial.calls_a_ray(),
    }


def _file_name(scene: str, task: dict) -> str:
    parts = [scene, task["method"], task.get("divisions", ""), task.get("calls", ""), task["seed"]]
    return "_".join(str(part) for part in parts if part != "").replace(": ", "_").replace(",", "").replace(" ", "_") + ".json"


@contextmanager
def _claimed(file: Path) -> Iterator[bool]:
    """Whether this process is to make the file: it is not there, and no other process is at it."""
    claim = file.with_suffix(".claim")
    if claim.is_file() and not Path("/proc", claim.read_text(encoding="utf-8").strip() or "none").exists():
        claim.unlink(missing_ok=True)  # of a process that was killed
    try:
        if file.is_file():
            raise FileExistsError
        with claim.open("x", encoding="utf-8") as stream:
            stream.write(str(os.getpid()))
    except FileExistsError:
        yield False
        return
    try:
        yield True
    finally:
        claim.unlink(missing_ok=True)


def main() -> None:
    """Run what is not there yet, draw and print everything."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scene", action="append", required=True, help="a scene's folder, or demo; may be given again")
    parser.add_argument("--out", type=Path, default=Path("docs/rvs"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--grid_steps", type=int, default=1500)
    parser.add_argument("--network_steps", type=int, default=1500)
    parser.add_argument("--testskip", default="4")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    runtime.keep_freed_memory()
    torch.set_flush_denormal(True)
    runtime.init("cpu", options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    scenes = {Path(folder).name: load(folder, options) for folder in options.scene}
    todo = [
        (name, task)
        for seed in range(options.seeds)
        for name in scenes
        for task in tasks(seed, options.grid_steps, options.network_steps)
    ]
    files = [options.out / _file_name(name, task) for name, task in todo]
    for (name, task), file in zip(todo, files, strict=True):
        with _claimed(file) as ours:
            if ours:
                write_json(file, {"scene": name} | run(scenes[name], task, file.stem))
    results = [json.loads(file.read_text(encoding="utf-8")) for file in files if file.is_file()]
    for line in table(results, statistics.median):
        print(line)
    draw(results, options.out)


if __name__ == "__main__":
    main()
