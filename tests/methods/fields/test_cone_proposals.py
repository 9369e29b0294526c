"""--field mip --sampler proposals: what it learns in each space, its files, and what it does not go with."""

from dataclasses import replace

import pytest
import torch

from methods.fields import cone_proposal_steps
from methods.fields.learn import learn
from methods.fields.options import FieldOptions
from methods.fields.task import FieldTask
from models.fields import field_from_state
from models.proposed_cones import ProposedCones
from settings.errors import InputError
from taichi_kernels.proposals import proposal_bound
from tests.methods.fields.small_fields import MIP, OPTIONS, run, same, shown
from tests.room import room_scene
from tests.scenes import sphere_scene, wall_scene
from tests.training.hooks import Killed, kill_before

FLAGS = {name: value for name, value in MIP.items() if name != "N_samples"} | {"sampler": "proposals", "proposals": "16,16,12"}
SCENES = {"object": lambda: sphere_scene("white"), "ndc": wall_scene, "unbounded": room_scene}


def task(scene=None, **changes) -> FieldTask:
    scene = scene or sphere_scene("white")
    made = FieldTask(scene, scene.test, replace(OPTIONS, **FLAGS | changes).complete())
    made.start()
    return made


@pytest.mark.parametrize(
    ("name", "psnr", "steps", "lrate"), [("object", 19, 400, 0.02), ("ndc", 18, 1000, 5e-3), ("unbounded", 20, 400, 5e-3)]
)
def test_learns_scenes_of_all_spaces_and_its_proposals_enclose_the_weights(tmp_path, name, psnr, steps, lrate):
    scene = SCENES[name]()
    trained = run(tmp_path, scene, **FLAGS | {"N_iters": steps, "lrate": lrate})
    model = trained.model
    assert isinstance(model, ProposedCones) and model.contracted == (name == "unbounded")
    assert trained.history[-1]["validation_psnr"] > psnr, trained.history[-1]["validation_psnr"]
    made = task(scene)
    rays = model.to_model_space(made.batches.draw(200, torch.Generator().manual_seed(0)).rays)
    with torch.no_grad():
        found = model.trace(rays)
    weights, s = found.composite.weights, found.intervals.s
    for proposal in found.proposals:
        excess = (weights - proposal_bound(proposal.intervals.s, proposal.weights, s)).clamp_min(0)
        assert excess.sum() < 0.3 * weights.sum(), float(excess.sum() / weights.sum())


def test_resumed_run_ends_with_the_same_bits_and_its_file_says_what_it_is(tmp_path):
    whole = run(tmp_path / "whole", **FLAGS)
    with pytest.raises(Killed):
        run(tmp_path / "cut", callbacks=[kill_before(13)], **FLAGS)
    resumed = run(tmp_path / "cut", **FLAGS)
    assert same(whole.model, resumed.model) and resumed.step == 20
    assert same(shown(tmp_path / "whole", field="mip").model, whole.model)
    again = task(ft_path=str(tmp_path / "whole" / "checkpoint.pt"))
    assert same(again.model, whole.model)
    again.step()
    assert same(field_from_state(whole.model.state()), whole.model)


def test_a_step_in_parts_has_the_same_gradients(monkeypatch):
    def gradients() -> tuple[torch.Tensor, int]:
        made = task(perturb=0.0, distortion=0.1)
        losses = list(made.ray_steps.losses(5, made.batches))
        for loss, _, _ in losses:
            loss.backward()
        return torch.cat([value.grad.flatten() for value in made.model.parameters()]), len(losses)

    whole, parts = gradients()
    assert parts == 1
    monkeypatch.setattr(cone_proposal_steps, "samples_at_once", lambda device: 1000)
    found, parts = gradients()
    assert parts > 1
    torch.testing.assert_close(found, whole, atol=1e-4 * float(whole.abs().max()), rtol=1e-3)


def test_the_fields_loss_does_not_move_proposals_and_theirs_does_not_move_the_field():
    made = task(distortion=0.0)
    batch = made.batches.draw(64, torch.Generator().manual_seed(0))
    found = made.model.trace(batch.rays, learn_proposals=True)
    batch.squared_error(found.composite).backward()
    assert all(value.grad is None for value in made.model.sampler.parameters())
    assert all(value.grad is not None for value in made.model.field.parameters())
    made.model.zero_grad()
    found = made.model.trace(batch.rays, learn_proposals=True)
    cone_proposal_steps.proposal_loss(found.proposals, found.intervals.s, found.composite.weights).backward()
    assert all(value.grad is None for value in made.model.field.parameters())
    assert all(value.grad is not None for value in made.model.sampler.parameters())


def test_photographs_without_alpha_are_learned_before_random_colours():
    """Else a network that sees cones stays transparent in normalised device coordinates, white before black."""
    for flags in (FLAGS, MIP | {"sampler": None, "proposals": None}):
        assert task(wall_scene(), **flags).batches.background == "random"
    assert task(room_scene()).batches.background == "random"
    assert task(room_scene(), contract=False).batches.background != "random"
    assert task(wall_scene(), random_bkgd=False).batches.background != "random"


def test_a_capture_is_filmed_from_within_whatever_the_flags_say(tmp_path, monkeypatch):
    scene = room_scene()
    run(tmp_path, scene, **FLAGS | {"N_iters": 1})
    monkeypatch.setattr("methods.fields.learn.through_photographs", lambda cameras: cameras)  # a test's are on no path
    for flags in (FLAGS, {"field": "mip"}):
        found = learn(replace(OPTIONS, **flags, render_only=True, N_iters=1), scene, scene.test, tmp_path)[2]
        assert len(found["render_path"]) > 5
        assert found["options"]["lindisp"] and found["options"]["proposals"] == "16,16,12"


def test_flags_say_how_large_it_is_and_where_rays_begin():
    assert task(proposals=None).model.sampler.counts == (64, 64, 32)
    made = task(proposals="8,9", sampler=None, near=0.5, far=7.5, netdepth=6, netwidth=48).model
    assert made.sampler.counts == (8, 9) and (made.ray_span.near, made.ray_span.far) == (0.5, 7.5)
    assert (made.field.network.shape.depth, made.proposal_shape.depth, made.proposal_shape.width) == (6, 4, 48)
    far = task(room_scene(), far=99.0).model
    assert far.contracted and far.ray_span.far == 99 and far.ray_span.disparity
    assert not task(room_scene(), contract=False).model.contracted
    assert task(raw_noise_std=1.0).step() > 0


def test_flags_and_files_that_do_not_go_with_it(tmp_path):
    options = FieldOptions(datadir="unused", basedir="unused", field="mip", sampler="proposals")
    options.check()
    for changes, sentence in (
        ({"N_samples": 64}, "--N_samples is not for --sampler proposals: give --proposals"),
        ({"sampler": "occupancy"}, "--sampler occupancy is for --field grid and voxels"),
        ({"sampler": None, "contract": True}, "--contract is for --field grid, and mip with --sampler proposals"),
        ({"sampler": None, "distortion": 0.1}, "--distortion is for"),
        ({"ref_nerf": True}, "--ref_nerf is for --field grid"),
        ({"prop_normal": True, "render_normal": True}, "--prop_normal shows proposals"),
        ({"proposals": "64"}, "--proposals 64: give the samples"),
    ):
        with pytest.raises(InputError, match=sentence):
            replace(options, **changes).check()
    run(tmp_path / "mip", **MIP | {"N_iters": 1})
    cones = str(tmp_path / "cones" / "checkpoint.pt")
    run(tmp_path / "cones", **FLAGS | {"N_iters": 1})
    with pytest.raises(InputError, match="whose samples are proposed: give --sampler proposals"):
        task(ft_path=cones, sampler=None, proposals=None)
    with pytest.raises(InputError, match="--proposals 8,8 does not fit"):
        task(ft_path=cones, proposals="8,8", given=frozenset({"proposals"}))
    assert task(ft_path=cones, proposals="016,16,12", given=frozenset({"proposals"})).model.sampler.counts == (16, 16, 12)
    with pytest.raises(InputError, match="holds networks without --sampler proposals: drop it"):
        task(ft_path=str(tmp_path / "mip" / "checkpoint.pt"))
    for changes, sentence in (
        ({"near": 0.0}, "--near 0 has no useful inverse depth"),
        ({"near": 1e-30}, "--near 1e-30 has no useful"),
        ({"near": 1e5}, "--near 100000 leaves no ray"),
    ):
        with pytest.raises(InputError, match=sentence):
            task(room_scene(), **changes)
    with pytest.raises(InputError, match="cut out"):
        task(contract=True)
    with pytest.raises(InputError, match="--contract does not go with normalised device coordinates"):
        task(wall_scene(), contract=True)
