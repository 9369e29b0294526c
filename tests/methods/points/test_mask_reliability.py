"""Which masks are found to be wrong, by their photographs and by the other masks."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from datasets.mask_corruption import corrupt
from methods.points.mask_reliability import is_informative, without_wrong_masks
from methods.points.options import PointOptions
from methods.points.recipe import MaskFacts
from methods.points.silhouettes import find_silhouettes
from methods.points.task import views_to_train
from tests.scenes import sphere_scene


@pytest.fixture(scope="module", params=["black", "white"])
def scene(request):
    return sphere_scene(request.param, views=20)


def left_out(scene) -> list[int]:
    """The views whose mask was replaced by one that covers everything."""
    low, high = scene.bounds
    axes = [low[a] + (high[a] - low[a]) * (torch.arange(40) + 0.5) / 40 for a in range(3)]
    kept = without_wrong_masks(scene, axes)
    assert all((kept.alpha[v] == scene.silhouettes.alpha[v]).all() or (kept.alpha[v] == 255).all() for v in range(len(kept)))
    return [view for view, good in enumerate(is_informative(kept)) if not good]


def with_masks(scene, damage, views):
    """The scene with `damage`d masks in some views."""
    alpha = scene.train.alpha.copy()
    alpha[views] = damage(alpha[views])
    return replace(scene, carving=replace(scene.train, alpha=alpha))


@pytest.mark.parametrize("views", [1, 2, 3, 4, 7, 20])
def test_clean_masks_are_right(scene, views):
    few = replace(scene, train=scene.train.subset(list(range(views))))
    assert left_out(few) == left_out(replace(few, carving=few.train)) == []
    found = find_silhouettes(few, PointOptions(basedir="unused"), torch.Generator())
    assert all(found.trusted) and found.ratio == 1.0 and not found.note


def test_a_mask_that_leaves_out_a_part_of_its_photograph_is_wrong(scene):
    def without_a_strip(alpha):
        alpha = alpha.copy()
        alpha[:, : alpha.shape[1] // 2 - 2] = 0
        return alpha

    assert left_out(with_masks(scene, without_a_strip, [3, 8])) == [3, 8]
    assert left_out(with_masks(scene, without_a_strip, list(range(20)))) == list(range(20))


def test_a_mask_that_covers_more_is_not_wrong_but_may_be_uninformative(scene):
    assert left_out(replace(scene, carving=corrupt(scene.train, [("dilate", 10.0)], 0))) == []
    assert left_out(with_masks(scene, lambda alpha: np.full_like(alpha, 255), [5])) == [5]


def test_pictures_that_were_cut_out_by_masks_are_compared_with_the_others_alone(scene):
    alpha = scene.train.alpha.copy()
    alpha[[2, 9]] = 0
    spoilt = replace(scene.train, alpha=alpha, images=np.where(alpha[..., None] > 0, scene.train.images, 0))
    cut_out = replace(scene, train=spoilt, cut_out=True)
    assert left_out(cut_out) == [2, 9]
    trusted = [view not in (2, 9) for view in range(20)]
    assert views_to_train(cut_out, MaskFacts(trusted)) == [view for view in range(20) if trusted[view]]
    assert len(views_to_train(scene, MaskFacts(trusted))) == 20  # pictures of their own stay
    assert len(views_to_train(cut_out, MaskFacts([False] * 20))) == 20  # nothing is known to be better
