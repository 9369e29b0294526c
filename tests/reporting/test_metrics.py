"""PSNR, SSIM and LPIPS against values worked out by hand."""

import math
import sys
import types

import pytest
import torch

from reporting import metrics
from reporting.evaluate import evaluate, measure_speed
from tests.reporting.fake_model import FakeModel, small_split


def test_psnr_of_a_constant_difference():
    true = torch.full((4, 6, 3), 0.5)
    assert metrics.psnr(true + 0.1, true) == pytest.approx(20.0, abs=1e-4)  # mse 0.01
    assert metrics.psnr(true - 0.01, true) == pytest.approx(40.0, abs=1e-3)  # mse 0.0001


def test_psnr_of_one_wrong_channel_of_one_pixel():
    true = torch.zeros(2, 5, 3)
    predicted = true.clone()
    predicted[1, 2, 0] = 1.0  # one of 30 values is off by 1
    assert metrics.psnr(predicted, true) == pytest.approx(10 * math.log10(30), abs=1e-9)


def test_psnr_clamps_first():
    true = torch.ones(3, 3, 3)
    assert metrics.psnr(true * 7, true) == math.inf
    assert metrics.psnr(torch.full((3, 3, 3), -5.0), true) == pytest.approx(0.0)


def test_psnr_of_equal_and_of_undefined_pictures():
    true = torch.rand(3, 4, 3)
    assert metrics.psnr(true, true) == math.inf
    assert math.isnan(metrics.psnr(torch.full_like(true, math.nan), true))


def test_pictures_of_two_sizes_are_refused():
    with pytest.raises(ValueError, match="differ in shape"):
        metrics.psnr(torch.zeros(3, 4, 3), torch.zeros(4, 3, 3))
    with pytest.raises(ValueError, match="differ in shape"):
        metrics.ssim(torch.zeros(13, 14, 3), torch.zeros(14, 13, 3))


def test_ssim_of_constant_pictures_is_the_luminance_term():
    a, b = 0.3, 0.7
    c1 = 0.01**2  # (K1 L)^2; without variance the structure term is C2 / C2
    expected = (2 * a * b + c1) / (a * a + b * b + c1)
    assert metrics.ssim(torch.full((16, 20, 3), a), torch.full((16, 20, 3), b)) == pytest.approx(expected, abs=1e-5)


def test_ssim_of_equal_and_of_inverted_pictures():
    checks = ((torch.arange(24)[:, None] + torch.arange(20)) % 2).float()[..., None].expand(-1, -1, 3)
    assert metrics.ssim(checks, checks) == pytest.approx(1.0)
    assert metrics.ssim(1 - checks, checks) < -0.9


def test_ssim_needs_a_picture_of_its_windows_size():
    assert metrics.ssim(torch.zeros(10, 30, 3), torch.zeros(10, 30, 3)) is None
    assert metrics.ssim(torch.zeros(11, 11, 3), torch.zeros(11, 11, 3)) == pytest.approx(1.0)


def test_lpips_without_its_package(monkeypatch):
    monkeypatch.setattr(metrics.importlib.util, "find_spec", lambda name: None)
    measure, note = metrics.lpips_or_none()
    assert measure is None
    assert "not installed" in note


def test_lpips_never_starts_a_download(monkeypatch, tmp_path):
    class Network:
        def __init__(self, **_):
            raise AssertionError("would fetch the trunk")

    _pretend_lpips(monkeypatch, tmp_path, Network)
    measure, note = metrics.lpips_or_none()
    assert measure is None
    assert "vgg16" in note


def test_lpips_with_weights_gets_pictures_in_its_range(monkeypatch, tmp_path):
    class Network:
        def __init__(self, net, verbose):
            assert net == "vgg"

        def eval(self):
            return self

        def __call__(self, a, b):
            assert a.shape == b.shape == (1, 3, 5, 4)
            return (a - b).abs().mean().reshape(1, 1, 1, 1)

    _pretend_lpips(monkeypatch, tmp_path, Network)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "vgg16-397923af.pth").touch()
    measure, note = metrics.lpips_or_none()
    assert measure(torch.zeros(5, 4, 3), torch.ones(5, 4, 3)) == 2.0  # from -1 to 1
    assert "vgg" in note


def _pretend_lpips(monkeypatch, folder, network):
    module = types.ModuleType("lpips")
    module.LPIPS = network
    monkeypatch.setitem(sys.modules, "lpips", module)
    monkeypatch.setattr(metrics.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(folder))


def test_evaluation_averages_over_views_and_hands_each_one_on():
    split = small_split(3)
    given = []
    quality = evaluate(FakeModel(split, 0.1), split, "white", on_view=lambda *view: given.append(view))
    assert quality.psnr == pytest.approx(20.0, abs=1e-3)
    assert [v.name for v in quality.views] == [view[3].name for view in given] == ["r_0", "r_1", "r_2"]
    assert torch.equal(given[2][2], split.picture(2, "white"))
    with pytest.raises(ValueError, match="no views"):
        evaluate(FakeModel(split), split.subset([]), "black")


def test_mean_psnr_is_the_mean_of_the_views_not_of_their_errors():
    split = small_split(2)

    class Uneven(FakeModel):
        def render(self, cameras, view, background, with_depth=True, antialias=True, with_normal=False):
            self.offset = (0.1, 0.01)[view]
            return super().render(cameras, view, background)

    assert evaluate(Uneven(split), split, "black").psnr == pytest.approx(30.0, abs=1e-3)  # (20 + 40) / 2


def test_speed_is_measured_on_all_views_or_on_spread_ones_where_rendering_is_slow(monkeypatch):
    clock = iter(range(10_000))
    monkeypatch.setattr("reporting.evaluate.time.perf_counter", lambda: float(next(clock)))  # a pass takes 1 s
    split = small_split(5)
    model = FakeModel(split)
    speed = measure_speed(model, split, "black", seconds_per_view=0.001)
    assert (speed.views, speed.passes, speed.fps) == (5, 3, 5.0)
    assert model.rendered == [0, *range(5), *range(5), *range(5)]  # a warm-up, then whole passes
    model = FakeModel(split)
    speed = measure_speed(model, split, "black", seconds_per_view=2.4)  # 15 s pay for 3 passes of 2 views
    assert speed.views == 2
    assert model.rendered == [0, 0, 2, 0, 2, 0, 2]


def turned(degrees: float) -> torch.Tensor:
    """A 2 x 2 picture of unit vectors, turned from z towards x."""
    angle = math.radians(degrees)
    return torch.tensor([math.sin(angle), 0, math.cos(angle)]).expand(2, 2, 3).clone()


def test_normals_error_is_the_mean_angle_where_both_alphas_are():
    true, ones = turned(0), torch.ones(2, 2)
    assert metrics.normal_error(turned(30), ones, true, ones) == pytest.approx(30, abs=1e-4)
    assert metrics.normal_error(turned(0.01), ones, true, ones) == pytest.approx(0.01, abs=1e-5)
    assert metrics.normal_error(true, ones, true, ones) == 0
    predicted = torch.stack([turned(10)[0], turned(40)[0]])
    alpha, true_alpha = torch.tensor([[1.0, 0.5], [0.0, 0.5]]), torch.tensor([[1.0, 1.0], [1.0, 0.5]])
    weights = torch.tensor([1, 0.5, 0, 0.25])
    expected = (10 * (1 + 0.5) + 40 * 0.25) / float(weights.sum())
    assert metrics.normal_error(3 * predicted, alpha, true, true_alpha) == pytest.approx(expected, abs=1e-4)


def test_normals_that_are_missing_are_skipped_or_wrong():
    true, ones = turned(0), torch.ones(2, 2)
    predicted = turned(20)
    true[0, 0] = 0  # no true normal: not counted
    predicted[0, 0] = torch.tensor([0, 0, -1.0])
    assert metrics.normal_error(predicted, ones, true, ones) == pytest.approx(20, abs=1e-4)
    predicted[0, 1], predicted[1, 0] = 0, math.nan
    assert metrics.normal_error(predicted, ones, true, ones) == pytest.approx((90 + 90 + 20) / 3, abs=1e-4)
    assert metrics.normal_error(predicted, 0 * ones, true, ones) is None
    with pytest.raises(ValueError, match="differ in shape"):
        metrics.normal_error(predicted, ones[:1], true, ones)
