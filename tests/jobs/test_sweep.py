"""Sweeps: the meaning of a table, errors before anything is submitted, and the states of runs."""

import json

import pytest

import main
from jobs import submit
from jobs.collect import medians, row_of
from jobs.states import state_of
from jobs.sweep import SweepRun, read_runs, read_table, seeds_in, write_runs
from settings.errors import InputError
from system import signals

HEAD = "scene,method,flags,seeds\n"


def table(folder, *lines):
    path = folder / "table.csv"
    path.write_text(HEAD + "".join(f"{line}\n" for line in lines))
    return path


def test_a_table_is_scenes_times_methods_times_seeds(tmp_path):
    runs = read_table(table(tmp_path, "demo,points,--recipe paper,0-1 5", "demo,voxels,,0"), tmp_path / "sweep")
    assert [run.name for run in runs] == [
        "demo_points_recipe_paper_0",
        "demo_points_recipe_paper_1",
        "demo_points_recipe_paper_5",
        "demo_voxels_0",
    ]
    assert runs[3].words[:6] == ["--dataname", "demo", "--method", "nerf", "--field", "voxels"]
    write_runs(tmp_path / "sweep", runs)
    assert read_runs(tmp_path / "sweep") == runs


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("/nowhere/lego,points,,0", r"line 2: .*looked in /nowhere/lego"),
        ("demo,splats,,0", "splats.*choose one of points"),
        ("demo,points,--data_r 7,0", "--data_r"),
        ("demo,points,,", "no seed"),
        ("demo,points,,a-b", "numbers and ranges"),
        ("demo,points", "4 columns"),
        ("demo,points,--field mlp,0", "--field"),
    ],
)
def test_lines_that_are_wrong_are_told_with_their_number(tmp_path, line, sentence):
    with pytest.raises(InputError, match=sentence):
        read_table(table(tmp_path, line), tmp_path / "sweep")


def test_tables_that_are_wrong(tmp_path):
    with pytest.raises(InputError, match="twice"):
        read_table(table(tmp_path, "demo,points,,0", "demo,points,,0-1"), tmp_path)
    with pytest.raises(InputError, match="no run"):
        read_table(table(tmp_path), tmp_path)
    with pytest.raises(InputError, match="cannot read"):
        read_table(tmp_path / "none.csv", tmp_path)
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="first line"):
        read_table(tmp_path / "other.csv", tmp_path)
    with pytest.raises(InputError, match=r"no runs\.json"):
        read_runs(tmp_path)


def test_seeds():
    assert seeds_in("0-2, 7") == [0, 1, 2, 7]


def test_nothing_is_submitted_without_a_cluster_env_or_where_nothing_can_be_written(tmp_path, monkeypatch, capsys):
    called = []
    monkeypatch.setattr(submit, "_sbatch", lambda words: called.append(words) or "7")
    monkeypatch.setattr(submit, "in_queue", dict)  # whatever SLURM this machine has
    monkeypatch.setattr(submit, "ROOT", tmp_path)
    path = table(tmp_path, "demo,points,,0")
    assert submit.main([str(path), "--sweep", str(tmp_path / "sweep")]) == 2
    assert "cluster.env.example" in capsys.readouterr().err
    assert submit.main([str(path), "--sweep", str(path / "sweep")]) == 2
    assert "not a folder" in capsys.readouterr().err and not called and not (tmp_path / "sweep").exists()
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "cluster.env").write_text("SBATCH_PARTITION=\n")
    assert submit.main([str(path), "--sweep", str(tmp_path / "sweep"), "--at_once", "2", "--", "--time=5"]) == 0
    assert called[0][0] == "--array=0%2" and "--time=5" in called[0]
    assert (tmp_path / "sweep" / "demo_points_0" / "job.txt").read_text() == "7_0\n"


def report(folder, psnr, interrupted=False):
    folder.mkdir(parents=True, exist_ok=True)
    figures = {"psnr_db": psnr, "ssim": 0.9, "training_seconds": 10.0, "fps": 50.0, "model_bytes": 2 << 20}
    content = {"figures": figures, "run": {"interrupted": interrupted}, "protocol": {"name": "paper"}}
    (folder / "report.json").write_text(json.dumps(content))


def test_the_states_of_a_run(tmp_path, monkeypatch, capsys):
    run = SweepRun("demo", "points", 0, str(tmp_path / "demo_points_0"), [])
    assert state_of(run, {}, tmp_path).state == "not submitted"
    folder = tmp_path / "demo_points_0"
    folder.mkdir()
    (folder / "job.txt").write_text("12_0\n")
    (folder / "log.txt").write_text("epoch 1: train 20 dB\n")
    assert state_of(run, {"12_0": "PENDING"}, tmp_path).state == "queued"
    running = state_of(run, {"12_0": "RUNNING"}, tmp_path)
    assert (running.state, running.remark) == ("running", "epoch 1: train 20 dB")
    assert "does not say why" in state_of(run, {}, tmp_path).remark
    (tmp_path / "output").mkdir()
    (tmp_path / "output" / "12_0.out").write_text("training: 3%\nmain.py: --lr1 is out of range\n")
    assert state_of(run, {}, tmp_path) == type(running)("failed", "main.py: --lr1 is out of range", "12_0")
    monkeypatch.setattr(main, "run", lambda _: signals.stop_together("SIGUSR1"))
    assert main.main([]) == 75
    (tmp_path / "output" / "12_0.out").write_text(capsys.readouterr().err)
    assert state_of(run, {}, tmp_path).state == "stopped"
    (tmp_path / "output" / "12_0.out").write_text(
        f"slurmstepd: error: Detected 1 oom_kill event\n{folder} is in use (job 12): this job waits until that run ends\n"
    )
    assert state_of(run, {}, tmp_path).remark == "slurmstepd: error: Detected 1 oom_kill event"
    report(folder, 30.0, interrupted=True)
    assert state_of(run, {}, tmp_path).state == "failed"
    report(folder, 30.0)
    assert state_of(run, {}, tmp_path).state == "done"


def test_medians_over_seeds(tmp_path):
    runs = [SweepRun("demo", "points", seed, str(tmp_path / str(seed)), []) for seed in range(3)]
    for run, psnr in zip(runs, (30.0, 33.0, 31.0), strict=True):
        report(tmp_path / str(run.seed), psnr)
    (line,) = medians([row_of(run) for run in runs])
    assert line == ["demo", "points", "3", "31.00 (30.00 to 33.00)", "0.900", "10.0", "50.0", "2.0", "paper"]
