"""What networks have in common: large steps in parts, flags beside saved networks, runs of earlier versions."""

from dataclasses import replace

import pytest
import torch

from datasets.scales import at_scales
from methods.fields import mip_steps, network_steps
from methods.fields.network_start import network_flags
from methods.fields.options import FieldOptions
from methods.fields.task import FieldTask
from settings.errors import InputError
from tests.methods.fields.small_fields import MIP, NETWORK, OPTIONS, RVS, run, same, shown
from tests.scenes import sphere_scene
from training.checkpoint import save_weights

pytestmark = pytest.mark.usefixtures("small_steps")


def gradients(flags) -> tuple[torch.Tensor, int]:
    scene = sphere_scene("white")
    made = FieldTask(scene, scene.test, replace(OPTIONS, **flags | {"perturb": 0.0}).complete())
    made.start()
    losses = list(made.ray_steps.losses(0, made.batches))
    for loss, _, _ in losses:
        loss.backward()
    return torch.cat([value.grad.flatten() for value in made.model.parameters()]), len(losses)


@pytest.mark.parametrize("flags", [NETWORK, NETWORK | {"N_importance": 0}, RVS, RVS | {"fine_density": "own"}, MIP])
def test_a_step_in_parts_has_the_same_gradients(monkeypatch, flags):
    whole, parts = gradients(flags)
    assert parts == 1
    for module in (network_steps, mip_steps):
        monkeypatch.setattr(module, "samples_at_once", lambda device: 1000)
    found, parts = gradients(flags)
    assert parts > 1
    torch.testing.assert_close(found, whole, atol=1e-4 * float(whole.abs().max()), rtol=1e-3)


def test_a_batch_in_parts_has_each_ray_once():
    scene = sphere_scene("white")
    made = FieldTask(scene, scene.test, replace(OPTIONS, **NETWORK).complete())
    made.start()
    batch = made.batches.draw(100, torch.Generator().manual_seed(0))._replace(fraction=0.5)
    parts = batch.split(30)
    assert [len(part.rays) for part in parts] == [30, 30, 30, 10] and sum(part.fraction for part in parts) == pytest.approx(0.5)
    assert torch.equal(torch.cat([part.colours for part in parts]), batch.colours)
    assert torch.equal(torch.cat([part.rays.radii for part in parts]), batch.rays.radii)
    assert batch.split(100)[0] is batch


@pytest.mark.parametrize("field", ["grid", "voxels"])
def test_runs_of_versions_before_mip_go_on(tmp_path, field):
    """They have values for flags of the networks that this version leaves to --field."""
    ended = run(tmp_path, field=field)
    path = tmp_path / "checkpoint.pt"
    state = torch.load(path, weights_only=True)
    state["options"] |= {"N_samples": 64, "multires": 10}
    torch.save(state, path)
    assert same(run(tmp_path, field=field).model, ended.model)
    for name in ("N_samples", "multires"):
        state["options"].pop(name)
    torch.save(state, path)
    assert same(run(tmp_path, field=field).model, ended.model)


def test_another_field_is_told_first(tmp_path):
    run(tmp_path)
    with pytest.raises(InputError, match="a run with --field grid, this one has mlp"):
        run(tmp_path, **NETWORK)


@pytest.mark.parametrize(
    ("flags", "wrong"),
    [
        (NETWORK, "netdepth_fine"),
        (NETWORK, "N_samples"),
        (NETWORK, "N_importance"),
        (RVS, "netwidth"),
        (MIP, "netwidth"),
        (MIP, "multires"),
    ],
)
def test_flags_that_do_not_fit_saved_networks_are_refused(tmp_path, flags, wrong):
    trained = run(tmp_path / "run", **flags | {"N_iters": 2})
    save_weights(tmp_path, trained.weights())
    settings = flags | {"ft_path": str(tmp_path / "weights.pt")}
    options = replace(OPTIONS, **settings)
    flagged = {name: getattr(options.complete(), name) for name in network_flags(trained.model)}
    assert all(flagged[name] in (None, value) for name, value in network_flags(trained.model).items())
    fits = replace(options, given=frozenset(flags))
    scene = sphere_scene("white")
    FieldTask(scene, scene.test, fits.complete()).start()
    other = replace(fits, **{wrong: flags[wrong] + 1})
    with pytest.raises(InputError, match=f"--{wrong} {flags[wrong] + 1} does not fit .*weights.pt.*: drop the flag"):
        FieldTask(scene, scene.test, other.complete()).start()
    with pytest.raises(InputError, match=f"--{wrong}"):
        shown(tmp_path, **settings | {wrong: flags[wrong] + 1, "given": frozenset(flags)})


def test_mip_nerf_counts_pixels_by_their_area():
    """sum(area squares) / sum(area): a pixel of a picture of half the size counts four times. The PSNR counts all alike."""
    scene = sphere_scene("white")
    scene = replace(scene, train=at_scales(scene.train, (1, 2)))
    made = FieldTask(scene, scene.test, replace(OPTIONS, **MIP | {"perturb": 0.0}).complete())
    made.start()
    batch = made.batches.draw_for(0, 128, made.options, torch.Generator().manual_seed(made.options.seed))
    areas = (batch.rays.radii / batch.rays.radii.min()) ** 2
    assert 5 < (areas > 2).sum() < 120
    first, second = (batch.error(seen).square().mean(1) for seen in made.model.trace(batch.rays))
    made.generator.manual_seed(made.options.seed)
    ((loss, squared, _),) = made.ray_steps.losses(0, made.batches)
    expected = (areas * (second + 0.1 * first)).sum() / areas.sum()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5) and squared.item() == pytest.approx(second.mean().item())
    assert abs(expected - (second + 0.1 * first).mean()) > 1e-3 * expected


def test_switches_that_do_not_fit_saved_networks_are_refused(tmp_path):
    trained = run(tmp_path / "run", **RVS | {"N_iters": 2})
    save_weights(tmp_path, trained.weights())
    settings = RVS | {"ft_path": str(tmp_path / "weights.pt"), "given": frozenset(RVS)}
    assert same(shown(tmp_path, **settings).model, trained.model)
    for name, value in {"use_viewdirs": False, "i_embed": -1, "fine_density": "own", "samples_union": False}.items():
        with pytest.raises(InputError, match=f"--{name} {value} does not fit .*: drop the flag"):
            shown(tmp_path, **settings | {name: value, "given": frozenset(RVS | {name: value})})


def test_complete_options_of_every_field_have_all_values():
    for field in ("grid", "voxels", "mlp", "mip"):
        options = FieldOptions(field=field, basedir="unused").complete()
        assert None not in (options.N_samples, options.multires, options.N_rand, options.lrate, options.N_iters)
