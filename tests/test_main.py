"""The program as its user sees it: one command on a small built-in scene, and mistakes."""

import importlib
import json
import os
import re
import signal

import pytest
import torch

import main
from datasets.demo import DemoSettings, make_demo
from methods.points.run import PointRun, load_weights
from methods.points.task import PointTask
from models.points import PointCloud
from reporting.ply import load_ply
from system import files, run_lock
from training.checkpoint import save_weights


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scene") / "island"
    make_demo(folder, DemoSettings(width=64, height=56, train_views=30, val_views=1, test_views=4), quiet=True)
    return folder


def test_trains_and_reports(scene, tmp_path, capsys):
    """One command from pictures to report, then the same command again, and the report alone."""
    run = tmp_path / "deep" / "run"
    words = ["--datadir", str(scene), "--basedir", str(run), "--epochs", "40", "--device", "cpu"]
    assert main.main(words) == 0
    lines = capsys.readouterr().out.strip().splitlines()[-4:]
    patterns = [
        r"Training time: \d+\.\d\d s",
        r"Rendering quality: (\d+\.\d\d) dB",
        r"Rendering speed: \d+\.\d\d fps",
        r"Model size: \d+\.\d\d MB",
    ]
    found = [re.fullmatch(pattern, line) for pattern, line in zip(patterns, lines, strict=True)]
    assert all(found), lines
    assert float(found[1].group(1)) > 25, lines  # 26.0; with frozen positions 24.3, with frozen colours 22.3
    report = json.loads((run / "report.json").read_text())
    assert "all 4 test views" in report["protocol"]["name"]
    assert len(list((run / "pictures").glob("*.png"))) == 4
    kept = ("config.txt", "checkpoint.pt", "weights.pt", "log.txt", "orbit.mp4", "points.ply", "report.html", "outlines.png")
    for name in kept:
        assert (run / name).stat().st_size > 0, name
    cloud, ply = load_weights(run / "weights.pt", "cpu"), load_ply(run / "points.ply")
    assert torch.equal(ply["positions"], cloud.positions.detach()) and torch.equal(ply["sh"], cloud.sh.detach())
    # the same command again finds nothing left to train and reports the same quality
    assert main.main(words) == 0
    assert capsys.readouterr().out.strip().splitlines()[-3] == lines[1]
    before = (run / "weights.pt").read_bytes()
    for more in (["--render_only"], ["--render_only", "--ft_path", str(run / "points.ply")]):
        assert main.main([*words, *more]) == 0
        shown = capsys.readouterr().out.strip().splitlines()
        assert shown[-3] == lines[1] and f"protocol: {report['protocol']['name']}" in shown
    assert (run / "weights.pt").read_bytes() == before
    # another seed and length on the command line do not change how the model was made
    assert main.main([*words[:4], "--render_only", "--seed", "9", "--device", "cpu"]) == 0
    again = json.loads((run / "report.json").read_text())
    assert again["run"]["seed"] == 0 and again["run"]["stages"] == report["run"]["stages"]
    assert again["options"]["epochs"] == 40


@pytest.mark.parametrize(
    "words, sentence",
    [
        (["--datadir", "/nonexistent"], "transforms_train.json"),
        (["--i_print", "8"], "has no meaning here"),
        (["--data_r", "-1"], "--data_r"),
        (["--datadir", "{scene}", "--img_s", "640"], "larger"),
        (["--datadir", "{scene}", "--ft_path", "/nonexistent.pt"], "no such file"),
        (["--datadir", "{scene}", "--basedir", "{scene}/transforms_train.json/run"], "is not a folder"),
    ],
)
def test_mistakes_are_reported_in_one_sentence(scene, tmp_path, capsys, words, sentence):
    run = tmp_path / "run"
    words = [word.replace("{scene}", str(scene)) for word in words]
    assert main.main(["--basedir", str(run), *words, "--device", "cpu"]) == 2
    captured = capsys.readouterr()
    assert sentence in captured.err and "Traceback" not in captured.err
    assert not run.exists()


@pytest.mark.parametrize("folder", ["/proc/run", "a" * 300, "{run}/report.html/x"])
def test_folders_that_cannot_be_made_are_one_sentence(scene, tmp_path, capsys, folder):
    (tmp_path / "report.html").touch()
    folder = folder.replace("{run}", str(tmp_path))
    assert main.main(["--datadir", str(scene), "--basedir", folder, "--device", "cpu"]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and told.startswith("main.py: "), told


def test_a_folder_in_use_is_one_sentence(scene, tmp_path, capsys):
    """Also to --render_only, which writes the report."""
    words = ["--datadir", str(scene), "--basedir", str(tmp_path), "--device", "cpu"]
    with run_lock.held(tmp_path):
        for more in ([], ["--render_only"]):
            assert main.main([*words, *more]) == 2
            told = capsys.readouterr().err
            assert "is in use by another run (host " in told and told.count("\n") == 1, told
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("fails", ["weights.pt", "points.ply", "report.html", "report.json", "config.txt"])
def test_a_full_disk_is_one_sentence_and_the_same_command_goes_on(scene, tmp_path, capsys, monkeypatch, fails):
    monkeypatch.setattr("reporting.assemble.try_orbit", lambda *_, **__: (None, ""))
    words = ["--datadir", str(scene), "--basedir", str(tmp_path), "--epochs", "1", "--img_s", "16", "--device", "cpu"]
    replace = files.os.replace

    def full(source, target):
        if target.name == fails:
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(files.os, "replace", full)
    assert main.main(words) == 2
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert told == (
        f"main.py: cannot write {tmp_path / fails} (No space left on device): free some space there, and give the "
        "same command again"
    )
    assert not [path for path in tmp_path.rglob("*") if "partial" in path.name or path.name in (fails, "run.lock")]
    monkeypatch.setattr(files.os, "replace", replace)
    assert main.main(words) == 0 and (tmp_path / "report.json").is_file()


def test_one_value_that_is_not_a_number_is_reported(scene, tmp_path, capsys):
    words = ["--datadir", str(scene), "--basedir", str(tmp_path), "--img_s", "16", "--device", "cpu"]
    cloud = PointCloud(torch.zeros(4, 3), torch.full((4, 3), 0.5), torch.zeros(4, 9, 3), 0.1)
    with torch.no_grad():
        cloud.base[2, 1] = float("nan")
    save_weights(tmp_path, PointRun(model=cloud).weights())
    assert main.main([*words, "--render_only"]) == 2
    assert "weights.pt: base[2, 1] is nan, which is not a finite number" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["weights.pt"]


@pytest.mark.parametrize(
    ("number", "code", "where"),
    [
        (signal.SIGTERM, 75, "system.ranks.check"),
        (signal.SIGINT, 130, "datasets.load"),
        (signal.SIGUSR1, 75, "datasets.pictures.read_picture"),
        (signal.SIGINT, 130, "training.loop.save_config"),
        (signal.SIGTERM, 75, "training.checkpoint.save_weights"),
        (signal.SIGINT, 130, "reporting.evaluate.psnr"),
        (signal.SIGTERM, 75, "reporting.video.frame"),
        (signal.SIGUSR1, 75, "reporting.cloud.save_ply"),
        (signal.SIGTERM, 75, "reporting.html.training_plot"),
    ],
)
def test_a_signal_ends_the_run_in_every_phase(scene, tmp_path, monkeypatch, capsys, where, number, code):
    """Afterwards it means again what it meant, and the same command makes the report."""
    room, _, name = where.rpartition(".")
    module, before = importlib.import_module(room), signal.getsignal(number)
    users = [user for user in (module, importlib.import_module("reporting.assemble")) if hasattr(user, name)]
    original = getattr(module, name)

    def told(*given, **settings):
        os.kill(os.getpid(), number)  # also from another thread
        return original(*given, **settings)

    words = ["--datadir", str(scene), "--basedir", str(tmp_path), "--device", "cpu", "--epochs", "1", "--img_s", "32"]
    with monkeypatch.context() as patch:
        for user in users:
            patch.setattr(user, name, told)
        assert main.main(words) == code
    said = capsys.readouterr()
    assert f"stopped by {signal.Signals(number).name}" in said.err and not said.out
    assert signal.getsignal(number) is before
    assert not (tmp_path / "report.json").exists() and not list(tmp_path.rglob(".*"))
    if where == "reporting.video.frame":
        assert main.main(words) == 0 and (tmp_path / "report.json").is_file()


def test_ctrl_c_in_training_saves_and_reports(scene, tmp_path, monkeypatch, capsys):
    steps, original = [], PointTask.step

    def told(task):
        steps.append(1)
        if len(steps) == 40:  # of 30 views an epoch
            signal.raise_signal(signal.SIGINT)
        return original(task)

    words = ["--datadir", str(scene), "--device", "cpu", "--epochs", "2", "--img_s", "32", "--basedir"]
    with monkeypatch.context() as patch:
        patch.setattr(PointTask, "step", told)
        assert main.main([*words, str(tmp_path / "cut")]) == 130
    said = capsys.readouterr()
    assert len(steps) == 40 and "interrupted" in said.err and "Model size" in said.out
    assert json.loads((tmp_path / "cut" / "report.json").read_text())["run"]["interrupted"]
    for run in ("cut", "whole"):
        assert main.main([*words, str(tmp_path / run)]) == 0
    assert (tmp_path / "cut" / "weights.pt").read_bytes() == (tmp_path / "whole" / "weights.pt").read_bytes()


@pytest.mark.parametrize("encoder", ["/nonexistent/ffmpeg", "/bin/true"])
def test_the_closing_lines_name_what_is_there(scene, tmp_path, monkeypatch, capsys, encoder):
    """Without a video, whose reason is on the console; also if a run is shown again that had one."""
    words = ["--datadir", str(scene), "--basedir", str(tmp_path), "--device", "cpu", "--epochs", "1", "--img_s", "32"]
    assert main.main(words) == 0
    shown = dict(line.split(": ") for line in capsys.readouterr().out.splitlines()[1].split("   "))
    names = {"report": "report.html", "pictures": "pictures", "video": "orbit.mp4", "points": "points.ply"}
    assert shown == {title: str(tmp_path / name) for title, name in names.items()}
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", encoder)
    for more in ([], ["--render_only"]):
        assert main.main([*words, *more]) == 0
        said = capsys.readouterr()
        assert "orbit.mp4" not in said.out and not (tmp_path / "orbit.mp4").exists()
        assert "warning: The orbit video could not be made" in said.err
        assert json.loads((tmp_path / "report.json").read_text())["files"]["video"] is None


def test_a_radiance_field_from_pictures_to_report(scene, tmp_path, capsys, monkeypatch):
    """One command, then the report alone; another method's run in the folder is recognised."""
    monkeypatch.setattr("reporting.video.RENDER_BUDGET", 1.0)  # so early the field is fog, which is slow to look through
    run = tmp_path / "field"
    words = ["--method", "nerf", "--datadir", str(scene), "--basedir", str(run), "--device", "cpu"]
    assert main.main([*words, "--N_iters", "40"]) == 0
    shown = capsys.readouterr().out.strip().splitlines()
    assert shown[0] == "protocol: standard"
    report = json.loads((run / "report.json").read_text())
    assert report["figures"]["psnr_db"] > 16 and "points" not in report["figures"] and report["method"] == "nerf"
    assert "rows of 4 features" in (run / "report.html").read_text()
    assert (run / "orbit.mp4").is_file() and not (run / "points.ply").exists()
    assert main.main([*words, "--render_only"]) == 0
    assert capsys.readouterr().out.strip().splitlines()[-3] == shown[-3]
    assert main.main([*words[2:], "--render_only"]) == 2
    assert "holds no point cloud" in capsys.readouterr().err
    assert main.main([*words[2:], "--epochs", "1"]) == 2
    assert "--method nerf, this one has points" in capsys.readouterr().err


def test_the_original_nerf_from_pictures_to_report(scene, tmp_path, capsys, monkeypatch):
    """Pictures and videos on the way, the report, and a preview of the finished run at half the size."""
    monkeypatch.setattr("reporting.video.RENDER_BUDGET", 1.0)
    size = ["--N_samples", "8", "--netdepth", "2", "--netwidth", "16", "--N_rand", "64"]
    words = ["--datadir", str(scene), "--basedir", str(tmp_path), "--expname", "small", "--device", "cpu", *size]
    assert main.main([*words, "--N_iters", "8", "--i_testset", "4", "--i_video", "8"]) == 0
    run = tmp_path / "small"
    report = json.loads((run / "report.json").read_text())
    assert report["options"]["field"] == "mlp" and report["options"]["N_iters"] == 8
    assert len(list((run / "testset_000004").iterdir())) == len(list((run / "pictures").iterdir())) > 0
    assert (run / "path_000008.mp4").is_file() and not (run / "path_000004.mp4").exists()
    capsys.readouterr()
    assert main.main([*words, "--render_only", "--render_factor", "2"]) == 0
    assert "shrunk 2 times" in capsys.readouterr().out
    preview = json.loads((run / "report.json").read_text())
    assert preview["protocol"]["width"] * 2 == report["protocol"]["width"]
    assert main.main([*words, "--render_only", "--render_factor", "2", "--antialias", "True"]) == 0
    assert json.loads((run / "report.json").read_text())["figures"]["psnr_db"] != preview["figures"]["psnr_db"]
    assert main.main([*words, "--render_only", "--protocol", "multiscale"]) == 0
    assert "PSNR by size: full: " in capsys.readouterr().out
