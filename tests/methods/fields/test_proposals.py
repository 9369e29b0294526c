"""--sampler proposals: what it learns, its files, and what it does not go with."""

from dataclasses import replace

import pytest
import torch

from methods.fields.learn import learn
from methods.fields.options import FieldOptions
from methods.fields.proposal_start import proposed
from methods.fields.proposal_steps import learns_proposals
from methods.fields.task import FieldTask
from models.fields import field_from_state
from models.proposal_field import ProposalField, ProposalShape
from models.proposal_normals import ProposalNormals
from models.proposed_field import ProposedField
from models.rays import Rays, pack_cameras, pixel_rays, view_pixels
from settings.errors import InputError
from taichi_kernels.proposals import proposal_bound
from tests.methods.fields.small_fields import OPTIONS, run, same, shown
from tests.room import room_scene
from tests.scenes import sphere_scene, wall_scene
from tests.training.hooks import Killed, kill_before

pytestmark = pytest.mark.usefixtures("small_steps")

FLAGS = {"sampler": "proposals", "proposals": "32,16,8"}
SCENES = {"object": lambda: sphere_scene("white"), "ndc": wall_scene, "unbounded": room_scene}


def rays_of(scene, model, view=0):
    cameras = scene.test.cameras
    rays = pixel_rays(pack_cameras(cameras).to(model.device), view_pixels(view, *cameras.size(view), model.device))
    return model.to_model_space(rays)


@pytest.mark.parametrize(("name", "psnr", "outside"), [("object", 24, 0.45), ("ndc", 24, 0.01), ("unbounded", 22, 0.25)])
def test_learns_scenes_of_all_spaces_and_its_proposals_enclose_the_weights(tmp_path, name, psnr, outside):
    scene = SCENES[name]()
    trained = run(tmp_path, scene, N_iters=200, **FLAGS)
    model = trained.model
    assert isinstance(model, ProposedField) and trained.history[-1]["validation_psnr"] > psnr
    found = model.trace(rays_of(scene, model))
    weights, s = found.composite.weights, found.intervals.s
    for proposal in found.proposals:
        excess = (weights - proposal_bound(proposal.intervals.s, proposal.weights, s)).clamp_min(0)
        assert excess.sum() < outside * weights.sum(), float(excess.sum() / weights.sum())
    picture, alpha = model.render(scene.test.cameras, 0), 1 - found.composite.transmittance
    assert (picture.alpha.flatten() - alpha).abs().mean() < 0.02  # what rendering leaves out is not visible
    mean = picture.depth[picture.alpha > 0.9]
    normal = model.render(scene.test.cameras, 0, with_normal=True).normal[picture.alpha > 0.9]
    torch.testing.assert_close(normal.norm(dim=1), torch.ones_like(normal[:, 0]))
    last = ProposalNormals(model).render(scene.test.cameras, 0, with_normal=True)
    toward = (last.normal[picture.alpha > 0.9] * normal).sum(1).mean()
    assert toward > 0.2, toward  # after so few steps they are coarse; flipped ones would be below 0
    if name == "object":  # a ball, whose normals are its colours
        colour = picture.image[picture.alpha > 0.9]
        facing = (normal * torch.nn.functional.normalize((colour - 0.5) / 0.45, dim=1)).sum(1)
        assert facing.mean() > 0.5, facing.mean()
    assert mean.isfinite().all() and (mean > 0).all()


def test_resumed_run_ends_with_the_same_bits(tmp_path):
    whole = run(tmp_path / "whole", **FLAGS)
    with pytest.raises(Killed):
        run(tmp_path / "cut", callbacks=[kill_before(13)], **FLAGS)
    resumed = run(tmp_path / "cut", **FLAGS)
    assert same(whole.model, resumed.model) and resumed.step == 20


@pytest.mark.parametrize("name", SCENES)
def test_a_saved_field_gives_the_same_picture(tmp_path, name):
    scene = SCENES[name]()
    trained = run(tmp_path, scene, **FLAGS)
    again = field_from_state(trained.model.state(training=False))
    assert torch.equal(again.render(scene.test.cameras, 1).image, trained.model.render(scene.test.cameras, 1).image)
    assert "32 + 16 samples of proposals, 8 of the field" in again.describe()


def test_the_file_says_how_a_field_is_sampled(tmp_path):
    """With --render_only from a checkpoint, and with --ft_path to go on from it."""
    first = run(tmp_path / "first", **FLAGS).model
    assert same(shown(tmp_path / "first").model, first)
    path = str(tmp_path / "first" / "checkpoint.pt")
    scene = sphere_scene("white")
    task = FieldTask(scene, scene.test, replace(OPTIONS, ft_path=path, **FLAGS).complete())
    task.start()
    assert same(task.model, first)
    run(tmp_path / "cells", sampler="occupancy")
    for folder, asked, made in (
        ("first", {"sampler": "occupancy"}, "proposals"),
        ("cells", {"sampler": "proposals"}, "occupancy"),
        ("cells", {"proposals": "32,8"}, "occupancy"),
    ):
        options = replace(OPTIONS, ft_path=str(tmp_path / folder / "checkpoint.pt"), **asked)
        with pytest.raises(InputError, match=f"holds a field that --sampler {made} made"):
            FieldTask(scene, scene.test, options.complete()).start()
    with pytest.raises(ValueError, match="its samples are drawn by proposals"):
        first.radiance_samples = 8


def test_proposals_are_for_normalised_device_coordinates_unless_flags_say_otherwise():
    options = FieldOptions(datadir="unused", basedir="unused")
    for flags, ndc, expected in (
        ({}, True, True),
        ({}, False, False),
        ({"radiance_calls": 8}, True, False),
        ({"field": "voxels"}, True, False),
        ({"sampler": "occupancy"}, True, False),
        ({"sampler": "proposals"}, False, True),
        ({"proposals": "32,8"}, False, True),
    ):
        assert proposed(replace(options, **flags).complete(), ndc=ndc) is expected


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        ({"counts": (32, 16)}, "its samples do not fit its proposals"),
        ({"counts": (32, 16, 1)}, "its samples is 1"),
        ({"span": (0.0, 1.0)}, "its span is not 3 numbers"),
        ({"proposals": []}, "its proposals are not a list"),
        ({"proposals": [{"levels": 2}]}, "its samples do not fit"),
    ],
)
def test_damaged_states_are_refused(tmp_path, damage, sentence):
    state = run(tmp_path, N_iters=1, **FLAGS).model.state()
    with pytest.raises(ValueError, match=sentence):
        field_from_state(state | {"settings": state["settings"] | damage})


def test_flags_that_do_not_go_with_it():
    options = FieldOptions(datadir="unused", basedir="unused", sampler="proposals")
    options.check()
    for changes, sentence in (
        ({"field": "voxels"}, "--sampler proposals is for --field grid and mip: drop it"),
        ({"field": "mlp"}, "--sampler proposals is for --field grid and mip: drop it"),
        ({"sampler": "occupancy", "proposals": "32,8"}, "--proposals is for --sampler proposals of --field grid and mip"),
        ({"sampler": None, "field": "mlp", "proposals": "32,8"}, "--proposals is for --sampler proposals of --field grid"),
        ({"radiance_calls": 8}, "--radiance_calls draws its samples in occupied cells"),
        ({"sampler": None, "radiance_calls": 8, "proposals": "32,8"}, "--radiance_calls draws its samples in occupied cells"),
        *(({"proposals": word}, f"--proposals {word}: give") for word in ("64", "64,x", "64,1", "2000,16", "")),
    ):
        with pytest.raises(InputError, match=sentence):
            replace(options, **changes).check()


def test_steps_in_which_proposals_learn():
    learned = [step for step in range(3000) if learns_proposals(step)]
    assert learned[:20] == list(range(20))
    gaps = torch.tensor(learned).diff()
    assert (gaps[-300:] == 5).all() and (gaps.diff() >= -1).all() and gaps.max() == 5


def test_rays_of_a_step_follow_the_samples(tmp_path):
    """Rays beside the box cost nothing."""
    scene = sphere_scene("white")
    task = FieldTask(scene, scene.test, replace(OPTIONS, **FLAGS).complete())
    task.start()
    first = task.ray_steps.rays
    assert first == (1 << 12) // 8
    task.ray_steps.after(1 << 11)
    assert task.ray_steps.rays == 2 * first
    fixed = FieldTask(scene, scene.test, replace(OPTIONS, N_rand=77, **FLAGS).complete())
    fixed.start()
    fixed.ray_steps.after(1 << 11)
    assert fixed.ray_steps.rays == 77


def test_rays_that_miss_the_box_are_empty(tmp_path):
    model = run(tmp_path, N_iters=1, **FLAGS).model
    rays = rays_of(sphere_scene("white"), model)
    away = Rays(rays.origins, -rays.directions, rays.direction_norms, rays.view_directions, rays.radii)
    found = model.render_rays(away)
    assert (found.colour == 0).all() and (found.transmittance == 1).all() and (found.depth == 0).all()
    traced = model.trace(away, learn_proposals=True)
    assert (traced.composite.transmittance == 1).all() and len(traced.composite.weights) == 0
    assert len(model.render_rays(away[:0]).colour) == 0


@pytest.mark.parametrize("contracted", [False, True])
def test_the_gradient_of_a_proposals_density_is_that_of_its_values(contracted):
    generator = torch.Generator().manual_seed(0)
    field = ProposalField(torch.tensor([[-1.0, -2.0, -1.0], [1.0, 2.0, 1.0]]), ProposalShape(2, 4, 8, 12, contracted))
    with torch.no_grad():
        field.table.uniform_(-1, 1, generator=generator)
    spread = 3.0 if contracted else 1.0
    positions = spread * (2 * torch.rand(200, 3, generator=generator) - 1)
    moved = [positions + 1e-3 * step for step in torch.eye(3)], [positions - 1e-3 * step for step in torch.eye(3)]
    plus, minus = (torch.stack([field.density(each).log() for each in side], 1) for side in moved)
    wrong = ((plus - minus) / 2e-3 - field.log_density_gradient(positions)).abs().amax(1) > 0.02
    assert wrong.float().mean() < 0.1  # the gradient jumps at the faces of cells


def test_prop_normal_chooses_proposals_and_its_maps_are_written(tmp_path):
    options = replace(OPTIONS, basedir=str(tmp_path), N_iters=4, prop_normal=True, render_normal=True)
    scene = sphere_scene("white")
    own = learn(options, scene, scene.test, tmp_path)
    assert isinstance(own[0].model, ProposedField) and isinstance(own[2]["proposals"], ProposalNormals)
    assert proposed(options, ndc=False) and learn(replace(options, render_only=True), scene, scene.test, tmp_path)[2]["proposals"]
    learn(
        replace(options, sampler="occupancy", prop_normal=False, basedir=str(tmp_path / "b")), scene, scene.test, tmp_path / "b"
    )
    with pytest.raises(InputError, match="--prop_normal shows proposals, and this model has none"):
        learn(replace(options, render_only=True), scene, scene.test, tmp_path / "b")
