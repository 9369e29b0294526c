"""A hull that is empty, and how many masks a cell may miss."""

from dataclasses import replace

import pytest

from methods.points.hull import allowed_misses
from settings.errors import InputError
from tests.methods.points.small_clouds import SMALL, run
from tests.scenes import sphere_scene


def test_empty_hull_names_the_view(tmp_path):
    scene = sphere_scene()
    scene.train.alpha[7] = 0
    scene.train.images[7] = 0
    with pytest.raises(InputError, match="r_7"):
        run(tmp_path, scene)


def test_an_empty_hull_names_the_largest_ratio_that_keeps_points(tmp_path):
    scene = sphere_scene()
    scene.train.alpha[[3, 7, 11]] = 0
    scene.train.images[[3, 7, 11]] = 0
    with pytest.raises(InputError, match=r"--filter_consistency_ratio 0\.\d+ or less") as caught:
        run(tmp_path, scene, replace(SMALL, filter_consistency_ratio=0.99))
    largest = float(str(caught.value).split("--filter_consistency_ratio ")[1].split()[0])
    run(tmp_path, scene, replace(SMALL, filter_consistency_ratio=largest, epochs=1))
    with pytest.raises(InputError):
        run(tmp_path / "more", scene, replace(SMALL, filter_consistency_ratio=largest + 0.06, epochs=1))


@pytest.mark.parametrize("ratio, votes", [(1.0, 100), (0.97, 97), (0.94, 94), (0.9, 90), (0.8, 80), (0.7, 70), (0.001, 1)])
def test_ratios_are_the_forks(ratio, votes):
    assert 100 - allowed_misses(100, ratio) == votes
