"""What is loaded is checked, values and wrappings of other programs; what cannot be written leaves the last good checkpoint."""

import math
import shutil
import signal
from dataclasses import replace

import pytest
import torch

from methods.fields.options import FieldOptions
from methods.fields.run import load_field_run
from methods.points.learn import choose_recipe, fit_cloud
from methods.points.options import PointOptions
from methods.points.run import PointRun, cloud_state, load_weights
from models.nerf_pytorch import COARSE, FINE
from models.points import PointCloud
from settings.errors import CannotWrite, InputError
from system import files, run_lock, signals
from tests.reference import nerf_pytorch
from tests.scenes import sphere_scene
from tests.training.hooks import BeforeStep
from training.checkpoint import save_config, save_weights

MLP = FieldOptions(field="mlp", N_samples=8, N_importance=8, use_viewdirs=True, basedir="unused")


def cloud() -> PointCloud:
    return PointCloud(torch.zeros(4, 3), torch.full((4, 3), 0.5), torch.zeros(4, 9, 3), 0.1, log_radii=torch.full((4,), -2.0))


@pytest.mark.parametrize(
    ("name", "place", "value", "sentence"),
    [
        ("base", (2, 1), math.nan, r"base\[2, 1\] is nan"),
        ("positions", (0, 2), math.inf, r"positions\[0, 2\] is inf"),
        ("sh", (3, 8, 0), -math.inf, r"sh\[3, 8, 0\] is -inf"),
        ("log_radii", (1,), 1e30, r"log_radii\[1\] is 1e\+30"),
    ],
)
def test_a_value_that_is_none_is_named(tmp_path, name, place, value, sentence):
    spoiled = cloud()
    with torch.no_grad():
        getattr(spoiled, name)[place] = value
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
def test_settings_that_are_none_are_named(tmp_path, name, value):
    state = cloud_state(cloud())
    state["settings"][name] = value
    torch.save({"format": 3, "cloud": state}, tmp_path / "weights.pt")
    with pytest.raises(InputError, match=rf"weights\.pt: {name} is "):
        load_weights(tmp_path / "weights.pt", "cpu")


def test_objects_of_other_programs_are_not_loaded(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "model.pt")
    with pytest.raises(InputError, match=r"model\.pt cannot be read: it holds other objects than tensors.*state_dict"):
        load_weights(tmp_path / "model.pt", "cpu")


@pytest.mark.parametrize(("content", "words"), [(b"", "it is empty"), (b"\x89PNG\r\n", "it is no file that torch.save wrote")])
def test_files_of_another_kind_are_told(tmp_path, content, words):
    (tmp_path / "model.pt").write_bytes(content)
    with pytest.raises(InputError, match=rf"model\.pt: {words}$"):
        load_weights(tmp_path / "model.pt", "cpu")


def test_files_of_earlier_torch_versions_are_read(tmp_path):
    """They are no archives, and have no checksums."""
    torch.save({"format": 3, "cloud": cloud_state(cloud())}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert load_weights(tmp_path / "old.pt", "cpu").point_count() == 4


def networks():
    g = torch.Generator().manual_seed(0)
    return [nerf_pytorch.random_state(g, depth=2, width=16, octaves=4, direction_octaves=2) for _ in range(2)]


def under(prefix, state):
    return {f"{prefix}{name}": value for name, value in state.items()}


WRAPPED = {
    "DataParallel": lambda a, b: {COARSE: under("module.", a), FINE: under("module.", b)},
    "compiled": lambda a, b: {COARSE: under("_orig_mod.", a), FINE: under("module._orig_mod.", b)},
    "a part of a module": lambda a, b: {COARSE: under("net.nerf.", a), FINE: under("net.nerf.", b)},
    "parameters": lambda a, b: {COARSE: {k: torch.nn.Parameter(v) for k, v in a.items()}, FINE: b},
    "other precision": lambda a, b: {COARSE: {k: v.double() for k, v in a.items()}, FINE: b},
    "one dict": lambda a, b: {"epoch": 3, "state_dict": under("model.", a) | under("model_fine.", b)},
    "names of its own": lambda a, b: {"coarse": a, "fine": under("module.", b)},
}


def picture(path, **flags):
    options = replace(MLP, ft_path=str(path), **flags).complete()
    scene = sphere_scene("white", views=3, width=16, height=12)
    return load_field_run(scene, options, path.parent).model.render(scene.test.cameras, 0).image


@pytest.mark.parametrize("wrapping", WRAPPED)
def test_wrapped_networks_of_nerf_pytorch_show_the_same_picture(tmp_path, wrapping):
    coarse, fine = networks()
    torch.save({"global_step": 5, COARSE: coarse, FINE: fine, "optimizer_state_dict": {}}, tmp_path / "plain.tar")
    torch.save(WRAPPED[wrapping](coarse, fine), tmp_path / "wrapped.tar")
    assert torch.equal(picture(tmp_path / "wrapped.tar"), picture(tmp_path / "plain.tar"))


def test_a_network_that_was_saved_alone(tmp_path):
    coarse, _ = networks()
    torch.save({COARSE: coarse, FINE: None}, tmp_path / "plain.tar")
    torch.save(under("module.", coarse), tmp_path / "alone.pt")
    assert torch.equal(picture(tmp_path / "alone.pt", N_importance=0), picture(tmp_path / "plain.tar", N_importance=0))
    with pytest.raises(InputError, match=r"alone\.pt: --N_importance 8: a fine network needs weights.*drop the flag"):
        picture(tmp_path / "alone.pt")


def test_networks_that_are_not_known_apart_are_told(tmp_path):
    coarse, fine = networks()
    torch.save({"first": coarse, "second": fine}, tmp_path / "two.pt")
    with pytest.raises(InputError, match=r"two\.pt: it holds 2 networks .*do not say which one is fine"):
        picture(tmp_path / "two.pt")


SMALL = PointOptions(recipe="paper", data_r=0.002, splatting_r=0.05, basedir="unused", epochs=4, refine_n=1)


def test_nothing_is_written_into_a_folder_that_was_removed(tmp_path):
    folder = tmp_path / "run"
    with run_lock.held(folder):
        shutil.rmtree(folder)
        for write in (lambda: save_config(folder, ""), lambda: save_weights(folder, PointRun(model=cloud()).weights())):
            with pytest.raises(CannotWrite, match="it was removed while the program ran"):
                write()
    assert not folder.exists()


def run(folder, scene, callbacks=()):
    recipe, options = choose_recipe(SMALL, scene)
    return fit_cloud(scene, scene.test, options, recipe, folder, callbacks=callbacks)


def test_a_full_disk_keeps_the_last_checkpoint_and_the_same_command_goes_on(tmp_path, monkeypatch):
    """The disk is full at the third checkpoint; later there is room again, and the log says every epoch once."""
    scene = sphere_scene(views=4, width=32, height=24)
    whole = run(tmp_path / "whole", scene)
    replace_file, checkpoints = files.os.replace, []

    def full(source, target):
        if target.name == "checkpoint.pt":
            checkpoints.append(1)
            if len(checkpoints) == 3:
                raise OSError(28, "No space left on device")
        replace_file(source, target)

    monkeypatch.setattr(files.os, "replace", full)
    with pytest.raises(CannotWrite, match=r"checkpoint\.pt \(No space left on device\): free some space"):
        run(tmp_path / "cut", scene)
    assert not list((tmp_path / "cut").glob(".*partial*"))
    assert len((tmp_path / "cut" / "log.txt").read_text().splitlines()) == 3
    again = run(tmp_path / "cut", scene)
    assert all(torch.equal(a, b) for a, b in zip(whole.cloud.parameters(), again.cloud.parameters(), strict=True))
    lines = (tmp_path / "cut" / "log.txt").read_text().splitlines()
    assert [line.split()[1] for line in lines] == ["1", "2", "3", "4"]


def test_a_cut_off_run_that_diverged_does_not_replace_its_checkpoint(tmp_path):
    """Told to stop in the middle of an epoch, after a step that spoiled a point."""
    scene = sphere_scene(views=4, width=32, height=24)

    def spoiling(number, task):
        if number == 6:  # the second of the second epoch
            with torch.no_grad():
                task.run.cloud.positions[0, 0] = math.nan
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(InputError, match="finite in epoch 2"), signals.handled():
        run(tmp_path, scene, callbacks=[BeforeStep(spoiling)])
    with signals.handled():
        assert run(tmp_path, scene).finished
