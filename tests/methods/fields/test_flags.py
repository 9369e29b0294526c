"""Each flag of a field does what it promises, checked in the task that it makes."""

from dataclasses import replace

import pytest
import torch

from methods.fields import grid_steps
from methods.fields.mip_steps import rate_at
from methods.fields.network_start import network_flags, sampling
from methods.fields.options import FieldOptions
from methods.fields.task import FieldTask
from settings.errors import InputError
from taichi_kernels.distortion import distortion
from tests.methods.fields.small_fields import MIP, NETWORK, RVS
from tests.scenes import sphere_scene, wall_scene

pytestmark = pytest.mark.usefixtures("small_steps")

SCENE = sphere_scene("white")


def task(**flags) -> FieldTask:
    options = FieldOptions(**{"basedir": "unused", "mixed_precision": False, "N_iters": 20} | flags).complete()
    made = FieldTask(SCENE, SCENE.test, options)
    made.start()
    return made


def pixels(step: int, **flags) -> tuple[torch.Tensor, torch.Tensor]:
    """Views (R,) and pixel coordinates (R, 2) of a step's rays."""
    made = task(**flags)
    rays = made.batches.draw_for(step, 400, made.options, made.generator).rays
    centers = SCENE.train.cameras.centers
    views = torch.cdist(rays.origins.cpu(), centers).argmin(1)
    points = (rays.origins + rays.directions).cpu()
    return views, torch.stack([SCENE.train.cameras.project(points[k : k + 1], int(v))[0][0] for k, v in enumerate(views)])


def test_rays_of_a_step_are_of_all_views_or_of_one():
    assert len(pixels(0)[0].unique()) > 10
    views = [pixels(0, no_batching=True, seed=seed)[0].unique() for seed in range(4)]
    assert all(len(found) == 1 for found in views) and len(torch.cat(views).unique()) > 1


def test_the_first_steps_use_the_middle_of_the_pictures():
    width, height = SCENE.train.cameras.size(0)
    flags = {"precrop_iters": 5, "precrop_frac": 0.25}
    for step, inside in ((4, True), (5, False)):
        found = pixels(step, **flags)[1]
        off = (found - torch.tensor([width, height]) / 2).abs() / torch.tensor([width, height])
        assert bool((off <= 0.125 + 1 / height).all()) is inside


def test_a_random_background_differs_from_ray_to_ray_and_else_is_the_scenes():
    for flag, colours in ((True, 200), (False, 1)):
        made = task(random_bkgd=flag)
        background = made.batches.draw_for(0, 200, made.options, made.generator).background
        assert len(background.unique(dim=0)) == colours
    assert (background == 1).all()  # white


@pytest.mark.parametrize(("flags", "rays"), [({"N_rand": 64}, 64), (NETWORK | {"N_rand": 96}, 96), (MIP | {"N_rand": 96}, 96)])
def test_the_number_of_rays_is_the_users(flags, rays):
    made = task(**flags)
    made.step()
    assert made.row_figures() == {"rays": rays}


def test_without_a_number_rays_follow_the_samples():
    """A step that cost a third of the aim is followed by one of twice the rays, at least 256."""
    steps = task().ray_steps
    for cost, rays in ((grid_steps.SAMPLES / 3, 2000), (grid_steps.SAMPLES, 1000), (4 * grid_steps.SAMPLES, 625), (1e9, 500)):
        steps.rays = 1000
        steps.after(cost)
        assert steps.rays == rays
    steps.rays = 300
    steps.after(1e9)
    assert steps.rays == 256


def test_learning_rates_are_the_users_and_fall_as_told():
    made = task(lrate=0.02, N_iters=100)
    rates = []
    for _ in range(100):
        made.step()
        rates.append(made.optimizer.param_groups[0]["lr"])
    assert rates[0] == 0.02 and rates[-1] == pytest.approx(0.03 * 0.02, rel=0.05)
    made = task(**NETWORK | RVS | {"lrate": 1e-3, "lrate_coarse": 1e-4, "lrate_decay": 0.01})
    for _ in range(11):
        made.step()
    assert [group["lr"] for group in made.optimizer.param_groups] == pytest.approx([1e-5, 1e-4])  # a tenth, after 10 steps


def test_the_rate_of_mip_nerf_rises_and_falls_to_a_hundredth():
    rates = [rate_at(step, 1000) for step in range(1001)]
    assert rates[0] == pytest.approx(0.01) and rates[25] == pytest.approx(0.01**0.025) and rates[1000] == pytest.approx(0.01)
    assert rates[600] / rates[500] == pytest.approx(0.01**0.1)
    made = task(**MIP | {"lrate": 2e-3, "N_iters": 4})
    for _ in range(3):
        made.step()
    assert made.optimizer.param_groups[0]["lr"] == pytest.approx(2e-3 * rate_at(2, 4))


def test_shapes_of_the_networks_are_the_users():
    mip = task(**MIP | {"netdepth": 4, "netwidth": 24, "multires": 3, "N_samples": 9}).model
    assert [layer.out_features for layer in mip.network.layers] == [24] * 4
    assert mip.network.layers[0].in_features == 6 * 3 and mip.sampling.intervals == 9
    made = task(**NETWORK | {"i_embed": -1, "use_viewdirs": False, "N_importance": 0}).model
    assert made.fine is None and made.coarse.layers[0].in_features == 3 and not made.coarse.shape.use_directions
    made = task(**NETWORK | {"netdepth": 4, "netwidth": 24, "multires": 3, "netwidth_fine": 40}).model
    assert [layer.out_features for layer in made.coarse.layers] == [24] * 4 and made.fine.layers[0].out_features == 40
    assert made.coarse.layers[0].in_features == 3 * (1 + 2 * 3)


def traced(made: FieldTask, seed: int = 0, **settings):
    rays = made.batches.draw(64, torch.Generator().manual_seed(1)).rays
    with torch.no_grad():
        return made.model.trace(made.model.to_model_space(rays), torch.Generator().manual_seed(seed), **settings)


def test_noise_on_densities_has_its_deviation():
    """Raw densities are moved by it: thickness differs from seed to seed, and without noise it does not."""
    made = task(**NETWORK | {"N_importance": 0})
    plain, again = (traced(made, seed).best.transmittance for seed in (0, 1))
    small, large = ([traced(made, seed, noise=noise).best.transmittance for seed in range(8)] for noise in (0.1, 1.0))
    spread = [torch.stack(found).std(0).mean() for found in (small, large)]
    assert torch.equal(plain, again) and 4 < spread[1] / spread[0] < 40


def test_samples_are_even_in_depth_or_in_inverse_depth(monkeypatch):
    for flag in (False, True):
        made, found = task(**NETWORK | {"N_importance": 0, "lindisp": flag}), []
        original = made.model._composite
        monkeypatch.setattr(made.model, "_composite", lambda *a, o=original, f=found: (f.append(a[2]), o(*a))[1])
        traced(made)
        spaced = 1 / found[0] if flag else found[0]
        assert torch.allclose(spaced.diff(dim=1), spaced.diff(dim=1)[:, :1], rtol=1e-3, atol=1e-6)


def test_jitter_moves_the_first_sample_by_less_than_half_a_step_and_not_without_it():
    made = task()
    rays = made.batches.draw(64, torch.Generator().manual_seed(1)).rays
    lengths = rays.direction_norms
    shifts = {jitter: made.model._shift(lengths, torch.Generator().manual_seed(0), jitter) for jitter in (0.0, 0.5, 1.0)}
    assert (shifts[0.0] == 0.5).all() and shifts[1.0].std() > 0.2
    assert torch.allclose(shifts[0.5] - 0.5, (shifts[1.0] - 0.5) / 2)


def test_distortion_draws_weights_together():
    """The same steps leave thinner weights along rays with it."""
    spread = []
    for weight in (0.0, 3.0):
        made = task(distortion=weight, N_rand=512)
        for _ in range(60):
            made.step()
        rays = made.model.to_model_space(made.batches.draw(400, torch.Generator().manual_seed(1)).rays)
        with torch.no_grad():
            samples = made.model.sample(rays)
            seen = made.model.render_samples(rays, samples)
        spread.append(float(distortion(seen.weights, samples.t_starts, samples.t_ends, samples.offsets).mean()))
    assert spread[1] < 0.7 * spread[0], spread


def test_networks_multiply_in_the_precision_that_is_asked_for():
    for flags in ({}, NETWORK):
        assert task(**flags | {"mixed_precision": True}).model.in_bfloat16
        assert not task(**flags | {"mixed_precision": False}).model.in_bfloat16


@pytest.mark.parametrize(
    ("flags", "promise"),
    [
        ({}, {"reparameterized": True, "union": True, "correcting": True, "through_places": False}),
        ({"samples_union": False}, {"union": False}),
        ({"place_gradients": True}, {"through_places": True}),
        ({"fine_density": "own"}, {"correcting": False, "union": False, "through_places": True}),
        ({"N_importance": 0, "radiance_calls": 8}, {"estimated": True, "importance": 8}),
    ],
)
def test_flags_of_reparameterization_choose_the_sampler(flags, promise):
    sampling = task(**RVS | flags).model.sampling
    assert {name: getattr(sampling, name) for name in promise} == promise


def test_gradients_reach_the_coarse_network_as_the_flags_say():
    """Through the positions of the samples, through the corrected density, or both; the rest of the loss is the same."""
    gradients = {}
    for name, flags in {"density": {"place_gradients": False}, "both": {"place_gradients": True}}.items():
        made = task(**RVS | flags)
        ((loss, _, _),) = made.ray_steps.losses(0, made.batches)
        loss.backward()
        gradients[name] = torch.cat([value.grad.flatten() for value in made.model.coarse.parameters()])
    assert gradients["density"].norm() > 0 and not torch.allclose(gradients["density"], gradients["both"])
    made = task(**RVS | {"place_gradients": False})
    made.model.sampling = replace(made.model.sampling, correcting=False)
    ((loss, _, _),) = made.ray_steps.losses(0, made.batches)
    loss.backward()
    assert all(value.grad is None or not value.grad.any() for value in made.model.coarse.parameters())


@pytest.mark.parametrize("flags", [{}, {"sampler": "proposals"}, NETWORK, MIP])
def test_gradients_are_clipped_to_the_users_norm(flags):
    def norm(**more) -> float:
        made = task(**flags | more)
        made.step()
        found = [value.grad for group in made.optimizer.param_groups for value in group["params"] if value.grad is not None]
        return float(torch.cat([gradient.flatten() for gradient in found]).double().norm())

    free = norm()
    assert norm(grad_clip=-0.01) == free == norm(grad_clip=2 * free)  # the same bits
    assert norm(grad_clip=free / 3) == pytest.approx(free / 3, rel=1e-4)


@pytest.mark.parametrize("flags", [NETWORK, MIP])
def test_rays_begin_and_end_where_the_user_says(flags):
    assert (task(**flags).model.sampling.near, task(**flags).model.sampling.far) == (SCENE.near, SCENE.far)
    made = task(**flags | {"near": 0.5, "far": 7.5}).model
    assert (made.sampling.near, made.sampling.far) == (0.5, 7.5) and network_flags(made)["near"] == 0.5
    assert task(**flags | {"far": 7.5}).model.sampling.near == SCENE.near
    with pytest.raises(InputError, match="--near 100 leaves no ray"):
        task(**flags | {"near": 100.0})
    with pytest.raises(InputError, match=r"--far 2 is a depth.*give --no_ndc"):
        sampling(wall_scene(), replace(made_options(flags), far=2.0), endless=False)


def made_options(flags: dict) -> FieldOptions:
    return FieldOptions(**flags).complete()
