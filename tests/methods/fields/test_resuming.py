"""A run that is stopped goes on to the same bits, and a run that cannot go on says why."""

import signal

import pytest
import torch

from methods.fields.run import load_field
from methods.fields.task import FieldTask
from settings.errors import InputError
from system import signals
from taichi_kernels import runtime
from tests.methods.fields.small_fields import MIP, NETWORK, OPTIONS, run, same, shown
from tests.scenes import sphere_scene
from tests.training.hooks import BeforeStep, Killed, kill_before, signal_before
from training import loop
from training.callbacks import Snapshots
from training.checkpoint import load_checkpoint, save_weights

pytestmark = pytest.mark.usefixtures("small_steps")


@pytest.mark.parametrize(("after", "mixed"), [(3, False), (12, False), (19, False), (12, True)])
def test_resumed_run_ends_with_the_same_bits(tmp_path, monkeypatch, after, mixed):
    """Cut off between checkpoints, as by kill -9; then run again, on a machine whose fast precision is another."""
    monkeypatch.setattr(runtime, "has_bfloat16", lambda: mixed)
    whole = run(tmp_path / "whole", mixed_precision=None)
    assert whole.model.in_bfloat16 is mixed
    with pytest.raises(Killed):
        run(tmp_path / "cut", callbacks=[kill_before(after + 1)], mixed_precision=None)
    if after > 5:  # there is a checkpoint
        monkeypatch.setattr(runtime, "has_bfloat16", lambda: not mixed)
    resumed = run(tmp_path / "cut", mixed_precision=None)
    assert same(whole.model, resumed.model) and resumed.step == 20
    assert [h["train_psnr"] for h in resumed.history] == [h["train_psnr"] for h in whole.history]


def test_a_run_that_is_lengthened_goes_on(tmp_path):
    ended = run(tmp_path)
    longer = run(tmp_path, N_iters=30)
    assert longer.finished and longer.step == 30 and not same(longer.model, ended.model)
    assert longer.history[:20] == ended.history and longer.history[-1]["step"] == 30
    with pytest.raises(InputError, match="--N_iters 30, this one has 20"):
        run(tmp_path)


def test_interrupted_runs_keep_their_checkpoint(tmp_path):
    steps = signal_before([8], signal.SIGINT)
    with signals.handled():
        assert run(tmp_path, callbacks=[steps]).interrupted
    assert steps.count == 8 and torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 8
    kept = shown(tmp_path)
    assert kept.interrupted and kept.options["N_iters"] == 20


def test_weights_give_the_same_picture(tmp_path):
    trained = run(tmp_path)
    size = save_weights(tmp_path, trained.weights())
    assert size == (tmp_path / "weights.pt").stat().st_size < (tmp_path / "checkpoint.pt").stat().st_size
    (tmp_path / "checkpoint.pt").unlink()
    model = shown(tmp_path).model
    cameras = sphere_scene().test.cameras
    assert torch.equal(model.render(cameras, 0).image, trained.model.render(cameras, 0).image)


def test_mistakes_are_reported(tmp_path):
    with pytest.raises(InputError, match="--resume"):
        run(tmp_path, resume=True)
    with pytest.raises(InputError, match="holds neither"):
        shown(tmp_path)
    run(tmp_path, N_iters=5)
    with pytest.raises(InputError, match=r"--lrate 0\.03, this one has 0\.5"):
        run(tmp_path, N_iters=5, lrate=0.5)
    torch.save({"format": 3, "cloud": {}}, tmp_path / "cloud.pt")
    with pytest.raises(InputError, match="no radiance field"):
        load_field(tmp_path / "cloud.pt")


def spoil(task):
    with torch.no_grad():
        task.model.field.out[3] = float("nan")


def test_a_loss_that_is_not_finite_keeps_the_last_checkpoint(tmp_path):
    spoiling = BeforeStep(lambda number, task: spoil(task) if number == 14 else None)
    with pytest.raises(InputError, match="loss is not finite in step 14: lower --lrate; the checkpoint of step 10 is kept"):
        run(tmp_path, callbacks=[spoiling])
    assert run(tmp_path).finished


def test_a_model_that_is_not_finite_does_not_replace_a_checkpoint(tmp_path, monkeypatch):
    """The step before a checkpoint spoils it: its own loss was still good."""
    original = FieldTask.step

    def spoiling(task):
        loss = original(task)
        if task.steps == 15:
            spoil(task)
        return loss

    monkeypatch.setattr(FieldTask, "step", spoiling)
    with pytest.raises(InputError, match="the model is not finite in step 15: lower --lrate; the checkpoint of step 10 is kept"):
        run(tmp_path)
    monkeypatch.setattr(FieldTask, "step", original)
    assert run(tmp_path).finished


def test_options_of_an_earlier_version_are_completed(tmp_path):
    """A run whose options had no calls goes on; one with another optimizer is reported."""
    options = OPTIONS.complete()
    run(tmp_path / "grid", N_iters=20)
    path = tmp_path / "grid" / "checkpoint.pt"
    state = torch.load(path, weights_only=True)
    for name in ("radiance_calls", "fine_density", "place_gradients"):
        del state["options"][name]
    torch.save(state, path)
    assert load_checkpoint(tmp_path / "grid", options)["step"] == 20
    run(tmp_path / "mlp", **NETWORK)
    path = tmp_path / "mlp" / "checkpoint.pt"
    state = torch.load(path, weights_only=True)
    first, second = state["optimizer"]["param_groups"]
    state["optimizer"]["param_groups"] = [first | {"params": first["params"] + second["params"]}]
    torch.save(state, path)
    with pytest.raises(InputError, match="earlier version"):
        run(tmp_path / "mlp", **NETWORK)


@pytest.mark.parametrize("flags", [{}, {"field": "voxels"}, NETWORK])
def test_cut_off_between_steps_ends_with_the_same_bits(tmp_path, flags):
    whole, steps, cuts = run(tmp_path / "whole", **flags), signal_before([1, 7, 20], signal.SIGTERM), 0
    for _ in range(4):
        try:
            with signals.handled():
                pieces = run(tmp_path / "cut", callbacks=[steps], **flags)
        except signals.StopRequested:
            cuts += 1
    assert cuts == 3 and steps.count == 20 and pieces.finished and same(whole.model, pieces.model)


@pytest.mark.parametrize("where", ["validation", "snapshots"])
def test_cut_off_after_a_step_does_the_rest_later(tmp_path, monkeypatch, where):
    """The validation of an epoch, and the snapshot after each step: in the end each was made once, with the same bits."""
    whole, called, told, original = run(tmp_path / "whole"), [], [], FieldTask.validation_psnr

    def interrupted():
        told.append(1)
        if len(told) == 5:
            signal.raise_signal(signal.SIGTERM)
        signals.check()

    def save(model, step):
        if where == "snapshots":
            interrupted()
        called.append(step)

    if where == "validation":
        monkeypatch.setattr(FieldTask, "validation_psnr", lambda task: (interrupted(), original(task))[1])
    with signals.handled(), pytest.raises(signals.StopRequested):
        run(tmp_path / "cut", callbacks=[Snapshots(save)])
    resumed = run(tmp_path / "cut", callbacks=[Snapshots(save)])
    assert same(whole.model, resumed.model) and called == list(range(1, 21))
    figures = ("train_psnr", "validation_psnr", "epoch", "step", "rays")
    assert [[h[f] for f in figures] for h in resumed.history] == [[h[f] for f in figures] for h in whole.history]


def test_checkpoints_may_come_by_the_clock(tmp_path, monkeypatch):
    """Every step takes 25 seconds of a simulated clock: every third step, a minute has passed."""
    clock, saved, save = [0.0], [], loop.save_checkpoint

    def slow(number, task):
        clock[0] += 25

    monkeypatch.setattr(loop.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(
        loop, "save_checkpoint", lambda folder, state, options: (saved.append(state["step"]), save(folder, state, options))
    )
    run(tmp_path, i_weights="1m", callbacks=[BeforeStep(slow)])
    assert saved == [3, 6, 9, 12, 15, 18, 20]


@pytest.mark.parametrize(
    "settings", [{"field": "voxels"}, MIP, NETWORK | {"raw_noise_std": 0.5, "precrop_iters": 8, "no_batching": True}]
)
def test_other_fields_that_are_resumed_end_with_the_same_bits(tmp_path, settings):
    whole = run(tmp_path / "whole", **settings)
    with pytest.raises(Killed):
        run(tmp_path / "cut", callbacks=[kill_before(14)], **settings)
    assert same(whole.model, run(tmp_path / "cut", **settings).model)
