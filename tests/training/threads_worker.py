"""Short trainings with some number of threads, as a program: python -m tests.training.threads_worker OUT THREADS.

Writes to OUT, for each training, the model after a few steps and the training PSNR of every epoch.
"""

import sys
import tempfile
from pathlib import Path

import torch

import taichi_kernels  # noqa: F401  before torch
from methods.fields import grid_start, grid_steps
from methods.fields.learn import fit_field
from methods.fields.options import FieldOptions
from methods.points.learn import choose_recipe, fit_cloud
from methods.points.options import PointOptions
from models.grid_field import GridShape
from models.reflective_field import ReflectiveShape
from models.voxel_field import VoxelShape
from taichi_kernels import runtime
from tests.scenes import sphere_scene

SMALL = {"levels": 3, "coarsest": 8, "finest": 64, "log2_rows": 12}
NETWORK = {
    "field": "mlp",
    "N_rand": 601,
    "N_samples": 16,
    "N_importance": 17,
    "use_viewdirs": True,
    "multires": 6,
    "N_iters": 3,
    "netdepth": 6,
    "netwidth": 36,
    "netdepth_fine": 6,
    "netwidth_fine": 36,
}  # 39, 36 and 27 columns
MIP_FLAGS = ("N_rand", "N_samples", "multires", "N_iters", "netdepth", "netwidth")
TRAININGS = {
    "points": {"method": "points", "epochs": 5, "max_points": 40_000, "data_r": 0.5},
    "grid": {"N_rand": 4001, "N_iters": 14, "mixed_precision": True},
    "proposals": {"sampler": "proposals", "proposals": "32,15,7", "N_rand": 2001, "N_iters": 14, "mixed_precision": True},
    "reflective": {"ref_nerf": True, "use_srgb": True, "N_rand": 4001, "N_iters": 14, "mixed_precision": True},
    "voxels": {"field": "voxels", "N_rand": 4001, "N_iters": 14, "mixed_precision": False},
    "mlp": NETWORK | {"mixed_precision": False},
    "mlp in bfloat16": NETWORK | {"mixed_precision": True},
    "rvs": NETWORK | {"rvs": True},
    "mip": {name: value for name, value in NETWORK.items() if name in MIP_FLAGS} | {"field": "mip", "mixed_precision": False},
    "mip in bfloat16": {name: value for name, value in NETWORK.items() if name in MIP_FLAGS}
    | {"field": "mip", "mixed_precision": True, "lindisp": True, "raw_noise_std": 0.5},
}


def main(out: str, threads: str) -> None:
    runtime.init("cpu", int(threads))
    grid_start._SHAPES = {
        "grid": lambda finest: GridShape(**SMALL),
        "reflective": lambda finest: ReflectiveShape(**SMALL),
        "voxels": lambda finest: VoxelShape(**SMALL, density_coarsest=8),
    }
    grid_steps._PRUNE_FROM, grid_steps._EVERY, grid_steps._ALL_CELLS_UNTIL = 8, 2, 9  # all cells, then some more than once
    scene, found = sphere_scene("white", views=6), {}
    nothing = scene.train.subset([])
    for name, settings in TRAININGS.items():
        made = PointOptions if name == "points" else FieldOptions
        options = made(basedir="unused", **settings)
        with tempfile.TemporaryDirectory() as folder:
            if options.method == "points":
                recipe, options = choose_recipe(options, scene)
                run = fit_cloud(scene, nothing, options, recipe, Path(folder))
            else:
                run = fit_field(scene, nothing, options.complete(), Path(folder))
        found[name] = run.model.state_dict(), [epoch["train_psnr"] for epoch in run.history]
    torch.save(found, out)


if __name__ == "__main__":
    main(*sys.argv[1:])
