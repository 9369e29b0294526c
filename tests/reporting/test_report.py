"""What a run folder holds when the report is done."""

import errno
import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from PIL import Image

from datasets.normal_maps import encoded_normals
from datasets.scales import at_scales
from models.rendering import Rendering
from reporting import closing_lines, four_lines, report
from reporting.environment import git_commit, peak_memory_mib
from reporting.html import _jpeg, duration, large_views
from reporting.pictures import ERROR_SCALE, error_picture, panels_of, picture_name, save_comparison
from reporting.plot import training_plot
from settings.errors import CannotWrite
from system.files import atomic, to_jsonable, write_json
from tests.reporting.fake_model import FakeModel, fake_run, small_split

HOSTILE = "<script>alert('x')</script> & \"r\""


@pytest.fixture(autouse=True)
def _short_measurements(monkeypatch):
    monkeypatch.setattr("reporting.evaluate.LEAST_SECONDS", 0.01)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """One report, made once: its folder and the returned dict."""
    folder = tmp_path_factory.mktemp("run") / "deeper"
    split = small_split(5, names=[HOSTILE, "r_1", "r_2", "./test/r_3", "r_4"])
    run = fake_run(folder, evaluation=split, scene_name=HOSTILE, warnings=["One picture was skipped."])
    run.options["note"] = HOSTILE
    return folder, report(run)


def test_four_lines_have_the_exact_form():
    figures = {"psnr_db": 34.7049, "training_seconds": 148.588, "fps": 120.0123, "model_bytes": 7_675_576}
    assert four_lines(figures) == (
        "Training time: 148.59 s\nRendering quality: 34.70 dB\nRendering speed: 120.01 fps\nModel size: 7.32 MB"
    )
    assert "Rendering quality: inf dB" in four_lines(figures | {"psnr_db": None, "psnr_text": "inf"})


def test_report_json_is_valid_and_complete(done):
    folder, returned = done

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    stored = json.loads((folder / "report.json").read_text(encoding="utf-8"), parse_constant=refuse)
    assert stored == returned
    figures = stored["figures"]
    assert figures["psnr_db"] == pytest.approx(20.0, abs=1e-3)
    assert 0 < figures["ssim"] < 1
    assert figures["fps"] > 0
    assert figures["points"] == 7
    assert figures["model_bytes"] == 7_675_576
    assert (figures["training_seconds"], figures["compile_seconds"]) == (148.588, 1.5)
    assert (figures["hull_seconds"], figures["evaluation_seconds"]) == (4.25, 12.0)
    assert figures["peak_memory_mib"] > 50
    size = {"name": "paper", "views": 5, "width": 36, "height": 24, "same_size": True, "background": "black"}
    assert stored["protocol"] == size
    run = {
        "seed": 11,
        "device": "cpu",
        "threads": 2,
        "stages": "base 5 epochs, refine 5",
        "size_label": ["points", "points"],
        "interrupted": False,
    }
    assert stored["run"] == run
    assert stored["environment"]["versions"]["torch"] == torch.__version__
    assert "git_commit" in stored["environment"]
    assert len(stored["history"]) == 10
    assert stored["options"]["data_r"] == 0.08
    assert "LPIPS" in " ".join(stored["notes"])


def test_run_folder_is_complete_and_nothing_half_written_is_left(done):
    folder, result = done
    names = {p.name for p in folder.iterdir()}
    assert names == {"report.json", "report.html", "orbit.mp4", "points.ply", "pictures"}
    pictures = sorted(p.name for p in (folder / "pictures").iterdir())
    assert len(pictures) == 5
    assert pictures[1] == "001_r_1_20.00dB.png"
    assert all(re.fullmatch(r"[\w.-]+", name) for name in pictures)
    assert result["files"]["video"] == "orbit.mp4"


class _Page(HTMLParser):
    """Collects the files that a page loads, its words and its number of scripts."""

    def __init__(self):
        super().__init__()
        self.loads, self.tags, self.words = [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.loads += [v for k, v in attributes if k in ("src", "href", "poster", "data", "srcset", "action")]

    def handle_data(self, data):
        self.words.append(data)


def test_page_is_self_contained(done):
    folder, _ = done
    text = (folder / "report.html").read_text(encoding="utf-8")
    page = _Page()
    page.feed(text)
    assert len(page.loads) > 20
    assert all(load.startswith("data:") for load in page.loads)
    assert not re.search(r"https?://|@import|url\(", re.sub(r"data:[^\"]+", "", text).replace("url(#", "("))
    assert len(text) < 10_000_000


def test_page_escapes_what_the_user_named(done):
    folder, _ = done
    text = (folder / "report.html").read_text(encoding="utf-8")
    page = _Page()
    page.feed(text)
    assert "<script>alert" not in text
    assert [tag for tag, _ in page.tags].count("script") == 1  # the page's own
    assert HOSTILE in page.words  # and it reads as it was typed


def test_page_can_be_used_without_a_mouse_and_without_eyes(done):
    folder, _ = done
    page = _Page()
    page.feed((folder / "report.html").read_text(encoding="utf-8"))
    assert all(attributes.get("alt") for tag, attributes in page.tags if tag == "img")
    sliders = [a for tag, a in page.tags if tag == "input" and a.get("type") == "range"]
    assert len(sliders) == 1 and sliders[0]["aria-label"]
    tiles = [a for tag, a in page.tags if tag == "button" and a.get("class") == "tile"]
    assert len(tiles) == 5 and all(a["aria-label"] for a in tiles)


def test_page_says_the_figures_the_protocol_and_the_warnings(done):
    words = " ".join(_words(done[0] / "report.html"))
    for piece in ("148.59", "7.32", "20.00", "Protocol paper: 5 views, 36×24 px, black background"):
        assert piece in words
    assert "One picture was skipped." in words
    assert "interrupted" not in words


def _words(path):
    page = _Page()
    page.feed(path.read_text(encoding="utf-8"))
    return page.words


def test_interrupted_run_with_one_view_and_no_history_still_reports(tmp_path):
    run = fake_run(tmp_path, evaluation=small_split(1), history=[], artifacts=[], interrupted=True)
    result = report(run)
    assert "interrupted" in result["warnings"][0]
    assert "points" not in result["files"]
    assert not (tmp_path / "points.ply").exists()
    assert "interrupted" in " ".join(_words(tmp_path / "report.html"))


def test_perfect_and_broken_views_are_told_not_written_as_infinity(tmp_path):
    split = small_split(3)

    class Odd(FakeModel):
        def render(self, cameras, view, background, with_depth=True, antialias=True, with_normal=False):
            self.offset = 0.0
            rendering = super().render(cameras, view, background)
            if cameras is self.split.cameras and view == 2:
                nothing = torch.full_like(rendering.image, math.nan)
                return Rendering(nothing, rendering.alpha, rendering.depth)
            return rendering

    result = report(fake_run(tmp_path, evaluation=split, model=Odd(split)))
    assert [v["psnr_db"] for v in result["views"]] == [None, None, None]
    assert [v["psnr_text"] for v in result["views"]] == ["inf", "inf", "nan"]
    assert "Rendering quality: nan dB" in four_lines(result["figures"])
    assert any("infinite" in note for note in result["notes"])


def test_failed_video_costs_a_warning_not_the_report(tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError("no encoder\nlong log")

    monkeypatch.setattr("reporting.video.imageio.get_writer", lambda *_, **__: fail())
    (tmp_path / "orbit.mp4").write_bytes(b"of an earlier run")
    result = report(fake_run(tmp_path))
    assert result["warnings"] == ["The orbit video could not be made (no encoder)."]
    assert not (tmp_path / "orbit.mp4").exists()
    assert (tmp_path / "report.json").exists()


def test_a_full_disk_and_a_failed_rendering_are_no_faults_of_the_encoder(tmp_path, monkeypatch):
    def fails_with(problem):
        def fail(*_, **__):
            raise problem

        return fail

    with monkeypatch.context() as patch:
        patch.setattr("reporting.video.first_frame", fails_with(OSError(errno.ENOSPC, "No space left on device")))
        with pytest.raises(CannotWrite, match=r"cannot write .*orbit\.mp4 \(No space left on device\)"):
            report(fake_run(tmp_path))
    monkeypatch.setattr("reporting.video.frame", fails_with(RuntimeError("a kernel failed")))
    with pytest.raises(RuntimeError, match="a kernel failed"):
        report(fake_run(tmp_path))
    assert not list(tmp_path.glob("*orbit*"))


def test_second_report_leaves_no_pictures_of_the_first(tmp_path, monkeypatch):
    monkeypatch.setattr("reporting.video.imageio.get_writer", lambda *_, **__: _raise())
    split = small_split(2)
    report(fake_run(tmp_path, evaluation=split))
    (tmp_path / "pictures" / "mine.png").touch()
    report(fake_run(tmp_path, evaluation=split, model=FakeModel(split, 0.01)))
    names = sorted(p.name for p in (tmp_path / "pictures").iterdir())
    assert names == ["000_r_0_40.00dB.png", "001_r_1_40.00dB.png", "mine.png"]


def _raise():
    raise OSError("none here")


def test_comparison_holds_the_three_panels_exactly(tmp_path):
    true = torch.zeros(6, 8, 3)
    predicted = true.clone()
    predicted[2, 3] = torch.tensor([0.6, 0.0, 0.0])  # mean difference 0.2: the end of the scale
    path = save_comparison(tmp_path, 4, "a/b c", 12.341, predicted, true)
    assert path.name == "004_a_b_c_12.34dB.png"
    shown, truth, error = (np.asarray(panel) for panel in panels_of(path))
    assert shown.shape == truth.shape == error.shape == (6, 8, 3)
    assert shown[2, 3].tolist() == [153, 0, 0]
    assert truth.max() == 0
    assert error[2, 3].sum() > 600 and error[0, 0].sum() < 10  # magma: black to pale yellow
    with Image.open(path) as picture:
        assert f"0 to {ERROR_SCALE}" in picture.text["Description"]


def test_error_scale_is_fixed_and_ends_in_saturation():
    true = torch.zeros(1, 3, 3)
    steps = torch.tensor([0.1, ERROR_SCALE, 1.0])[None, :, None].expand(1, 3, 3)
    half, end, beyond = error_picture(steps, true)[0].tolist()
    assert end == beyond != half


def test_names_of_pictures_are_safe_everywhere():
    assert picture_name(0, "../..", math.inf) == "000_view_infdB.png"
    assert len(picture_name(7, "x" * 500, 1.0)) < 120


def test_best_median_and_worst_view(tmp_path):
    views = [{"name": f"v{i}", "psnr_db": p, "psnr_text": f"{p:.2f}", "ssim": None} for i, p in enumerate([21.0, 30.0, 25.0])]
    pictures = [
        save_comparison(tmp_path, i, v["name"], 1.0, torch.zeros(2, 2, 3), torch.zeros(2, 2, 3)) for i, v in enumerate(views)
    ]
    shown = large_views(views, pictures)
    assert [(s.label, s.name) for s in shown] == [("Best view", "v1"), ("Median view", "v2"), ("Worst view", "v0")]
    assert [s.name for s in large_views(views[:1], pictures[:1])] == ["v0"]
    views[0] |= {"psnr_db": None, "psnr_text": "inf"}
    assert large_views(views, pictures)[0].name == "v0"


def test_plot_follows_the_page_and_leaves_gaps():
    history = [
        {"seconds": float(i), "train_psnr": 20.0, "validation_psnr": None, "points": 5, "stage": "<b>$x_1$"} for i in range(1, 4)
    ]
    svg = training_plot(history, ("points", "points"))
    assert svg.startswith("<svg") and "var(--accent)" in svg
    assert "&lt;b&gt;$x_1$" in svg
    assert "training views" in svg and "validation views" not in svg
    assert training_plot([], None) is None
    assert training_plot(history, None).count("<svg") == 1


def test_stage_names_that_would_run_into_each_other_are_left_out():
    stages = ["the first stage of all", "hurried", "the last"]
    history = [{"seconds": s, "points": 1, "stage": n} for s, n in zip([1.0, 2.0, 100.0], stages, strict=True)]
    svg = training_plot(history, ("points", "points"))
    assert stages[0] in svg and "hurried" not in svg and "the last" not in svg
    history[1]["seconds"] = 50.0
    svg = training_plot(history, ("points", "points"))
    assert "hurried" not in svg and "the last" in svg


def test_interrupted_write_keeps_the_old_file(tmp_path):
    path = tmp_path / "report.json"
    write_json(path, {"a": 1})
    with pytest.raises(ZeroDivisionError), atomic(path) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert json.loads(path.read_text()) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["report.json"]


def test_plain_turns_everything_into_json_types(tmp_path):
    value = {1: torch.tensor([1.5, math.inf]), "p": tmp_path, "n": np.float32(2), "t": (np.int64(3), math.nan, True)}
    assert to_jsonable(value) == {"1": [1.5, None], "p": str(tmp_path), "n": 2.0, "t": [3, None, True]}


def test_durations_read_like_speech():
    assert [duration(s) for s in (0.84, 42.4, 59.7, 148.6, 3780)] == ["0.8 s", "42 s", "1 min 00 s", "2 min 29 s", "1 h 03 min"]


def test_commit_is_none_outside_a_repository(tmp_path):
    assert git_commit(tmp_path) is None


def test_peak_memory_grows_with_what_is_held():
    before = peak_memory_mib()
    ballast = np.ones(int(before + 60) * 2**17)  # 8 bytes each: as much again and 60 MiB
    assert peak_memory_mib() >= before + 40
    assert ballast[0] == 1


def test_noise_is_encoded():
    """Pictures whose JPEG has more than one byte per pixel."""
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (378, 504, 3), dtype=np.uint8))
    assert len(_jpeg(noise, 95)[1]) > 378 * 504


def test_views_of_several_sizes_have_figures_by_size(tmp_path):
    split = at_scales(small_split(2))

    class Scaled(FakeModel):
        def render(self, cameras, view, background, with_depth=True, antialias=True, with_normal=False):
            if cameras is self.split.cameras:
                self.offset = 0.1 / split.scales[view]
            return super().render(cameras, view, background)

    result = report(fake_run(tmp_path, evaluation=split, model=Scaled(split)))
    rows = result["scales"]
    assert [row["scale"] for row in rows] == [1, 2, 4, 8]
    assert [row["psnr_db"] for row in rows] == pytest.approx([20 + 20 * math.log10(scale) for scale in (1, 2, 4, 8)], abs=1e-3)
    assert rows[0]["ssim"] is not None and rows[-1]["ssim"] is None  # smaller than the window
    lines = closing_lines(result, tmp_path)
    assert "PSNR by size: full: 20.00 dB, 1/2: 26.02 dB, 1/4: 32.04 dB, 1/8: 38.06 dB" in lines
    page = (tmp_path / "report.html").read_text()
    assert "By size" in page and "26.02" in page


class ModelWithNormals(FakeModel):
    """Its normals are turned by 12.3 degrees from the split's, which are z everywhere."""

    def render(self, cameras, view, background, with_depth=True, antialias=True, with_normal=False) -> Rendering:
        rendering = super().render(cameras, view, background, with_depth, antialias, with_normal)
        if with_normal:
            turn = math.radians(12.3)
            rendering.normal = torch.tensor([0, math.sin(turn), math.cos(turn)]).expand_as(rendering.image)
        return rendering


def split_with_normals():
    split = small_split(2)
    upward = np.broadcast_to(encoded_normals(np.array([0.0, 0, 1])), (2, 24, 36, 3))
    return replace(split, normals=upward)


def test_the_normals_error_is_in_the_report(tmp_path):
    split = split_with_normals()
    written = report(fake_run(tmp_path, evaluation=split, model=ModelWithNormals(split)))
    assert written["figures"]["normal_degrees"] == pytest.approx(12.3, abs=0.35)  # 8 bits
    assert [view["normal_degrees"] for view in written["views"]] == [pytest.approx(written["figures"]["normal_degrees"])] * 2
    text = f"{written['figures']['normal_degrees']:.1f}°"
    assert f"\nnormals: mean angular error {text}\n" in closing_lines(written, tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert f"<dt>Normals, mean angular error</dt><dd>{text}</dd>" in page and "Normals (°)" in page
    assert any("weighted by the true alpha times the rendered one" in note for note in written["notes"])


def test_a_report_says_that_normals_were_not_measured(tmp_path):
    split = split_with_normals()
    written = report(fake_run(tmp_path / "a", evaluation=split))
    assert written["figures"]["normal_degrees"] is None
    assert "Normals were not measured: the model has none." in written["notes"]
    assert "normals:" not in closing_lines(written, tmp_path)
    assert "Normals," not in (tmp_path / "a/report.html").read_text(encoding="utf-8")
    plain = small_split(2)
    written = report(fake_run(tmp_path / "b", evaluation=plain, model=ModelWithNormals(plain), normal_maps=True))
    assert "Normals were not measured: the data have none." in written["notes"]
