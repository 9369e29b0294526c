"""The study's grid, its table and its figure; the runs themselves are main.py's, tested elsewhere."""

import csv
import json

import pytest

from jobs import mask_study, study_table
from jobs.mask_study import Cell, grid, main
from jobs.study_table import finished, write_figure, write_table
from methods.command_line import parse
from settings.errors import InputError


def leave_report(folder, psnr=30.0, iou=None, interrupted=False):
    folder.mkdir(parents=True)
    figures = {"psnr_db": psnr, "ssim": 0.9, "points": 1000, "hull_iou": iou, "training_seconds": 5.0, "fps": 60.0}
    report = {"figures": figures, "run": {"interrupted": interrupted}, "protocol": {"name": "paper"}}
    (folder / "report.json").write_text(json.dumps(report))


def test_the_grid_goes_seed_by_seed_and_shares_clean_runs(tmp_path):
    cells = grid(["affine:0,.12", "erode:0,5", "no_masks"], ["paper", "default"], [0, 1])
    assert [cell.seed for cell in cells] == sorted(cell.seed for cell in cells) and len(cells) == 2 * (4 * 2 + 1)
    assert len({cell.folder(tmp_path) for cell in cells}) == 2 * (3 * 2 + 1)
    assert not [cell for cell in cells if cell.damage == "no_masks" and cell.method == "paper"]


@pytest.mark.parametrize("method", [*mask_study.METHODS, "fork at .8", "default at 1"])
def test_every_run_has_flags_that_the_program_takes(method):
    for damage, amount in (("affine", 0.0), ("affine", 0.12), ("jpeg", 80.0), ("empty", 0.1)):
        flags = Cell(damage, amount, method, 3).flags(["--data_r", ".08"])
        options = parse(["--dataname", "x", *flags])
        assert options.seed == 3 and options.data_r == (0.08 if options.recipe == "paper" else None)
        assert options.filter_consistency_ratio == (float(method.split()[-1]) if " at " in method else None)
        assert options.mask_corruption == (f"{damage}:{amount:g}" if amount else None)
    assert parse(["--dataname", "x", *Cell("no_masks", 1.0, "default", 0).flags([])]).no_masks


@pytest.mark.parametrize(
    "damages, methods",
    [
        (["blur:1"], ["paper"]),
        (["affine:2"], ["paper"]),
        (["affine:.1"], ["best"]),
        (["affine:.1"], ["best at 1"]),
        (["affine:.1"], ["paper at most"]),
    ],
)
def test_what_is_not_understood_is_refused(damages, methods):
    with pytest.raises(InputError):
        grid(damages, methods, [0])
    assert main(["--basedir", "x", *(f"--damage={d}" for d in damages), "--methods", "; ".join(methods), "--count"]) == 2


def test_only_whole_runs_count(tmp_path):
    leave_report(tmp_path / "a")
    leave_report(tmp_path / "b", interrupted=True)
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "report.json").write_text('{"figures"')
    assert [finished(tmp_path / name) for name in "abcd"] == [True, False, False, False]


def test_table_and_figure(tmp_path):
    cells = grid(["affine:0,.12"], ["paper", "default"], [0, 1])
    for index, cell in enumerate(cells[:-1]):
        leave_report(cell.folder(tmp_path), 30.0 - index, 0.5 if cell.amount else None)
    rows = write_table(tmp_path / "study.csv", {cell: cell.folder(tmp_path) for cell in cells})
    with (tmp_path / "study.csv").open() as file:
        written = list(csv.DictReader(file))
    assert len(rows) == len(written) == len(cells) - 1
    assert written[0]["hull_iou"] == "1.0" and written[2]["hull_iou"] == "0.5" and written[2]["amount"] == "0.12"
    write_figure(tmp_path / "study.png", rows)
    assert study_table._over_ratios(rows) == []
    assert (tmp_path / "study.png").stat().st_size > 5000


@pytest.mark.parametrize(
    "words, sentence",
    [
        (["--task", "9"], "numbered 0 to 3"),
        (["--jobs", "0"], "at least one"),
        (["--seeds", "a"], "whole numbers"),
        (["--seeds", "0,0"], "seed 0 is there twice"),
        (["--seeds", "4294967296"], "numbers and ranges"),
        (["--expname", "a"], "--expname moves"),
        (["--no_reload"], "start from the beginning"),
        (["--method=nerf"], "clouds of points"),
        (["--render_only"], "--render_only shows"),
        (["--bogus"], "not a flag"),
        (["--paper", "--bogus 1"], "not a flag"),
        (["--paper", "'a"], "quote"),
        (["--lr1", "100"], "out of range"),
        (["--methods", "paper at 5"], "'paper at 5' is not known"),
        (["--recipe", "paper"], "--recipe is set by the study"),
        (["--no_masks"], "--no_masks is set"),
        (["--config", "{file}.txt", "--damage=affine:0,.1"], "mask_corruption, in the file of --config"),
        (["--basedir", "{file}"], "file"),
    ],
)
def test_mistakes_are_one_sentence(tmp_path, capsys, words, sentence):
    (tmp_path / "file").write_text("")
    (tmp_path / "file.txt").write_text("mask_corruption = empty:.1")
    words = [word.format(file=tmp_path / "file") for word in words]
    flags = [
        "--basedir",
        str(tmp_path / "study"),
        "--damage",
        "affine:.1",
        "--seeds",
        "0,1",
        "--methods",
        "default; paper",
        "--dataname",
        "demo",
        *words,
    ]
    assert main(flags) == 2
    assert sentence in capsys.readouterr().err and not list((tmp_path).glob("study/runs"))


def test_only_the_default_recipe_trains_without_masks(tmp_path, capsys):
    assert main(["--basedir", str(tmp_path), "--damage", "no_masks", "--methods", "paper", "--count"]) == 2
    assert "no run is left" in capsys.readouterr().err


def test_flags_from_a_file_and_runs_of_another_scene(tmp_path, monkeypatch, capsys):
    (tmp_path / "program.py").write_text("import sys; print(sys.argv[1:])")
    monkeypatch.setattr(mask_study, "PROGRAM", tmp_path / "program.py")
    flags = tmp_path / "study.txt"
    grid_flags = '# the grid\n--damage affine:.1 --methods "paper at .9; default"'
    flags.write_text(f'--datadir "my scene" --basedir {tmp_path / "s"}\n{grid_flags}')
    assert main([f"@{flags}", "--count"]) == 0 and capsys.readouterr().out.strip() == "6"
    became = []
    monkeypatch.setattr(mask_study.os, "execv", lambda program, words: became.append(words))
    assert main([f"@{flags}", "--task", "0"]) == 0
    words = " ".join(became[0])
    assert "--datadir my scene" in words and "--filter_consistency_ratio .9" in words and "affine_0.1_paper_at_.9_0" in words
    flags.write_text(flags.read_text().replace("my scene", "another"))
    assert main([f"@{flags}", "--task", "0"]) == 2
    assert "holds runs made with --datadir 'my scene'" in capsys.readouterr().err


def test_runs_that_are_done_are_left_and_failures_are_told(tmp_path, monkeypatch, capfd):
    program = tmp_path / "program.py"
    program.write_text("import sys; print(sys.argv[1:]); sys.exit('--recipe paper' in ' '.join(sys.argv))")
    monkeypatch.setattr(mask_study, "PROGRAM", program)
    done = Cell("affine", 0.12, "default", 0).folder(tmp_path)
    leave_report(done)
    words = ["--basedir", str(tmp_path), "--damage", "affine:0,.12", "--methods", "default; paper", "--seeds", "0"]
    assert main([*words, "--datadir", "x"]) == 1
    assert not (done / "output.txt").exists()
    errors = capfd.readouterr().err
    assert "affine_0.12_paper_0" in errors and "clean_default" not in errors
    assert "'--datadir', 'x'" in (tmp_path / "runs" / "clean_default_0" / "output.txt").read_text()


def test_ratios_of_one_method_make_a_curve_over_the_ratio(tmp_path):
    cells = grid(["affine:0,.12"], ["paper", "paper at .9", "default"], [0, 1])
    for cell in cells:
        leave_report(cell.folder(tmp_path))
    rows = write_table(tmp_path / "study.csv", {cell: cell.folder(tmp_path) for cell in cells})
    [(label, curves)] = study_table._over_ratios(rows)
    assert "affine 0.12" in label and [x for x, _ in curves["paper"]] == [1.0, 0.9] * 2
    assert sorted(x for x, _ in curves["default, by itself"]) == [0.9, 0.9, 1.0, 1.0]
    [(damage, over)] = study_table._over_amounts(rows)
    assert damage == "affine" and sorted(x for x, _ in over["paper at .9"]) == [0.0, 0.0, 0.12, 0.12]
    write_figure(tmp_path / "study.png", rows)


STUDY = ["--damage", "affine:0,.12", "--methods", "default", "--seeds", "0", "--datadir", "x"]


@pytest.mark.parametrize(
    "content", ["", "[", "[" * 200_000, "null", "[]", '{"scene": 1, "paper": []}', '{"scene": ["a"]}', "\ufeff{"]
)
def test_a_damaged_memory_of_a_study_is_one_sentence(tmp_path, capsys, content):
    (tmp_path / "study.json").write_text(content)
    assert main(["--basedir", str(tmp_path), *STUDY]) == 2
    error = capsys.readouterr().err
    assert "study.json is damaged" in error and error.count("\n") == 1 and not (tmp_path / "runs").exists()


@pytest.mark.parametrize("content", ["", "{}", "[" * 200_000, '{"figures": NaN}', "null"])
def test_a_damaged_report_is_told_and_the_others_are_in_the_table(tmp_path, capsys, content):
    clean, damaged = (Cell("affine", amount, "default", 0).folder(tmp_path) for amount in (0.0, 0.12))
    leave_report(clean)
    leave_report(damaged)
    (damaged / "report.json").write_text(content)
    assert main(["--basedir", str(tmp_path), *STUDY, "--table"]) == 0
    shown = capsys.readouterr()
    assert "1 of 2 figures" in shown.out and f"left out: {damaged}/report.json" in shown.err


def test_figures_that_are_null_are_in_the_table_and_in_no_curve(tmp_path):
    cells = grid(["affine:0,.12"], ["default"], [0, 1])
    for cell in cells:
        leave_report(cell.folder(tmp_path), None if cell.seed else 30.0)
    first = cells[1].folder(tmp_path) / "report.json"
    first.write_text(first.read_text().replace('"ssim": 0.9', '"psnr_text": "inf", "ssim": null').replace("30.0", "null"))
    rows = write_table(tmp_path / "study.csv", {cell: cell.folder(tmp_path) for cell in cells})
    with (tmp_path / "study.csv").open(newline="") as file:
        assert [(row["psnr_db"], row["ssim"]) for row in csv.DictReader(file)] == [
            ("30.0", "0.9"),
            ("inf", ""),
            ("", "0.9"),
            ("", "0.9"),
        ]
    write_figure(tmp_path / "study.png", rows)
    assert (tmp_path / "study.png").exists()


def test_a_run_whose_folder_is_a_file_takes_no_other_with_it(tmp_path, monkeypatch, capfd):
    (tmp_path / "program.py").write_text("print('ran')")
    monkeypatch.setattr(mask_study, "PROGRAM", tmp_path / "program.py")
    clean, other = (Cell("affine", amount, "default", 0).folder(tmp_path) for amount in (0.0, 0.12))
    clean.parent.mkdir()
    clean.write_text("")
    assert main(["--basedir", str(tmp_path), *STUDY]) == 1
    assert f"{clean} is not a folder" in capfd.readouterr().err and (other / "output.txt").read_text() == "ran\n"


def test_a_table_of_a_study_that_is_not_there(tmp_path, capsys):
    assert main(["--basedir", str(tmp_path / "none"), *STUDY, "--table"]) == 2
    assert "run the study first" in capsys.readouterr().err and not (tmp_path / "none").exists()
    (tmp_path / "study.txt").write_text("\ufeff--methods 'default")
    with pytest.raises(SystemExit):
        main([f"@{tmp_path}/study.txt"])
    assert "is not closed" in capsys.readouterr().err
