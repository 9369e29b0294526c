"""Maps of depth and normals beside the pictures."""

import numpy as np
import pytest
import torch
from PIL import Image

from reporting import report
from reporting.maps import depth_picture, normal_picture
from tests.reporting.fake_model import FakeModel, fake_run, small_split


class WithNormals(FakeModel):
    def render(self, cameras, view, background, with_depth=True, antialias=True, with_normal=False):
        rendering = super().render(cameras, view, background)
        if with_normal:
            rendering.normal = torch.tensor([0.0, 0.0, 1.0]).expand(rendering.image.shape)
        return rendering


@pytest.fixture(autouse=True)
def _short_measurements(monkeypatch):
    monkeypatch.setattr("reporting.evaluate.LEAST_SECONDS", 0.01)


def test_maps_are_in_folders_of_their_own_in_the_page_and_in_the_video(tmp_path):
    split = small_split(3)
    run = fake_run(tmp_path, evaluation=split, model=WithNormals(split), depth_maps=True, normal_maps=True)
    result = report(run)
    height, width = split.images[0].shape[:2]
    for name in ("depth", "normals"):
        files = sorted(path.name for path in (tmp_path / name).iterdir())
        assert files == ["000_r_0.png", "001_r_1.png", "002_r_2.png"] and result["files"][name] == name
        assert Image.open(tmp_path / name / files[0]).size == (width, height)
    assert result["video"]["width"] == 3 * (result["video"]["height"] // 2 * 2) * width // height
    page = (tmp_path / "report.html").read_text()
    assert "Depth and normals" in page and page.count('alt="000_r_0, ') == 2


def test_a_report_without_maps_removes_those_of_an_earlier_one(tmp_path):
    split = small_split(2)
    report(fake_run(tmp_path, evaluation=split, model=WithNormals(split), depth_maps=True))
    result = report(fake_run(tmp_path, evaluation=split, model=WithNormals(split)))
    assert not list((tmp_path / "depth").iterdir()) and "depth" not in result["files"]


def test_maps_lie_over_the_background():
    split = small_split(1)
    with torch.no_grad():
        rendering = WithNormals(split).render(split.cameras, 0, "white", with_normal=True)
    outside = (rendering.alpha == 0).numpy()
    assert outside.any() and not outside.all()
    for picture in (depth_picture(rendering, "white", 0.0, 5.0), normal_picture(rendering, "white")):
        assert (picture[outside] == 255).all() and not (picture[~outside] == 255).all()
    assert (normal_picture(rendering, "black")[rendering.alpha.numpy() == 1] == np.array([128, 128, 255])).all()
