"""Training of radiance fields: it learns, it goes on to the bit, and what goes wrong is told."""

import signal
from dataclasses import replace

import pytest
import torch

from methods.command_line import to_config_text
from methods.fields import grid_steps
from methods.fields import task as fields
from methods.fields.learn import fit_field
from methods.fields.options import FieldOptions
from methods.fields.ray_batches import RayBatches
from methods.fields.run import load_field, load_field_run
from methods.fields.task import FieldTask
from models.grid_field import GridShape
from models.nerf_pytorch import COARSE, FINE
from models.voxel_field import VoxelShape
from settings.errors import InputError
from system import signals
from taichi_kernels import runtime
from tests.reference import nerf_pytorch
from tests.scenes import sphere_scene, wall_scene, with_sizes
from tests.training.hooks import BeforeStep, Killed, kill_before, signal_before
from training import loop
from training.callbacks import Snapshots
from training.checkpoint import load_checkpoint, save_weights

OPTIONS = FieldOptions(basedir="unused", N_iters=20, i_weights="5", mixed_precision=False)


@pytest.fixture(autouse=True)
def small_steps(monkeypatch):
    monkeypatch.setattr(grid_steps, "SAMPLES", 1 << 12)
    monkeypatch.setattr(grid_steps, "_PRUNE_FROM", 8)
    monkeypatch.setattr(grid_steps, "_EVERY", 4)
    monkeypatch.setattr(fields, "_VALIDATION_RAYS", 2000)
    small = {"levels": 5, "coarsest": 8, "finest": 128, "log2_rows": 13}
    voxels = VoxelShape(**small, density_coarsest=8, density_log2_rows=15)
    shapes = {"grid": lambda finest: GridShape(**small), "voxels": lambda finest: voxels}
    monkeypatch.setattr("methods.fields.grid_start._SHAPES", shapes)
    monkeypatch.setattr("methods.fields.grid_start.CELLS", 32)
    monkeypatch.setattr("methods.fields.grid_start._NDC_STEPS", 128)


def run(folder, scene=None, callbacks=(), **changes):
    scene = scene or sphere_scene("white")
    return fit_field(scene, scene.test, replace(OPTIONS, **changes).complete(), folder, callbacks=callbacks)


def shown(folder, **changes):
    return load_field_run(sphere_scene(), replace(OPTIONS, **changes).complete(), folder)


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


@pytest.mark.parametrize("background", ["white", "black"])
def test_learns_a_sphere(tmp_path, background):
    """In 250 steps, to 32 and 31 dB; with a frozen table or frozen layers it stays below 18."""
    trained = run(tmp_path, sphere_scene(background), N_iters=250)
    figures = [h["validation_psnr"] for h in trained.history]
    assert figures[-1] > 30 and trained.finished, figures
    seen = trained.model.render(sphere_scene().test.cameras, 0)
    truth = torch.from_numpy(sphere_scene().test.alpha[0]).float() / 255
    assert (seen.alpha.cpu() - truth).abs().mean() < 0.02


def test_learns_from_pictures_of_several_sizes(tmp_path):
    scene = sphere_scene("white")
    mixed = replace(scene, train=with_sizes(scene.train), test=with_sizes(scene.test))
    assert run(tmp_path, mixed, N_iters=250).history[-1]["validation_psnr"] > 30


def test_learns_without_an_alpha_channel(tmp_path):
    """To 29 dB; with a frozen table or frozen layers it stays below 18."""
    scene = sphere_scene("white")
    flat = [
        (255 * torch.stack([s.picture(v, "white") for v in range(len(s))])).round().byte().numpy()
        for s in (scene.train, scene.test)
    ]
    train, test = (replace(s, images=i, alpha=None) for s, i in zip((scene.train, scene.test), flat, strict=True))
    trained = run(tmp_path, replace(scene, train=train, test=test), N_iters=250)
    assert trained.history[-1]["validation_psnr"] > 25, trained.history[-1]


@pytest.mark.parametrize(("after", "mixed"), [(3, False), (12, False), (19, False), (12, True)])
def test_resumed_run_ends_with_the_same_bits(tmp_path, monkeypatch, after, mixed):
    """Cut off between checkpoints, as by kill -9; then run again, on a machine that is another in what it does fast."""
    monkeypatch.setattr(runtime, "has_bfloat16", lambda: mixed)
    monkeypatch.setattr("tests.training.test_fields.OPTIONS", replace(OPTIONS, mixed_precision=None))
    whole = run(tmp_path / "whole")
    assert whole.model.in_bfloat16 is mixed
    with pytest.raises(Killed):
        run(tmp_path / "cut", callbacks=[kill_before(after + 1)])
    if after > 5:  # there is a checkpoint
        monkeypatch.setattr(runtime, "has_bfloat16", lambda: not mixed)
    resumed = run(tmp_path / "cut")
    assert same(whole.model, resumed.model) and resumed.step == 20
    assert [h["train_psnr"] for h in resumed.history] == [h["train_psnr"] for h in whole.history]


def test_a_run_that_is_lengthened_goes_on(tmp_path):
    ended = run(tmp_path)
    longer = run(tmp_path, N_iters=30)
    assert longer.finished and longer.step == 30 and not same(longer.model, ended.model)
    assert longer.history[:20] == ended.history and longer.history[-1]["step"] == 30
    with pytest.raises(InputError, match="--N_iters 30, this one has 20"):
        run(tmp_path)


def test_seeds(tmp_path):
    first, again, other = run(tmp_path / "a"), run(tmp_path / "b"), run(tmp_path / "c", seed=1)
    assert same(first.model, again.model) and not same(first.model, other.model)


def test_interrupted_runs_keep_their_checkpoint(tmp_path):
    steps = signal_before([8], signal.SIGINT)
    with signals.handled():
        assert run(tmp_path, callbacks=[steps]).interrupted
    assert steps.count == 8 and torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 8
    kept = shown(tmp_path)
    assert kept.interrupted and kept.options["N_iters"] == 20


def test_weights_hold_what_is_shown(tmp_path):
    trained = run(tmp_path)
    size = save_weights(tmp_path, trained.weights())
    assert size == (tmp_path / "weights.pt").stat().st_size < (tmp_path / "checkpoint.pt").stat().st_size
    (tmp_path / "checkpoint.pt").unlink()
    model = shown(tmp_path).model
    cameras = sphere_scene().test.cameras
    assert torch.equal(model.render(cameras, 0).image, trained.model.render(cameras, 0).image)


def test_mistakes_are_told(tmp_path):
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


@pytest.mark.parametrize(
    "flags",
    [
        {"field": "voxels"},
        {"field": "voxels", "radiance_calls": 4, "two_estimates": True},
        {"radiance_calls": 8},
        {"field": "voxels", "radiance_calls": 0},
    ],
)
def test_learns_a_sphere_from_a_few_calls_of_the_radiance(tmp_path, flags):
    trained = run(tmp_path, sphere_scene("white"), N_iters=250, **flags)
    assert trained.history[-1]["validation_psnr"] > 25, trained.history[-1]
    cameras = sphere_scene().test.cameras
    image = trained.model.render(cameras, 0).image
    save_weights(tmp_path, trained.weights())
    (tmp_path / "checkpoint.pt").unlink()
    again = shown(tmp_path).model  # without a word about the field or its calls
    assert again.kind == flags.get("field", "grid") and again.radiance_samples == trained.model.radiance_samples
    assert torch.allclose(again.render(cameras, 0).image, image, atol=1e-6)


def test_what_an_earlier_version_left_open_is_filled_in(tmp_path):
    """A run whose options knew nothing of calls goes on; one whose optimizer was another is told so."""
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
def test_cut_off_after_a_step_makes_what_it_left_undone(tmp_path, monkeypatch, where):
    """The validation of an epoch, and what is saved after each step: both once for each in the end, and the same bits."""
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
    """Every step takes 25 seconds of a made clock: a minute has gone by with every third."""
    clock, saved, save = [0.0], [], loop.save_checkpoint

    def slow(number, task):
        clock[0] += 25

    monkeypatch.setattr(loop.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(
        loop, "save_checkpoint", lambda folder, state, options: (saved.append(state["step"]), save(folder, state, options))
    )
    run(tmp_path, i_weights="1m", callbacks=[BeforeStep(slow)])
    assert saved == [3, 6, 9, 12, 15, 18, 20]


RVS = NETWORK | {"rvs": True}


@pytest.mark.parametrize(
    "flags",
    [{}, {"samples_union": False}, {"place_gradients": True}, {"fine_density": "own"}, {"N_importance": 0, "radiance_calls": 8}],
)
def test_reparameterized_networks_learn_a_sphere(tmp_path, flags):
    """The coarse network has no loss of its own."""
    trained = run(tmp_path, N_iters=150, **(RVS | flags))
    assert trained.history[-1]["validation_psnr"] > 20, trained.history
    if flags.get("fine_density") != "own":  # which learns where the sphere is in many more steps
        rays = trained.model.to_model_space(RayBatches(sphere_scene().test, "white", "cpu").draw(300, torch.Generator()).rays)
        places = torch.linspace(2, 6, 40).expand(300, -1)
        density, _ = trained.model._at(trained.model.coarse, rays, places, None, 0.0)
        inside = (rays.origins[:, None] + places[..., None] * rays.directions[:, None]).norm(dim=-1) < 0.7
        assert density[inside].mean() > 10 * density[~inside].mean()
    save_weights(tmp_path, trained.weights())
    (tmp_path / "checkpoint.pt").unlink()
    cameras = sphere_scene().test.cameras
    again = shown(tmp_path, **RVS).model
    assert torch.equal(again.render(cameras, 0).image, trained.model.render(cameras, 0).image)


def test_networks_learn_a_sphere(tmp_path):
    """In 150 steps, to 22 dB; a constant colour reaches 13."""
    trained = run(tmp_path, N_iters=150, **NETWORK)
    assert trained.history[-1]["validation_psnr"] > 20 and trained.finished, trained.history
    assert trained.history[-1]["rays"] == 128
    saved = save_weights(tmp_path, trained.weights())
    (tmp_path / "checkpoint.pt").unlink()
    again, cameras = shown(tmp_path, **NETWORK).model, sphere_scene().test.cameras
    assert saved < 100_000 and torch.equal(again.render(cameras, 0).image, trained.model.render(cameras, 0).image)


@pytest.mark.parametrize(("seed", "random_bkgd"), [(0, False), (1, False), (0, True)])
def test_networks_are_never_stuck_on_white(tmp_path, seed, random_bkgd):
    """A small thing on white, which ends with an alpha of 0.7 to 0.9; of a network that starts as a fog of 0.7, 0.002 is left."""
    scene = sphere_scene("white", radius=0.35)
    trained = run(tmp_path, scene, N_iters=120, seed=seed, random_bkgd=random_bkgd, **NETWORK)
    view = trained.model.render(scene.test.cameras, 0, "white")
    inside = torch.from_numpy(scene.test.alpha[0]) > 250
    assert view.alpha.cpu()[inside].mean() > 0.5, trained.history[-1]


@pytest.mark.parametrize(
    "settings", [{"field": "voxels"}, NETWORK | {"raw_noise_std": 0.5, "precrop_iters": 8, "no_batching": True}]
)
def test_other_fields_that_are_resumed_end_with_the_same_bits(tmp_path, settings):
    whole = run(tmp_path / "whole", **settings)
    with pytest.raises(Killed):
        run(tmp_path / "cut", callbacks=[kill_before(14)], **settings)
    assert same(whole.model, run(tmp_path / "cut", **settings).model)


def test_precision_by_itself(tmp_path, monkeypatch):
    """Grids are in bfloat16 where that is fast, the original's networks where the user says so."""
    monkeypatch.setattr("tests.training.test_fields.OPTIONS", replace(OPTIONS, mixed_precision=None, N_iters=2))
    for fast in (True, False):
        monkeypatch.setattr(runtime, "has_bfloat16", lambda fast=fast: fast)
        folder = tmp_path / str(fast)
        assert run(folder / "grid").model.in_bfloat16 is fast and shown(folder / "grid").model.in_bfloat16 is fast
        assert not run(folder / "mlp", **NETWORK).model.in_bfloat16
        # what the file holds decides, not the --field that was not given
        assert not shown(folder / "mlp").model.in_bfloat16 and shown(folder / "mlp", mixed_precision=True).model.in_bfloat16
    assert "mixed_precision" not in to_config_text(OPTIONS.complete())  # a config file goes from machine to machine


def test_distortion_by_itself(tmp_path):
    """In normalised device coordinates it has a weight where the user gives none, in the world it has not."""
    table = lambda scene, name, **more: run(tmp_path / name, scene, N_iters=4, **more).model.field.table  # noqa: E731
    wall, sphere = wall_scene(), sphere_scene("white")
    assert torch.equal(table(wall, "a"), table(wall, "b", distortion=0.01))
    assert not torch.equal(table(wall, "c", distortion=0.0), table(wall, "d"))
    assert torch.equal(table(sphere, "e"), table(sphere, "f", distortion=0.0))


def test_training_goes_on_from_a_checkpoint_of_nerf_pytorch(tmp_path):
    g = torch.Generator().manual_seed(0)
    states = [nerf_pytorch.random_state(g, depth=3, width=32, octaves=4, direction_octaves=2) for _ in range(2)]
    torch.save({"global_step": 5, COARSE: states[0], FINE: states[1], "optimizer_state_dict": {}}, tmp_path / "000005.tar")
    flags = NETWORK | {"ft_path": str(tmp_path / "000005.tar")}
    image = shown(tmp_path, **flags).model.render(sphere_scene().test.cameras, 0).image
    trained = run(tmp_path / "run", **flags)
    assert trained.model.through_corners and not torch.allclose(trained.model.render(sphere_scene().test.cameras, 0).image, image)
    with pytest.raises(InputError, match="without --rvs: drop that flag"):
        run(tmp_path / "rvs", **(flags | {"rvs": True}))
    with pytest.raises(InputError, match="give --field mlp"):
        run(tmp_path / "other", ft_path=flags["ft_path"])


def test_forward_facing_scenes_are_learned_in_their_own_coordinates(tmp_path):
    """A wall at z = -3, seen by cameras that look along -z."""
    scene = wall_scene()
    trained = run(tmp_path, scene, N_iters=150)
    assert trained.model.ndc is not None and trained.history[-1]["validation_psnr"] > 25, trained.history[-1]
    view = trained.model.render(scene.test.cameras, 0)
    assert (view.depth - 3)[view.alpha > 0.9].abs().median() < 0.3 and view.alpha.mean() > 0.8
