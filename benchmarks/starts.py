"""Does the original NeRF's network start to learn, whatever the seed? Ten of them, with this program's start and the original's.

    python -m benchmarks.starts --datadir nerf_synthetic/lego_100 [--steps 250] [--out docs/nerf_starts.png]

Each start is trained for a few steps on white and shown: a row a kind of start, a column a seed. "clear" begins nearly
transparent, with density softplus(raw + shift); "fog" is density softplus(raw - 1); "original" is relu(raw). A start is stuck
where the alpha of the object in the picture ends below a tenth.
"""

import argparse
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib
import torch

import datasets
from methods.command_line import parse
from methods.fields.options import FieldOptions
from methods.fields.ray_batches import RayBatches
from methods.fields.task import FieldTask
from models.sampled_field import SampledField
from system.progress import progress
from taichi_kernels import runtime

matplotlib.use("Agg")
FLAGS = [
    "--field",
    "mlp",
    "--N_samples",
    "64",
    "--N_importance",
    "64",
    "--use_viewdirs",
    "--N_rand",
    "128",
    "--testskip",
    "100",
    "--netwidth",
    "64",
    "--netwidth_fine",
    "64",
]
SHIFTS = {"clear": "as it is", "fog": -1.0, "original": None}


def trained(scene, options, kind: str) -> SampledField:
    """The networks of one seed after --N_iters steps on white pictures, whose alpha they do not see."""
    task = FieldTask(scene, scene.test, options)
    task.start()
    task.batches = RayBatches(scene.train, "white", "cpu")
    model: Any = task.model
    if kind != "clear":
        for field in (model.coarse, model.fine):
            field.shape = replace(field.shape, density_shift=SHIFTS[kind])
    for _ in progress(range(options.N_iters), desc=f"{kind}, seed {options.seed}", leave=False):
        task.step()
    return model


def main() -> None:
    """Print a line a start; save the picture."""
    import matplotlib.pyplot as plt

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--datadir", required=True)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=250)
    parser.add_argument("--lrate", default="0.0005")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    runtime.init("cpu", given.threads)
    words = ["--datadir", given.datadir, *FLAGS, "--N_iters", str(given.steps), "--lrate", given.lrate]
    options = parse(words)
    assert isinstance(options, FieldOptions)
    options = options.complete()
    scene = datasets.load(options)
    truth, inside = scene.test.picture(0, "white"), torch.from_numpy(scene.test.masks[0]) > 250
    figure, axes = plt.subplots(
        len(SHIFTS), given.seeds, figsize=(1.3 * given.seeds, 1.5 * len(SHIFTS)), squeeze=False, layout="constrained"
    )
    for row, kind in enumerate(SHIFTS):
        stuck = 0
        for seed in range(given.seeds):
            model = trained(scene, replace(options, seed=seed), kind)
            shown = model.render(scene.test.cameras, 0, "white")
            psnr = -10 * math.log10(float(((shown.image - truth) ** 2).mean()))
            alpha = float(shown.alpha[inside].mean())
            stuck += alpha < 0.1
            print(f"{kind:10} seed {seed}  {psnr:5.2f} dB  alpha {alpha:.3f}", flush=True)
            axes[row, seed].imshow(shown.image.numpy())
            axes[row, seed].set(xticks=[], yticks=[], title=f"{psnr:.1f} dB" if row else f"seed {seed}\n{psnr:.1f} dB")
        axes[row, 0].set_ylabel(f"{kind}\n{stuck} stuck")
        print(f"{kind}: {stuck} of {given.seeds} stuck")
    if given.out:
        figure.savefig(given.out, dpi=80)


if __name__ == "__main__":
    main()
