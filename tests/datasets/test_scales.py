"""Views at 1, 1/2, 1/4 and 1/8 of the size, for protocol `multiscale`."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from datasets.protocols import evaluation_views
from datasets.scales import SCALES, at_scales
from methods.command_line import parse
from methods.fields.network_start import learned_pixel
from settings.errors import InputError
from tests.datasets.written_scene import load, refusal, write_multiscale, write_scene
from tests.scenes import sphere_scene


def test_each_scale_has_all_views_and_names_and_cameras_say_which():
    split = sphere_scene().test
    found = at_scales(split)
    assert len(found) == len(split) * len(SCALES) and found.scales == [s for s in SCALES for _ in split.names]
    assert found.names[0] == split.names[0] and found.names[len(split)] == f"{split.names[0]} at 1/2"
    for view, scale in enumerate(found.scales):
        width, height = (side // scale for side in split.cameras.size(view % len(split)))
        assert found.images[view].shape == (height, width, 3) and found.cameras.size(view) == (width, height)
        expected = split.cameras.intrinsics[view % len(split), 0, 0] * width / split.cameras.size(view % len(split))[0]
        assert found.cameras.intrinsics[view, 0, 0] == pytest.approx(float(expected))


def test_a_small_picture_is_the_mean_of_what_is_shown():
    """Also where alpha is between 0 and 1: the picture over white is the mean of the large one over white."""
    split = sphere_scene().test
    large, small = split.picture(0, "white"), at_scales(split).picture(len(split), "white")
    height, width, _ = small.shape
    mean = large[: 2 * height, : 2 * width].view(height, 2, width, 2, 3).mean((1, 3))
    assert (small - mean).abs().max() < 1.5 / 255


def test_some_views_keep_their_scales_and_views_with_scales_stay_as_they_are():
    found = at_scales(sphere_scene().test)
    some = found.subset([0, len(found) - 1])
    assert some.scales == [1, 8] and at_scales(found) is found


def test_the_protocol_names_the_sizes_in_training():
    scene = sphere_scene()
    views, name = evaluation_views(scene, "multiscale")
    assert len(views) == 4 * len(scene.test) and "trained at the full size" in name
    with pytest.raises(ValueError, match="choose paper, standard or multiscale"):
        evaluation_views(scene, "all")


def test_pictures_of_one_pixel_do_not_vanish():
    split = sphere_scene().test
    tiny = split.shrunk(min(split.cameras.size(0)))
    assert all(np.prod(image.shape[:2]) >= 1 for image in at_scales(tiny).images)
    assert torch.isfinite(at_scales(tiny).cameras.intrinsics).all()


def test_training_views_are_shrunk_on_request(tmp_path):
    write_scene(tmp_path)
    whole = load(tmp_path, method="nerf", field="mip").train
    scene = load(tmp_path, method="nerf", field="mip", train_scales=True)
    train = scene.train
    assert len(train) == 4 * len(whole) and train.scales == [scale for scale in SCALES for _ in range(len(whole))]
    assert train.cameras.size(len(whole)) == tuple(side // 2 for side in whole.cameras.size(0))
    assert np.array_equal(train.images[0], whole.images[0]) and scene.test.scales is None
    assert "trained at 4 sizes" in evaluation_views(scene, "multiscale")[1]


def test_views_that_have_scales_are_not_shrunk_again(tmp_path):
    said = refusal(write_multiscale(tmp_path), method="nerf", field="mip", train_scales=True)
    assert "--train_scales: the training pictures of" in said and "have several scales already: drop the flag" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--method nerf --train_scales", "--train_scales is for --field mlp and mip: drop it, or give one of them"),
        ("--method nerf --field voxels --train_scales", "--train_scales is for --field mlp and mip"),
        ("--method points --train_scales", "--train_scales is for --method nerf with --field mlp or mip: drop it"),
    ],
)
def test_what_does_not_learn_from_several_scales(words, said):
    with pytest.raises(InputError, match=said):
        parse(["--dataname", "demo", *words.split()])


def test_the_learned_pixel_is_the_finest_one():
    scene = sphere_scene()
    mixed = replace(scene, train=at_scales(scene.train))
    assert learned_pixel(mixed) == learned_pixel(scene)
