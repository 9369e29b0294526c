"""Photographs with their background: contraction, cells and steps that grow with the distance, gains of photographs."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from datasets.paths import through_photographs
from datasets.scene import joined
from methods.fields.options import FieldOptions
from methods.fields.run import load_field_run
from methods.fields.task import FieldTask
from methods.fields.unbounded_start import LEVELS, contracted, inner_box, unbounded_field
from models.contraction import to_unit_cube, uncontract
from models.fields import field_from_state
from models.rays import pack_cameras, pixel_rays, view_pixels
from settings.errors import InputError
from tests.methods.fields.small_fields import OPTIONS, run, same
from tests.room import room_scene
from tests.scenes import sphere_scene, wall_scene
from tests.training.hooks import Killed, kill_before

pytestmark = pytest.mark.usefixtures("small_steps")

SCENE = room_scene()


def test_learns_a_landscape_which_is_lost_in_a_box(tmp_path):
    whole = run(tmp_path / "whole", SCENE, N_iters=200).history[-1]["validation_psnr"]
    boxed = run(tmp_path / "boxed", SCENE, N_iters=200, contract=False).history[-1]["validation_psnr"]
    assert whole > 25 and whole > boxed + 3, (whole, boxed)


def test_resumed_run_ends_with_the_same_bits(tmp_path):
    settings = {"N_iters": 20, "exposure": True}
    whole = run(tmp_path / "whole", SCENE, **settings)
    with pytest.raises(Killed):
        run(tmp_path / "cut", SCENE, callbacks=[kill_before(13)], **settings)
    resumed = run(tmp_path / "cut", SCENE, **settings)
    assert whole.model.contracted and same(whole.model, resumed.model)
    gains = [torch.load(tmp_path / name / "checkpoint.pt")["exposure"]["log_gains"] for name in ("whole", "cut")]
    assert torch.equal(*gains) and gains[0].abs().max() > 0


def test_a_saved_field_gives_the_same_picture(tmp_path):
    trained = run(tmp_path, SCENE)
    state = trained.model.state(training=False)
    again = field_from_state(state)
    cameras = SCENE.test.cameras
    assert torch.equal(again.render(cameras, 1).image, trained.model.render(cameras, 1).image)
    loaded = load_field_run(SCENE, replace(OPTIONS, contract=False).complete(), tmp_path).model
    assert same(loaded, trained.model)  # the file says whether space is contracted


def test_states_of_boxes_that_earlier_versions_wrote(tmp_path):
    model = run(tmp_path).model
    state = model.state()
    earlier = state | {"settings": {k: v for k, v in state["settings"].items() if k not in ("levels", "cone", "near")}}
    del earlier["settings"]["shape"]["contracted"]
    again = field_from_state(earlier)
    assert same(again, model) and not again.contracted


def test_photographs_with_background_are_contracted_unless_something_speaks_against_it():
    for scene, flags, expected in (
        (SCENE, {}, True),
        (SCENE, {"contract": False}, False),
        (SCENE, {"field": "voxels"}, False),
        (SCENE, {"field": "mlp"}, False),
        (sphere_scene(), {}, False),
        (wall_scene(), {}, False),
        (replace(SCENE, cut_out=True), {}, False),
        (replace(sphere_scene(), train=replace(sphere_scene().train, alpha=None)), {}, False),  # one colour around the ball
    ):
        assert contracted(scene, FieldOptions(basedir="unused", **flags)) is expected
    asked = FieldOptions(datadir="unused", basedir="unused", contract=True)
    for scene, sentence in (
        (sphere_scene(), "are cut out by their alpha channel"),
        (replace(SCENE, cut_out=True), "are cut out by masks"),
        (wall_scene(), "normalised device coordinates, which reach to infinity already"),
    ):
        with pytest.raises(InputError, match=sentence):
            contracted(scene, asked)
    with pytest.raises(InputError, match="--contract is for --field grid, and mip with"):
        replace(asked, field="voxels").check()
    with pytest.raises(InputError, match="--exposure is for --field grid and voxels: drop it"):
        replace(asked, field="mlp", contract=None, exposure=True).check()


def test_the_inner_box_holds_the_cameras_and_the_cells_what_they_see():
    cameras = SCENE.train.cameras
    box = inner_box(cameras)
    assert (cameras.centers > box[0] - 1e-5).all() and (cameras.centers < box[1] + 1e-5).all()
    model = unbounded_field(SCENE, OPTIONS, torch.Generator().manual_seed(0))
    grid = model.occupancy
    g, occupied = grid.cells, grid.occupied.cpu()
    assert occupied.shape == (LEVELS, g, g, g)
    corner = occupied[:, -1, g // 2, g // 2]  # above the middle, where no camera looks
    assert occupied[:, g // 2, g // 2, -1].all() and not corner.any()
    rays = pixel_rays(pack_cameras(cameras).to(model.device), view_pixels(0, *cameras.size(0), model.device))
    samples = model.sample(rays)
    widths = (samples.t_ends - samples.t_starts) * rays.direction_norms[samples.rays.long()]
    distances = (samples.positions - rays.origins[samples.rays.long()]).norm(dim=1)
    assert samples.t_starts.min() >= grid.near > 0 and distances.max() > 20 * float(box[1, 0] - box[0, 0]) / 2
    expected = (grid.cone * (distances - widths / 2)).clamp_min(grid.step)
    torch.testing.assert_close(widths, expected, rtol=1e-2, atol=1e-3)


def test_cells_that_were_not_evaluated_yet_stay_occupied():
    grid = unbounded_field(SCENE, OPTIONS, torch.Generator().manual_seed(0)).occupancy
    open_, g = grid.open.clone(), torch.Generator().manual_seed(0)
    grid.update(lambda x: torch.zeros(len(x), device=x.device), g, some=500, decay=0.5, threshold=0.01)
    left = int((open_ & ~grid.occupied).sum())
    assert 500 < left <= 1500 and not (grid.occupied & ~open_).any()
    far = []
    grid.update(lambda x: far.append(x) or torch.full_like(x[:, 0], 1e3), g, some=0, decay=0.5, threshold=0.01)
    assert torch.equal(grid.occupied, open_)
    half = float(grid.box[1, 0] - grid.box[0, 0]) / 2
    assert 2 ** (LEVELS - 2) < torch.cat(far).sub(grid.box.mean(0)).abs().max() / half <= 2 ** (LEVELS - 1)


def test_density_falls_with_the_distance_and_space_is_contracted():
    field = unbounded_field(SCENE, OPTIONS, torch.Generator().manual_seed(0)).field
    with torch.no_grad():
        field.out.zero_()
    middle, half = field.box.mean(0), (field.box[1, 0] - field.box[0, 0]) / 2
    along = middle + half * torch.tensor([[0.5, 0, 0], [1, 0, 0], [2, 0, 0], [64, 0, 0]], device=middle.device)
    relative = field.density(along) * half
    torch.testing.assert_close(relative / relative[0], torch.tensor([1, 1, 1 / 2, 1 / 64], device=middle.device))
    back = uncontract(4 * to_unit_cube(along, field.box) - 2)
    torch.testing.assert_close(middle + half * back, along, rtol=1e-4, atol=1e-5)


def test_pictures_of_odd_sizes(tmp_path):
    cameras = SCENE.train.cameras
    images = [image[: 40 - 3 * (v % 3), : 48 - 5 * (v % 2)] for v, image in enumerate(SCENE.train.images)]
    sizes = [image.shape for image in images]
    mixed = replace(cameras, widths=torch.tensor([s[1] for s in sizes]), heights=torch.tensor([s[0] for s in sizes]))
    train = replace(SCENE.train, images=joined([np.ascontiguousarray(image) for image in images]), cameras=mixed)
    assert run(tmp_path, replace(SCENE, train=train), N_iters=60).history[-1]["validation_psnr"] > 15


def test_cameras_that_do_not_look_at_one_point_and_cameras_at_one_point():
    """A walk along a wall, whose axes are parallel; and a panorama."""
    cameras = SCENE.train.cameras
    poses = cameras.camera_to_world.clone()
    poses[:, :, :3] = poses[0, :, :3]
    parallel = inner_box(replace(cameras, camera_to_world=poses))
    assert (parallel[0] < parallel[1]).all() and (cameras.centers >= parallel[0] - 1e-5).all()
    poses = cameras.camera_to_world.clone()
    poses[:, :, 3] = torch.tensor([1.0, 2, 3])
    around = replace(cameras, camera_to_world=poses)
    box = inner_box(around)
    assert (box[0] < box[1]).all() and box.isfinite().all()
    model = unbounded_field(replace(SCENE, train=replace(SCENE.train, cameras=around)), OPTIONS, torch.Generator().manual_seed(0))
    assert model.render(around, 0).image.isfinite().all()


def test_the_video_follows_the_photographer():
    """Past photographs in the order of their files, on a circle; there is no path if their order is random."""
    cameras = SCENE.train.cameras
    angles = torch.atan2(cameras.centers[:, 1], cameras.centers[:, 0])
    path = through_photographs(cameras[angles.argsort().tolist()], 40)
    assert path is not None and len(path) == 40
    radii, steps = path.centers[:, :2].norm(dim=1), path.centers.diff(dim=0).norm(dim=1)
    assert (radii > 1.5).all() and (radii < 2.6).all() and steps.max() < 1
    axes = -path.camera_to_world[:, :, 2]
    assert ((axes * torch.nn.functional.normalize(-path.centers, dim=1)).sum(1) > 0.95).all()
    torch.testing.assert_close(torch.linalg.det(path.camera_to_world[:, :, :3]), torch.ones(40))
    assert through_photographs(cameras) is None and through_photographs(cameras[:5]) is None


def test_exposures_of_photographs_are_found(tmp_path):
    """Views of gains that differ by 30 % are learned better with --exposure, and gains are found."""
    uneven = room_scene(gains=0.3)
    plain = run(tmp_path / "plain", uneven, N_iters=150).history[-1]["validation_psnr"]
    better = run(tmp_path / "gains", uneven, N_iters=250, exposure=True).history[-1]["validation_psnr"]
    assert better > plain + 0.5, (plain, better)
    g = torch.Generator().manual_seed(0)
    task = FieldTask(uneven, uneven.test, replace(OPTIONS, exposure=True).complete())
    task.start()
    task.batches.exposure.log_gains.data = torch.randn(len(uneven.train), 3, generator=g).to(task.model.device)
    gains = task.batches.exposure(torch.arange(len(uneven.train), device=task.model.device))
    torch.testing.assert_close(gains.log().mean(0), torch.zeros_like(gains[0]), rtol=0, atol=1e-6)
