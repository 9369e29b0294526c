"""If a file cannot be written, or must not be, the last good checkpoint is kept."""

import math
import shutil
import signal

import pytest
import torch

from methods.points.learn import choose_recipe, fit_cloud
from methods.points.options import PointOptions
from methods.points.run import PointRun
from models.points import PointCloud
from settings.errors import CannotWrite, InputError
from system import files, run_lock, signals
from tests.scenes import sphere_scene
from tests.training.hooks import BeforeStep
from training.checkpoint import save_config, save_weights


def cloud() -> PointCloud:
    return PointCloud(torch.zeros(4, 3), torch.full((4, 3), 0.5), torch.zeros(4, 9, 3), 0.1, log_radii=torch.full((4,), -2.0))


SMALL = PointOptions(recipe="paper", data_r=0.002, splatting_r=0.05, basedir="unused", epochs=4, refine_n=1)


def run(folder, scene, callbacks=()):
    recipe, options = choose_recipe(SMALL, scene)
    return fit_cloud(scene, scene.test, options, recipe, folder, callbacks=callbacks)


def test_nothing_is_written_into_a_folder_that_was_removed(tmp_path):
    folder = tmp_path / "run"
    with run_lock.held(folder):
        shutil.rmtree(folder)
        for write in (lambda: save_config(folder, ""), lambda: save_weights(folder, PointRun(model=cloud()).weights())):
            with pytest.raises(CannotWrite, match="it was removed while the program ran"):
                write()
    assert not folder.exists()


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
