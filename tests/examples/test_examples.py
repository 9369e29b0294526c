"""The examples do what they say, at small sizes, and each leaves a picture."""

import itertools

import imageio.v3 as imageio
import pytest
import torch

from examples import hash_grid_fits_an_image, ray_through_fog, splats_fit_an_image


@pytest.fixture
def from_folder(tmp_path, monkeypatch):
    """Examples write into the working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_splats_fit_an_image(device, from_folder, on_cpu):
    found = splats_fit_an_image.main(size=64, count=700, steps=120)
    before = splats_fit_an_image.fit(splats_fit_an_image.photograph(64), count=700, steps=1)
    start = splats_fit_an_image.psnr(before, splats_fit_an_image.photograph(64))
    assert found > 29.5 and found > start + 8  # 30.6 dB on the machine on which this was written
    assert imageio.imread(from_folder / "splats.png").shape == (64, 128, 3)


def test_rays_through_fog(device, from_folder, on_cpu):
    rows = ray_through_fog.main()
    for (samples, *coarse), (_, *fine) in itertools.pairwise(rows):
        for error, half in zip(coarse, fine, strict=True):  # midpoints: half the interval, a quarter of the error
            assert error / half == pytest.approx(4, rel=0.1), samples
    assert imageio.imread(from_folder / "fog.png").shape == (128, 256, 3)
    picture = ray_through_fog.picture()
    contrast = (picture[:16] - picture[16:32]).abs().sum(-1).mean(0)  # the wall's contrast fades as the transmittance does
    assert torch.allclose(contrast / contrast[0], ray_through_fog.closed_form(torch.linspace(0, 3, 256))[0].float(), atol=1e-3)


def test_a_hash_grid_fits_an_image(device, from_folder, on_cpu):
    target = splats_fit_an_image.photograph(96)
    found = hash_grid_fits_an_image.main(size=96, steps=120)
    level = splats_fit_an_image.psnr(target.mean((0, 1)).expand_as(target), target)
    assert found > 27 and found > level + 15
    assert imageio.imread(from_folder / "hash_grid.png").shape == (96, 192, 3)
