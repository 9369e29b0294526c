"""outlines.png: the masks that carving used."""

from dataclasses import replace

import numpy as np
from PIL import Image

from reporting.outlines import save_outlines
from tests.scenes import sphere_scene


def test_background_is_tinted_and_the_object_as_it_is(tmp_path):
    scene = sphere_scene(views=10)
    save_outlines(tmp_path / "outlines.png", scene, scene.train)
    height, width = scene.train.images.shape[1:3]
    sheet = np.asarray(Image.open(tmp_path / "outlines.png"))
    assert sheet.shape == (2 * height, 4 * width, 3)
    first, inside = sheet[:height, :width], scene.train.alpha[0] == 255
    assert (first[inside] == scene.train.images[0][inside]).all()
    outside = scene.train.alpha[0] == 0
    assert (first[outside][:, 2] > 90).all() and not (scene.train.images[0][outside] > 0).any()


def test_masks_that_were_not_used_as_given_stand_beside_those_that_were(tmp_path):
    scene = sphere_scene(views=3)
    coarse = replace(scene.train, alpha=np.full((3, 8, 8), 255, np.uint8))  # of another size, and everything is foreground
    save_outlines(tmp_path / "outlines.png", scene, coarse)
    height, width = scene.train.images.shape[1:3]
    sheet = np.asarray(Image.open(tmp_path / "outlines.png"))
    assert sheet.shape == (height, 8 * width, 3)
    assert (sheet[:, width : 2 * width] == scene.train.images[0]).all() and (sheet[:, :width] != scene.train.images[0]).any()
    assert not sheet[:, 6 * width :].any()  # the row's last cell is empty
