"""Short trainings of small fields, for the tests of this room."""

from dataclasses import replace

import torch

from methods.fields.learn import fit_field
from methods.fields.options import FieldOptions
from methods.fields.run import load_field_run
from tests.scenes import sphere_scene

OPTIONS = FieldOptions(basedir="unused", N_iters=20, i_weights="5", mixed_precision=False)


NETWORK = {
    "field": "mlp",
    "N_samples": 12,
    "N_importance": 12,
    "netdepth": 3,
    "netwidth": 32,
    "netdepth_fine": 3,
    "netwidth_fine": 32,
    "multires": 4,
    "multires_views": 2,
    "use_viewdirs": True,
    "N_rand": 128,
    "lrate": 5e-3,
}


RVS = NETWORK | {"rvs": True}


MIP = {
    "field": "mip",
    "N_samples": 16,
    "netdepth": 3,
    "netwidth": 32,
    "multires": 5,
    "multires_views": 2,
    "N_rand": 128,
    "lrate": 2e-2,
}


def run(folder, scene=None, callbacks=(), **changes):
    scene = scene or sphere_scene("white")
    return fit_field(scene, scene.test, replace(OPTIONS, **changes).complete(), folder, callbacks=callbacks)


def shown(folder, **changes):
    return load_field_run(sphere_scene(), replace(OPTIONS, **changes).complete(), folder)


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))
