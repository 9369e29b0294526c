"""Presets: one config file for many scenes, under the name of each."""

from pathlib import Path

import pytest

from methods.command_line import parse
from methods.fields.options import FieldOptions
from settings.errors import InputError

CONFIGS = Path(__file__).parents[2] / "configs"
SYNTHETIC = ("chair", "drums", "ficus", "hotdog", "lego", "materials", "mic", "ship")
LLFF = ("fern", "flower", "fortress", "horns", "leaves", "orchids", "room", "trex")
MLP = {
    "method": "nerf",
    "protocol": "standard",
    "field": "mlp",
    "N_iters": None,
    "N_rand": 1024,
    "N_samples": 64,
    "N_importance": 64,
    "use_viewdirs": True,
    "i_weights": "10000",
}
RVS = MLP | {"rvs": True, "fine_density": "own", "lrate_coarse": 5e-5, "N_samples": 32, "i_testset": 25000}
CROPPED = {"no_batching": True, "lrate_decay": 500, "precrop_iters": 500, "precrop_frac": 0.5}
MIP = {
    "method": "nerf",
    "protocol": "standard",
    "field": "mip",
    "img_s": 0,
    "no_batching": True,
    "N_iters": 1_000_000,
    "N_rand": 4096,
    "N_samples": 128,
    "multires": 16,
    "multires_views": 4,
    "lrate": 5e-4,
    "i_weights": "10000",
}
MIP360 = {name: value for name, value in MIP.items() if name != "N_samples"} | {
    "sampler": "proposals",
    "proposals": "128,32",
    "N_iters": 250_000,
    "N_rand": 16384,
    "lrate": 2e-3,
    "grad_clip": 1e-3,
}
FILES = {  # suffix of a file's name: (the scenes, the differences from the defaults)
    "": [
        (SYNTHETIC, {"method": "nerf", "protocol": "standard", "img_s": 400}),
        (LLFF, {"method": "nerf", "protocol": "standard", "factor": 8, "llffhold": 8}),
    ],
    "_mlp": [
        (SYNTHETIC, MLP | CROPPED | {"img_s": 400, "N_importance": 128}),
        (LLFF, MLP | {"factor": 8, "llffhold": 8, "raw_noise_std": 1.0}),
    ],
    "_rvs": [
        (SYNTHETIC, RVS | CROPPED | {"img_s": 0}),
        (("fern", "flower", "horns", "trex"), RVS | {"factor": 4, "llffhold": 8}),
    ],
    "_mip": [(SYNTHETIC, MIP)],
    "_mip360": [(SYNTHETIC, MIP360)],
}
CASES = [
    (f"{scene}{suffix}.txt", scene, given) for suffix, groups in FILES.items() for scenes, given in groups for scene in scenes
]


def test_all_names_that_were_files_once_are_here():
    assert sum("_mip" not in name for name, _, _ in CASES) + len([*CONFIGS.glob("*_points.txt")]) == 52


@pytest.mark.parametrize(("name", "scene", "given"), CASES)
def test_a_scene_has_the_options_of_its_preset(name, scene, given):
    field = given.get("field")
    folder = f"./logs/{scene}_nerf{f'_{field}' if field else ''}"
    assert parse(["--config", str(CONFIGS / name)]) == FieldOptions(dataname=scene, basedir=folder, **given)


def test_a_preset_is_a_config_file_for_any_scene(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = parse(["--config", str(CONFIGS / "synthetic_mlp.txt"), "--dataname", "own"])
    assert (options.dataname, options.N_importance) == ("own", 128)
    assert parse(["--config", str(CONFIGS / "lego.txt"), "--dataname", "own"]).dataname == "own"


def test_a_file_that_exists_wins(tmp_path):
    (tmp_path / "synthetic.txt").write_text("method = nerf\nimg_s = 400")
    assert parse(["--config", str(tmp_path / "lego.txt")]).img_s == 400
    (tmp_path / "lego.txt").write_text("dataname = lego\nimg_s = 200\n")
    assert parse(["--config", str(tmp_path / "lego.txt")]).img_s == 200


@pytest.mark.parametrize("name", ["legoo.txt", "lego_grid.txt", "fern_points.txt", "lego", "lego_.txt", "synthetic_x.txt"])
def test_an_unknown_scene_or_preset_lists_the_known_ones(name):
    with pytest.raises(InputError) as problem:
        parse(["--config", str(CONFIGS / name)])
    message = str(problem.value)
    assert message.startswith(f"--config: cannot open {CONFIGS / name} (no such file, and no preset of that name; presets are ")
    assert "SCENE.txt, SCENE_mip.txt, SCENE_mip360.txt, SCENE_mlp.txt, SCENE_rvs.txt for chair," in message and message.endswith(
        "room, trex)"
    )


def test_without_presets_a_missing_file_is_only_missing(tmp_path):
    with pytest.raises(InputError, match=r"cannot open .*lego.txt \(No such file or directory\)$"):
        parse(["--config", str(tmp_path / "lego.txt")])


def test_a_mistake_in_a_preset_is_reported_with_the_presets_name(tmp_path):
    (tmp_path / "llff.txt").write_text("factr = 8\n")
    with pytest.raises(InputError, match=r"llff\.txt, line 1: --factr is not a flag"):
        parse(["--config", str(tmp_path / "fern.txt")])
