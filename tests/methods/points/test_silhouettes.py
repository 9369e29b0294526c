"""Which masks are trusted, and what the photographs alone show."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from datasets.mask_corruption import corrupt
from methods.points.default import DefaultRecipe
from methods.points.learn import fit_cloud
from methods.points.options import PointOptions
from methods.points.silhouettes import find_silhouettes
from settings.errors import InputError
from tests.scenes import sphere_scene

OPTIONS = PointOptions(basedir="unused")


@pytest.fixture(scope="module")
def scene():
    return sphere_scene(views=30)


def damaged(scene, *steps):
    return replace(scene, carving=corrupt(scene.train, steps, 0))


def silhouettes(scene, **options):
    return find_silhouettes(scene, replace(OPTIONS, **options), torch.Generator().manual_seed(0))


def iou(found, scene) -> float:
    """Least intersection over union of any view's found and true mask, at the found ones' size."""
    true = torch.nn.functional.interpolate(torch.from_numpy(scene.train.alpha)[None].float(), found.alpha.shape[1:], mode="area")
    a, b = torch.from_numpy(found.alpha) > 127, true[0] > 127
    return float(((a & b).sum((1, 2)) / (a | b).sum((1, 2))).min())


def test_masks_that_agree_are_trusted(scene):
    found = silhouettes(scene)
    assert found.views is scene.train and found.ratio == 1.0 and all(found.trusted) and found.seconds == 0


def test_a_view_without_a_mask_is_not_trusted(scene):
    spoilt = damaged(scene, ("missing", 0.1))
    found = silhouettes(spoilt)
    assert found.views is spoilt.carving
    assert found.trusted == [not (mask == 255).all() for mask in spoilt.carving.alpha] and found.trusted.count(False) == 3
    assert found.object_fraction == pytest.approx((scene.train.alpha > 127).mean(), rel=0.05)


@pytest.mark.parametrize("amount", [0.1, 0.4])
def test_views_with_an_empty_mask_are_left_out(scene, amount):
    spoilt = damaged(scene, ("empty", amount))
    found = silhouettes(spoilt)
    assert found.trusted == [bool(mask.any()) for mask in spoilt.carving.alpha] and False in found.trusted
    good = torch.tensor(found.trusted)
    assert (found.views.alpha[good] == scene.train.alpha[good]).all() and (found.views.alpha[~good] == 255).all()
    assert f"masks of {found.trusted.count(False)} training views" in found.note and found.seconds == 0
    assert (spoilt.carving.alpha[~good] == 0).all()  # the scene keeps what it was given


@pytest.mark.parametrize(
    "steps, background",
    [([("affine", 0.2)], "black"), ([("holes", 0.3)], "white"), ([("missing", 1.0)], "white"), ([("empty", 0.7)], "black")],
)
def test_masks_that_contradict_each_other_give_way_to_the_photographs(steps, background):
    scene = damaged(sphere_scene(background, views=30), *steps)
    found = silhouettes(scene)
    assert not any(found.trusted) and found.seconds > 0
    assert iou(found.views, scene) > 0.7 > iou(scene.carving, scene), steps


def test_the_users_ratio_is_taken_as_it_is(scene):
    spoilt = damaged(scene, ("affine", 0.2))
    found = silhouettes(spoilt, filter_consistency_ratio=0.8)
    assert found.views is spoilt.carving and found.ratio == 0.8


def test_photographs_that_show_nothing(scene):
    dark = replace(scene.train, images=np.zeros_like(scene.train.images))
    with pytest.raises(InputError, match="no object against the background"):
        silhouettes(damaged(replace(scene, train=dark), ("missing", 1.0)))


def test_a_run_with_spoilt_masks_ends_near_one_with_clean_ones(demo_scene, tmp_path):
    """The affine damage of 12 %; the hard hull of such masks is far behind."""
    spoilt, quality = damaged(demo_scene, ("affine", 0.12)), {}
    for name, of, ratio in (("clean", demo_scene, None), ("remedy", spoilt, None), ("hard hull", spoilt, 1.0)):
        method = DefaultRecipe(steps=800)
        options = method.settings(replace(OPTIONS, filter_consistency_ratio=ratio), of)
        trained = fit_cloud(of, of.test, options, method.recipe(options, of), tmp_path / name)
        quality[name] = trained.history[-1]["validation_psnr"]
    assert quality["remedy"] > quality["clean"] - 1, quality
    assert quality["hard hull"] < quality["clean"] - 2, quality
