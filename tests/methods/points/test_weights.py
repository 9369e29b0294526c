"""Saved clouds: a file is checked as it is read, and what is read is what was saved."""

import math
from dataclasses import replace

import pytest
import torch

from methods.points.learn import choose_recipe, fit_cloud
from methods.points.run import PointRun, cloud_state, load_run, load_weights
from models.points import PointCloud
from settings.errors import InputError
from tests.methods.points.small_clouds import SMALL, run, same
from tests.scenes import sphere_scene
from training.checkpoint import save_weights, weights_size


def cloud() -> PointCloud:
    return PointCloud(torch.zeros(4, 3), torch.full((4, 3), 0.5), torch.zeros(4, 9, 3), 0.1, log_radii=torch.full((4,), -2.0))


@pytest.mark.parametrize(
    ("name", "index", "value", "sentence"),
    [
        ("base", (2, 1), math.nan, r"base\[2, 1\] is nan"),
        ("positions", (0, 2), math.inf, r"positions\[0, 2\] is inf"),
        ("sh", (3, 8, 0), -math.inf, r"sh\[3, 8, 0\] is -inf"),
        ("log_radii", (1,), 1e30, r"log_radii\[1\] is 1e\+30"),
    ],
)
def test_an_invalid_value_is_named(tmp_path, name, index, value, sentence):
    spoiled = cloud()
    with torch.no_grad():
        getattr(spoiled, name)[index] = value
    save_weights(tmp_path, PointRun(model=spoiled).weights())
    with pytest.raises(InputError, match=rf"weights\.pt: {sentence}"):
        load_weights(tmp_path / "weights.pt", "cpu")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("radius", -0.1),
        ("radius", math.nan),
        ("radius", math.inf),
        ("radius", "0.1"),
        ("max_layers", 1.5),
        ("max_layers", -1),
        ("profile", "box"),
        ("sh_per", 3),
        ("use_sh", "no"),
        ("use_sh", 1),
    ],
)
def test_invalid_settings_are_named(tmp_path, name, value):
    state = cloud_state(cloud())
    state["settings"][name] = value
    torch.save({"format": 3, "cloud": state}, tmp_path / "weights.pt")
    with pytest.raises(InputError, match=rf"weights\.pt: {name} is "):
        load_weights(tmp_path / "weights.pt", "cpu")


def test_objects_of_other_programs_are_not_loaded(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "model.pt")
    with pytest.raises(InputError, match=r"model\.pt cannot be read: it holds other objects than tensors.*state_dict"):
        load_weights(tmp_path / "model.pt", "cpu")


@pytest.mark.parametrize(("content", "words"), [(b"", "it is empty"), (b"\x89PNG\r\n", "it was not written by torch.save")])
def test_files_of_another_format_are_reported(tmp_path, content, words):
    (tmp_path / "model.pt").write_bytes(content)
    with pytest.raises(InputError, match=rf"model\.pt: {words}$"):
        load_weights(tmp_path / "model.pt", "cpu")


def test_files_of_earlier_torch_versions_are_read(tmp_path):
    """They are not archives, and have no checksums."""
    torch.save({"format": 3, "cloud": cloud_state(cloud())}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert load_weights(tmp_path / "old.pt", "cpu").point_count() == 4


def test_weights_round_trip(tmp_path):
    cloud = run(tmp_path, options=replace(SMALL, epochs=1)).cloud
    weights = PointRun(model=cloud).weights()
    size = save_weights(tmp_path, weights)
    assert size == (tmp_path / "weights.pt").stat().st_size
    assert same(cloud, load_weights(tmp_path / "weights.pt", cloud.positions.device))
    assert weights_size(weights) == pytest.approx(size, abs=4096)  # the archive pads


def test_a_run_cut_off_before_its_harmonics_is_shown_without_them(tmp_path):
    """The paper's recipe starts them at random."""
    scene = sphere_scene()
    recipe, options = choose_recipe(SMALL, scene)
    first = replace(recipe, stages=recipe.stages[:1])
    fit_cloud(scene, scene.test, options, first, tmp_path)
    cloud = load_run(tmp_path, None).cloud
    assert not cloud.use_sh and not load_weights(tmp_path / "checkpoint.pt", cloud.positions.device).use_sh
