"""A run knows what it learned from by its content: other paths do not matter, other data do."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from methods.fields.learn import fit_field
from methods.fields.options import FieldOptions
from methods.points.learn import choose_recipe, fit_cloud
from methods.points.options import PointOptions
from settings.errors import InputError
from tests.scenes import sphere_scene, wall_scene
from training.learned_from import difference, learned_from

OPTIONS = PointOptions(
    recipe="paper", data_r=0.002, splatting_r=0.05, basedir="unused", epochs=2, refine_n=1, datadir="scenes/sphere"
)


def run(folder, scene=None, options=OPTIONS):
    scene = scene or sphere_scene()
    recipe, options = choose_recipe(options, scene)
    return fit_cloud(scene, scene.test, options, recipe, folder)


@pytest.fixture(scope="module")
def begun(tmp_path_factory, device):
    """A finished run of two epochs."""
    folder = tmp_path_factory.mktemp("begun")
    run(folder)
    return folder


@pytest.mark.parametrize(
    "paths",
    [
        {"datadir": "/elsewhere/sphere"},
        {"datadir": "/elsewhere", "dataname": "sphere"},
        {"dataset_type": "blender"},
        {"datadir": None, "dataname": "sphere"},
    ],
)
def test_other_paths_go_on(begun, paths):
    assert run(begun, options=replace(OPTIONS, **paths)).finished


def changed(what):
    scene = sphere_scene()
    train, cameras = scene.train, scene.train.cameras
    images, alpha = train.images.copy(), train.alpha.copy()
    poses, lenses = cameras.camera_to_world.clone(), cameras.intrinsics.clone()
    if what == "picture":
        images[3, 20, 30, 1] ^= 1
    elif what == "order":
        images[[2, 5]] = images[[5, 2]]
    elif what == "alpha":
        alpha[7, 0, 0] ^= 255
    elif what == "pose":
        poses[4, 0, 3] += 1e-3
    elif what == "turned":
        poses[4, :, :2] *= -1
    elif what == "focal":
        lenses[0, 0, 0] *= 1.01
    train = replace(
        train,
        images=images,
        alpha=None if what == "no alpha" else alpha,
        cameras=replace(cameras, camera_to_world=poses, intrinsics=lenses),
    )
    if what == "fewer":
        train = train.subset(list(range(19)))
    if what == "box":
        return replace(scene, bounds=scene.bounds * 1.1)
    if what == "masks":
        return replace(scene, carving=train)
    return sphere_scene(width=32, height=30) if what == "size" else replace(scene, train=train)


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        ("picture", "the picture r_3 has changed"),
        ("order", "the picture r_2 has changed, and 1 more"),
        ("alpha", "the alpha channel of r_7 has changed"),
        ("no alpha", "the run began with alpha channels, and now there are none"),
        ("pose", "the pose of r_4"),
        ("turned", "the pose of r_4"),
        ("focal", "the focal length or centre of r_0"),
        ("fewer", "20 training views, and the scene now has 19"),
        ("size", "r_0 had 64 x 60 pixels, and now has 32 x 30, and 19 m"),
        ("box", "the scene's box was"),
        ("masks", "the run began without masks, and now there are some"),
    ],
)
def test_other_data_under_the_same_names_are_reported(begun, what, sentence):
    """Also for a finished run: it would report what it learned from other pictures."""
    with pytest.raises(InputError, match=rf"other data \(.*{sentence}.*\): give the data .*--no_reload"):
        run(begun, changed(what))


def test_numbers_that_another_machine_rounds_differently_go_on(begun):
    scene = sphere_scene()
    cameras = scene.train.cameras
    rounded = replace(cameras, camera_to_world=cameras.camera_to_world * (1 + 3e-7), intrinsics=cameras.intrinsics * (1 - 2e-7))
    assert run(begun, replace(scene, train=replace(scene.train, cameras=rounded), bounds=scene.bounds * (1 + 2e-7))).finished


def test_runs_of_earlier_versions_compare_paths(begun, tmp_path):
    path = shutil.copy(begun / "checkpoint.pt", tmp_path)
    state = torch.load(path, weights_only=True)
    del state["learned_from"]
    torch.save(state, path)
    with pytest.raises(InputError, match="--datadir scenes/sphere, this one has /elsewhere"):
        run(tmp_path, options=replace(OPTIONS, datadir="/elsewhere"))
    assert run(tmp_path).finished


def test_fields_know_their_data_too(tmp_path):
    scene = wall_scene(views=3, width=16, height=12)
    options = FieldOptions(
        field="mlp", N_iters=2, N_samples=4, N_rand=8, netdepth=2, netwidth=8, datadir="a", basedir="unused"
    ).complete()
    fit_field(scene, scene.test, options, tmp_path)
    assert fit_field(scene, scene.test, replace(options, datadir="/b/a"), tmp_path).finished
    images = scene.train.images.copy()
    images[1] = images[2]
    other = replace(scene, train=replace(scene.train, images=images))
    with pytest.raises(InputError, match="the picture w_1 has changed"):
        fit_field(other, scene.test, options, tmp_path)


def test_the_model_that_a_run_began_from(begun, tmp_path):
    """Its file may be moved, or be gone; another model is refused."""
    scene = sphere_scene()
    first, moved, other = (tmp_path / name for name in ("first.pt", "moved.pt", "other.pt"))
    first.write_bytes(b"a model")
    moved.write_bytes(b"a model")
    other.write_bytes(b"another")
    then = learned_from(scene, replace(OPTIONS, ft_path=str(first)))

    def told(path):
        return difference(then, learned_from(scene, replace(OPTIONS, ft_path=path and str(path))), scene.train.names)

    assert told(first) == told(moved) == told(tmp_path / "gone.pt") == ""
    first.write_bytes(b"replaced by the run's own")
    assert told(first) == ""
    assert "names another model" in told(other) and told(None) == "it began with --ft_path"


def test_views_of_several_sizes():
    """Pictures may be one array, or a list of arrays of their own sizes."""
    scene = sphere_scene(views=3, width=16, height=12)
    listed = replace(scene, train=replace(scene.train, images=list(scene.train.images), alpha=list(scene.train.alpha)))
    assert difference(learned_from(scene, OPTIONS), learned_from(listed, OPTIONS), scene.train.names) == ""
    listed.train.images[1] = np.zeros((10, 11, 3), np.uint8)
    assert learned_from(listed, OPTIONS)["sizes"] == [[16, 12], [11, 10], [16, 12]]
