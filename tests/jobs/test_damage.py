"""Damaged folders and files of runs: each is reported with its reason, and the other runs stay in the tables."""

import csv
import json
import math
import os

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jobs import collect, run_one, states, status
from jobs.collect import medians, row_of
from jobs.reports import read_report
from jobs.states import state_of
from jobs.study_table import finished
from jobs.sweep import SweepRun, read_runs, write_runs
from settings.errors import InputError
from tests.damage import MANY, damaged_json
from tests.jobs.written_reports import REPORT, leave_report

RUN = {"scene": "demo", "method": "points", "seed": 0, "folder": "sweep/demo_points_0", "words": ["--seed", "0"]}


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    """A sweep of three runs that are done, on a machine without SLURM."""
    monkeypatch.setenv("PATH", "")
    runs = [SweepRun("demo", "points", seed, str(tmp_path / f"demo_points_{seed}"), []) for seed in range(3)]
    write_runs(tmp_path, runs)
    for run, psnr in zip(runs, (30.0, 33.0, 32.0), strict=True):
        leave_report(tmp_path / run.name, psnr_db=psnr)
    return tmp_path


def table_of(sweep):
    with (sweep / "table.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def changed(text, old, new):
    assert old in text
    return text.replace(old, new).encode()


WHOLE = json.dumps(REPORT)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty"),
        (WHOLE[:-20].encode(), "not JSON from line 1"),
        (WHOLE.encode("utf-16"), "not UTF-8"),
        (b"[" * 200_000, "nested too deeply"),
        (b"null", "holds no figures"),
        (b"[]", "holds no figures"),
        (b"{}", "holds no figures"),
        (changed(WHOLE, "50.0", "NaN"), "NaN is not a number"),
        (changed(WHOLE, "50.0", "-Infinity"), "-Infinity is not a number"),
        (changed(WHOLE, "50.0", "1e999"), "figures.fps"),
        (changed(WHOLE, "50.0", "1" + "0" * 400), "figures.fps"),
        (changed(WHOLE, "50.0", "1" * 5000), "too many digits"),
        (changed(WHOLE, "50.0", "true"), "figures.fps"),
        (changed(WHOLE, "50.0", '"fast"'), "figures.fps"),
        (changed(WHOLE, "50.0", "1e300"), "figures.fps"),
        (changed(WHOLE, '"fps"', '"speed"'), "holds no figures.fps"),
        (changed(WHOLE, "false", '"no"'), "run.interrupted"),
        (changed(WHOLE, '"paper"', "7"), "protocol.name"),
        (changed(WHOLE, '"paper"', r'"\ud800"'), "protocol.name"),
        (changed(WHOLE, '{"name": "paper"}', "null"), "holds no protocol"),
    ],
)
def test_a_damaged_report_is_a_row_of_its_own(sweep, capsys, content, reason):
    (sweep / "demo_points_1" / "report.json").write_bytes(content)
    assert collect.main([str(sweep)]) == 0
    out = capsys.readouterr().out
    [told] = [line for line in out.splitlines() if line.startswith("demo_points_1: damaged. ")]
    assert "demo_points_1/report.json" in told and reason in told and "2 of 3 runs are done" in out
    assert [row["psnr_db"] for row in table_of(sweep)] == ["30.0", "32.0"]
    assert "31.00 (30.00 to 32.00)" in (sweep / "table.md").read_text()
    assert "report.json" in (sweep / "table.html").read_text()
    assert status.main([str(sweep)]) == 0 and "2 done, 1 damaged" in capsys.readouterr().out
    assert not finished(sweep / "demo_points_1")


def folder_is_a_file(folder):
    (folder / "report.json").unlink()
    folder.rmdir()
    folder.write_text("")


def report_is_a_folder(folder):
    (folder / "report.json").unlink()
    (folder / "report.json").mkdir()


def report_is_a_pipe(folder):
    (folder / "report.json").unlink()
    os.mkfifo(folder / "report.json")


def folder_is_a_link_to_itself(folder):
    (folder / "report.json").unlink()
    folder.rmdir()
    folder.symlink_to(folder)


def ticket_is_other_text(folder):
    (folder / "report.json").unlink()
    (folder / "job.txt").write_text("../../etc/passwd\n")


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (folder_is_a_file, "is not a folder"),
        (report_is_a_folder, "report.json is not a file"),
        (report_is_a_pipe, "report.json is not a file"),
        (folder_is_a_link_to_itself, "symbolic link"),
        (ticket_is_other_text, "job.txt is damaged"),
    ],
)
def test_a_folder_that_is_none_is_a_row_of_its_own(sweep, capsys, harm, reason):
    harm(sweep / "demo_points_1")
    assert collect.main([str(sweep)]) == 0
    out = capsys.readouterr().out
    assert "demo_points_1: damaged. " in out and reason in out and len(table_of(sweep)) == 2


def test_a_report_that_may_not_be_read(sweep, monkeypatch):
    real = os.stat

    def stat(path, **settings):
        if str(path).endswith("demo_points_1/report.json"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, **settings)

    monkeypatch.setattr(os, "stat", stat)
    state = state_of(read_runs(sweep)[1], {}, sweep)
    assert state.state == "damaged" and "Permission denied" in state.remark


def test_figures_that_are_null_are_shown_and_are_in_no_median(sweep, capsys):
    leave_report(sweep / "demo_points_1", psnr_db=None, psnr_text="inf", ssim=None, fps=None)
    assert collect.main([str(sweep)]) == 0
    assert [(row["psnr_db"], row["ssim"], row["fps"]) for row in table_of(sweep)] == [
        ("30.0", "0.9", "50.0"),
        ("inf", "", ""),
        ("32.0", "0.9", "50.0"),
    ]
    assert "| demo | points | 3 | 31.00 (30.00 to 32.00; 1 inf) | 0.900 |" in capsys.readouterr().out
    for seed in range(3):
        leave_report(sweep / f"demo_points_{seed}", psnr_db=None, psnr_text="nan", ssim=None, model_bytes=None)
    assert collect.main([str(sweep)]) == 0
    assert "| demo | points | 3 | nan | - | 10.0 | 50.0 | - | paper |" in capsys.readouterr().out


def test_names_that_mean_something_to_a_page_or_a_plot(sweep):
    runs = [SweepRun("a|b", "points_$x_$", seed, str(sweep / f"demo_points_{seed}"), []) for seed in range(3)]
    write_runs(sweep, runs)
    assert collect.main([str(sweep)]) == 0
    assert r"| a\|b | points_$x_$ |" in (sweep / "table.md").read_text()


def test_a_sweep_of_many_methods_has_a_table_and_no_plot(sweep):
    runs = [SweepRun(f"scene{n}", f"points_{n}", 0, str(sweep / "demo_points_0"), []) for n in range(700)]
    write_runs(sweep, runs)
    assert collect.main([str(sweep)]) == 0
    assert len(table_of(sweep)) == 700 and "too many scenes or methods for a plot" in (sweep / "table.html").read_text()


@pytest.mark.parametrize("tool", [collect, status])
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "does not exist"),
        ("file", "is not a folder"),
        (b"", "it is empty"),
        (b"[]", "not a list of runs"),
        (b"[1]", "run 0 does not hold"),
        (b"[" * 200_000, "nested"),
        (b"\xff", "not UTF-8"),
        (json.dumps([RUN, RUN | {"seed": "1"}]).encode(), "run 1 holds a value"),
        (json.dumps([RUN | {"folder": "a\0b"}]).encode(), "run 0 holds a value"),
        (json.dumps([RUN | {"words": None}]).encode(), "run 0 holds a value"),
    ],
)
def test_a_sweep_that_is_none_is_one_sentence(tmp_path, capsys, tool, content, reason):
    folder = tmp_path / "sweep"
    if content == "file":
        folder.write_text("")
    elif content is not None:
        folder.mkdir()
        (folder / "runs.json").write_bytes(content)
    assert tool.main([str(folder)]) == 2
    error = capsys.readouterr().err
    assert reason in error and error.count("\n") == 1 and not (folder / "table.csv").exists()


def test_tables_that_cannot_be_written(sweep, capsys):
    (sweep / "table.md").mkdir()
    assert collect.main([str(sweep)]) == 2
    assert f"cannot write {sweep / 'table.md'}" in capsys.readouterr().err


def test_squeue_that_fails_or_answers_other_things(sweep, tmp_path, monkeypatch, capsys):
    tools = tmp_path / "tools"
    tools.mkdir()
    monkeypatch.setenv("PATH", f"{tools}:/bin:/usr/bin")
    (tools / "squeue").write_text("#!/bin/sh\necho no controller >&2\nexit 1\n")
    (tools / "squeue").chmod(0o755)
    (sweep / "demo_points_1" / "report.json").unlink()
    (sweep / "demo_points_1" / "job.txt").write_text("12_1\n")
    assert status.main([str(sweep)]) == 0
    shown = capsys.readouterr()
    assert "2 done, 1 unknown" in shown.out and "squeue failed (no controller)" in shown.err
    (tools / "squeue").write_text("#!/bin/sh\nprintf '12_1 RUNNING\\n x\\n\\n\\377 y z\\n'\n")
    assert states.in_queue() == {"12_1": "RUNNING"}


def test_a_log_that_is_not_text(sweep):
    folder = sweep / "demo_points_1"
    (folder / "log.txt").write_bytes(b"\xff\x1b[31mepoch 3\x07\n\n")
    assert state_of(read_runs(sweep)[1], {}, sweep).remark == "\ufffd [31mepoch 3"
    (folder / "log.txt").write_bytes(b"x" * 3_000_000)
    assert len(state_of(read_runs(sweep)[1], {}, sweep).remark) == 300
    (folder / "log.txt").unlink()
    (folder / "log.txt").mkdir()
    state = state_of(read_runs(sweep)[1], {}, sweep)
    assert state.state == "done" and "log.txt is not a file" in state.remark


def test_why_a_job_ended_where_its_output_tells_no_error(sweep):
    folder = sweep / "demo_points_1"
    (folder / "report.json").unlink()
    (folder / "job.txt").write_text("12_1\n")
    (sweep / "output").mkdir()
    (sweep / "output" / "12_1.out").write_text("job.sh: line 8: module: command not found\n")
    assert "its output ends with: job.sh: line 8" in state_of(read_runs(sweep)[1], {}, sweep).remark
    (sweep / "output" / "12_1.out").write_text("run_one: no such run\n12 %\n")
    assert state_of(read_runs(sweep)[1], {}, sweep).remark == "run_one: no such run"


@pytest.mark.parametrize("words", [["{}"], ["{}", "-1"], ["{}", "3"], ["{}", ""], ["{}", "²"], ["{}", "9" * 5000], ["none", "0"]])
def test_run_one_takes_a_number_of_the_sweep_alone(sweep, words):
    assert run_one.run_at([str(sweep), "2"]).seed == 2
    with pytest.raises(InputError):
        run_one.run_at([word.format(sweep) for word in words])


@MANY
@given(damaged_json(REPORT))
def test_any_report_is_a_row_or_a_reason(tmp_path, content):
    folder = tmp_path / "demo_points_0"
    folder.mkdir(exist_ok=True)
    (folder / "report.json").write_bytes(content)
    run = SweepRun("demo", "points", 0, str(folder), [])
    state = state_of(run, {}, tmp_path)
    try:
        report = read_report(folder)
    except InputError as problem:
        assert (state.state, state.remark) == ("damaged", str(problem)) and str(problem).isprintable()
        return
    if report.interrupted:
        assert state.state == "not submitted"
        return
    assert state.state == "done" and not math.isinf(row_of(run)["fps"] or 0)
    assert len(medians([row_of(run)])[0]) == 9
    if content[:60] != WHOLE.encode()[:60]:  # plots take their time
        collect.write(tmp_path, [row_of(run), row_of(run, state.report)], [])
        assert len(table_of(tmp_path)) == 2


@MANY
@given(damaged_json([RUN, RUN | {"seed": 1, "folder": "sweep/demo_points_1"}]))
@example(b"[" * 200_000)
def test_any_list_of_runs_is_read_or_refused_in_a_line(tmp_path, content):
    (tmp_path / "runs.json").write_bytes(content)
    try:
        runs = read_runs(tmp_path)
    except InputError as problem:
        assert str(problem).isprintable()
        return
    assert runs and all(state_of(run, {}, tmp_path).state in states.STATES for run in runs)


@MANY
@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "replace")), st.binary(max_size=20))
@example(b"", b"12_0\n")
def test_any_log_output_and_ticket_give_a_state_and_a_line(tmp_path, text, ticket):
    folder = tmp_path / "demo_points_0"
    (tmp_path / "output").mkdir(exist_ok=True)
    folder.mkdir(exist_ok=True)
    (folder / "log.txt").write_bytes(text)
    (tmp_path / "output" / "12_0.out").write_bytes(text)
    run = SweepRun("demo", "points", 0, str(folder), [])
    for job in (ticket, b"12_0"):
        (folder / "job.txt").write_bytes(job)
        state = state_of(run, {}, tmp_path)
        assert state.state in ("failed", "stopped", "damaged") and state.remark.isprintable()
        assert state.state != "damaged" or job == ticket
