"""A run that is stopped goes on to the same bits, and a run that cannot go on says why."""

import math
import signal
from dataclasses import replace

import pytest
import torch

from methods.points.learn import choose_recipe, fit_cloud
from methods.points.run import load_run
from methods.points.task import PointTask
from settings.errors import InputError
from system import signals
from tests.methods.points.small_clouds import SMALL, run, same
from tests.scenes import sphere_scene
from tests.training.hooks import Killed, kill_before, signal_before


@pytest.mark.parametrize("recipe", ["paper", "default"])
@pytest.mark.parametrize("after", [5, 24, 51, 85])
def test_resumed_run_ends_with_the_same_bits(tmp_path, recipe, after):
    """Cut off in the middle of an epoch, in any stage, as by kill -9; then run again."""
    options = replace(SMALL, recipe=recipe)
    whole = run(tmp_path / "whole", options=options)
    with pytest.raises(Killed):
        run(tmp_path / "cut", options=options, callbacks=[kill_before(after)])
    resumed = run(tmp_path / "cut", options=options)
    assert same(whole.cloud, resumed.cloud)
    assert [h["epoch"] for h in resumed.history] == [1, 2, 3, 4, 5]
    assert [h["train_psnr"] for h in resumed.history] == [h["train_psnr"] for h in whole.history]


@pytest.mark.parametrize("recipe", ["paper", "default"])
@pytest.mark.parametrize("at", [[1], [13, 14, 75], [20, 40, 60]])
def test_cut_off_in_the_middle_of_an_epoch_ends_with_the_same_bits(tmp_path, recipe, at):
    """However often, and wherever: between two steps of an epoch of 20, at its end, at the first step of a stage."""
    options = replace(SMALL, recipe=recipe)
    whole = run(tmp_path / "whole", options=options)
    steps, stops = signal_before(at, signal.SIGUSR1), []
    for _ in range(len(at) + 1):
        try:
            with signals.handled():
                pieces = run(tmp_path / "cut", options=options, callbacks=[steps])
        except signals.StopRequested as told_by:
            stops.append(str(told_by))
    assert stops == ["SIGUSR1"] * len(at) and pieces.finished
    assert steps.count == len(whole.history) * 20  # none twice
    assert same(whole.cloud, pieces.cloud)
    assert [h["train_psnr"] for h in pieces.history] == [h["train_psnr"] for h in whole.history]
    assert pieces.seconds["training"] > 0.3 * whole.seconds["training"]  # of all pieces


def test_interrupt_keeps_the_run(tmp_path):
    whole, steps = run(tmp_path / "whole"), signal_before([30], signal.SIGINT)
    with signals.handled():
        assert run(tmp_path / "cut", callbacks=[steps]).interrupted
        signals.check()  # the report may be made
    assert steps.count == 30 and load_run(tmp_path / "cut", None).interrupted
    assert same(run(tmp_path / "cut").cloud, whole.cloud)


def test_cut_off_in_the_validation_makes_it_again(tmp_path, monkeypatch):
    whole, original, passes = run(tmp_path / "whole"), PointTask.validation_psnr, []

    def told(task):
        passes.append(1)
        if len(passes) == 3:
            signal.raise_signal(signal.SIGTERM)
        return original(task)

    monkeypatch.setattr(PointTask, "validation_psnr", told)
    with signals.handled(), pytest.raises(signals.StopRequested):
        run(tmp_path / "cut")
    resumed = run(tmp_path / "cut")
    assert same(resumed.cloud, whole.cloud)
    figures = ("train_psnr", "validation_psnr", "epoch", "step")
    assert [[h[f] for f in figures] for h in resumed.history] == [[h[f] for f in figures] for h in whole.history]
    assert len((tmp_path / "cut" / "log.txt").read_text().splitlines()) == len(whole.history)


def test_resume_needs_a_checkpoint(tmp_path):
    with pytest.raises(InputError, match="--resume"):
        run(tmp_path, options=replace(SMALL, resume=True))


def test_other_flags_do_not_continue_a_run(tmp_path):
    run(tmp_path, options=replace(SMALL, epochs=1))
    with pytest.raises(InputError, match="--lr1"):
        run(tmp_path, options=replace(SMALL, epochs=1, lr1=0.5))
    run(tmp_path, options=replace(SMALL, epochs=1, lr1=0.01, no_reload=True))


@pytest.mark.parametrize("recipe", ["paper", "default"])
def test_a_run_that_is_lengthened_goes_on(tmp_path, recipe):
    """A finished one in its last stage; one that was stopped, in the stage that it was in. A shorter run is refused."""
    options = replace(SMALL, recipe=recipe)
    ended = run(tmp_path / "ended", options=options)
    longer = run(tmp_path / "ended", options=replace(options, epochs=8))
    assert longer.finished and longer.history[:5] == ended.history and len(longer.history) == 8
    assert {row["stage"] for row in longer.history[5:]} == {ended.history[-1]["stage"]}
    assert not same(longer.cloud, ended.cloud)
    with signals.handled(), pytest.raises(signals.StopRequested):
        run(tmp_path / "cut", options=options, callbacks=[signal_before([30], signal.SIGTERM)])
    assert len(run(tmp_path / "cut", options=replace(options, epochs=10)).history) > 7
    with pytest.raises(InputError, match="--epochs 10, this one has 4"):
        run(tmp_path / "cut", options=replace(options, epochs=4))


def test_damaged_checkpoint_is_named(tmp_path):
    (tmp_path / "checkpoint.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(InputError, match=r"checkpoint\.pt"):
        run(tmp_path)


def test_parameters_that_are_not_finite_stop_the_run(tmp_path):
    """Points that are not a number vanish from the picture, so the loss alone would not show it."""
    start = run(tmp_path / "a", options=replace(SMALL, epochs=1)).cloud
    with torch.no_grad():
        start.positions[3, 1] = math.nan
    scene = sphere_scene()
    recipe, options = choose_recipe(SMALL, scene)
    with pytest.raises(InputError, match="finite"):
        fit_cloud(scene, scene.test, options, recipe, tmp_path / "b", start=start)
