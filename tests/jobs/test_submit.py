"""Mistakes in tables, and errors before anything is submitted."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jobs import row_flags, submit, sweep
from jobs.sbatch import array_of, job_number
from jobs.sweep import read_runs, read_table, seeds_in
from settings.errors import InputError
from tests.damage import MANY
from tests.jobs.written_reports import leave_report

HEAD = "scene,method,flags,seeds\n"


def refusal(capsys):
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and error.startswith("submit: ")
    return error


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """A folder with a table of three runs, and tools that answer as SLURM's do; {name of a tool: its shell script}."""
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "cluster.env").write_text("SBATCH_PARTITION=fast # the short queue\nSBATCH_X #=\nother=1\n")
    (tmp_path / "table.csv").write_text(HEAD + "demo,points,,0-2\n")
    tools = tmp_path / "tools"
    tools.mkdir()

    def answer(**scripts):
        for name, script in scripts.items():
            (tools / name).write_text(f"#!/bin/sh\n{script}\n")
            (tools / name).chmod(0o755)

    answer(sbatch=f'echo "$SBATCH_PARTITION $*" >> {tmp_path}/asked; echo "77;here"', squeue="")
    monkeypatch.setenv("PATH", f"{tools}:/bin:/usr/bin")
    monkeypatch.setattr(submit, "ROOT", tmp_path)
    return answer


def submitted(folder, *words):
    return submit.main([str(folder / "table.csv"), "--sweep", str(folder / "sweep"), *words])


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ("--expname a", "--expname moves"),
        ("--expname=a", "--expname moves"),
        ("--basedir x", "--basedir moves"),
        ("--seed 3", "column seeds"),
        ("--seed=3", "column seeds"),
        ("--no_reload", "start from the beginning"),
        ("--no_reload=True", "start from the beginning"),
        ("--help", "--help prints"),
        ("-h", "-h prints"),
        ("-hs", "-h prints"),
        ("-d", "start from the beginning"),
        ("-wd", "start from the beginning"),
        ("--del_dir", "start from the beginning"),
        ("--dataset_name lego", "column scene"),
        ("--datadir x", "column scene"),
        ("--dataname=lego", "column scene"),
        ("--dataset_type llff", "another scene"),
        ("--method nerf", "column method"),
        ("--field=grid", "column method"),
        ("--render_only", "--ft_path"),
        ("--exp a", "not a flag"),
        ("--see 3", "not a flag"),
        ("--", "not understood"),
        ("--maskdir 'a", "quote"),
        ("--a\0b", "cannot be printed"),
        ("--lr1", "one argument"),
        ("--config {}/expname.txt", "expname, in the file of --config"),
        ("--config {}/anew.txt", "no_reload, in the file"),
        ("--config {}/scene.txt", "another scene"),
        ("--config {}/none.txt", "cannot open"),
    ],
)
def test_flags_that_defeat_a_sweep_are_refused_with_their_line(tmp_path, capsys, flags, told):
    for name, line in (("expname", "expname = a"), ("anew", "no_reload = True"), ("scene", "dataset_type = llff")):
        (tmp_path / f"{name}.txt").write_text(line)
    (tmp_path / "table.csv").write_text(HEAD + f'demo,points,,0\n\ndemo,points,"{flags.format(tmp_path)}",1\n')
    assert submitted(tmp_path) == 2
    error = refusal(capsys)
    assert "table.csv, line 4: " in error and told in error and not (tmp_path / "sweep").exists()


@pytest.mark.parametrize(
    "line",
    [
        "demo,points,--resume,0",
        "demo,points,--render_only --ft_path a.pt,0",
        "demo,grid,-s True,0",
        "demo,points,--threads=2,0",
        "demo,points,--config {}/run.txt,0",
    ],
)
def test_flags_that_a_run_may_have(tmp_path, line):
    (tmp_path / "run.txt").write_text("seed = 7\nrecipe = paper\nbasedir = elsewhere\n")  # the command line wins over it
    (tmp_path / "table.csv").write_text(HEAD + line.format(tmp_path))
    [run] = read_table(tmp_path / "table.csv", tmp_path)
    assert run.words[-4:] == ["--seed", "0", "--basedir", run.folder]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is empty"),
        (b"\n\r\n", "is empty"),
        (HEAD.encode(), "asks for no run"),
        (b"\xff\xfes\0", "UTF-8"),
        (b"scene,method,flags\n", "but it is scene,method,flags"),
        (b"scene;method;flags;seeds\n", "scene;method"),
        (HEAD.encode() + b"demo,points,,0,1\n", "has 5: quote"),
        (HEAD.encode() + b"demo,points\n", "this one has 2"),
        (HEAD.encode() + b'\n\ndemo,points,"a,0\n', "line 4: a quote is not closed"),
        (HEAD.encode() + b",points,,0\n", "datadir"),
        (HEAD.encode() + b"x" * 300 + b",points,,0\n", "line 2: cannot look for the scene"),
        (HEAD.encode() + b"~no-such-user/x,points,,0\n", "line 2: --datadir ~no-such-user/x: ~no-such-user is not known"),
        (
            HEAD.encode() + b"demo,points,--maskdir a/b,0\ndemo,points,--maskdir a-b,0\n",
            "line 3: demo_points_maskdir_a-b_0 is the",
        ),
    ],
)
def test_tables_that_are_none(tmp_path, capsys, content, told):
    (tmp_path / "table.csv").write_bytes(content)
    assert submitted(tmp_path) == 2
    assert told in refusal(capsys)


def test_a_config_file_that_names_a_scene_below_the_tables(tmp_path):
    (tmp_path / "run.txt").write_text("dataname = lego\n")
    (tmp_path / "lego").mkdir()
    (tmp_path / "lego" / "transforms_train.json").write_text("{}")
    (tmp_path / "table.csv").write_text(HEAD + f"{tmp_path}/lego,points,--config {tmp_path}/run.txt,0\n")
    assert len(read_table(tmp_path / "table.csv", tmp_path)) == 1
    (tmp_path / "table.csv").write_text(HEAD + f"{tmp_path},points,--config {tmp_path}/run.txt,0\n")
    with pytest.raises(InputError, match=r"line 2: .*another scene"):
        read_table(tmp_path / "table.csv", tmp_path)


def test_a_table_from_a_spreadsheet(tmp_path):
    (tmp_path / "table.csv").write_bytes(b'\xef\xbb\xbfscene, method,flags,seeds\r\n\r\n demo ,points,,"0,2"\r\n,,,\r\n')
    assert [run.name for run in read_table(tmp_path / "table.csv", tmp_path)] == ["demo_points_0", "demo_points_2"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("5-2", "write 2-5"),
        ("0 1 0", "seed 0 is there twice"),
        ("0-3 2", "seed 2 is there twice"),
        ("²", "numbers and ranges"),
        ("-1", "numbers and ranges"),
        ("1" * 5000, "numbers and ranges"),
        ("2147483648", "to 2147483647"),
        ("0-10000", "more than 10,000 runs"),
        ("0-2147483647", "more than 10,000 runs"),
        ("", "no seed"),
        ("1-2-3", "numbers and ranges"),
    ],
)
def test_seeds_that_are_refused(text, told):
    with pytest.raises(InputError, match=told):
        seeds_in(text)


def test_ten_thousand_runs_are_checked_once_and_are_the_most(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(sweep, "check_options", lambda *words: asked.append(words) or row_flags.check_options(*words))
    (tmp_path / "table.csv").write_text(HEAD + "demo,points,,0-9999\n")
    assert len(read_table(tmp_path / "table.csv", tmp_path)) == 10_000 and len(asked) == 1
    (tmp_path / "table.csv").write_text(HEAD + "demo,points,,0-9999\ndemo,grid,,0\n")
    with pytest.raises(InputError, match=r"line 3: .* more than 10,000 runs"):
        read_table(tmp_path / "table.csv", tmp_path)


def test_folders_have_names_that_a_file_system_and_a_shell_take(tmp_path):
    long = "x" * 300
    (tmp_path / "table.csv").write_text(
        HEAD + f"demo,points,--maskdir {long}1,0\ndemo,points,--maskdir {long}2,0\ndemo,points,--maskdir 'a b;$(c)',0\n"
    )
    names = [run.name for run in read_table(tmp_path / "table.csv", tmp_path)]
    assert len(set(names)) == 3 and names[2] == "demo_points_maskdir_a-b---c-_0"
    for name in names:
        (tmp_path / name).mkdir()


def test_runs_are_submitted_with_their_indices(tmp_path, cluster, capsys):
    leave_report(tmp_path / "sweep" / "demo_points_1")
    assert submitted(tmp_path) == 0
    assert "job 77: 2 runs submitted, 1 done before" in capsys.readouterr().out
    asked = (tmp_path / "asked").read_text()
    assert asked.startswith("fast --parsable --array=0,2 ")
    assert (tmp_path / "sweep" / "demo_points_2" / "job.txt").read_text() == "77_2\n"
    cluster(squeue="echo '77_2 PENDING'")
    assert submitted(tmp_path) == 2 and "demo_points_2 is still in the queue" in refusal(capsys)
    (tmp_path / "table.csv").write_text(HEAD + "demo,points,,0\n")  # its job would find another run at its index
    assert submitted(tmp_path) == 2 and "demo_points_2 is still in the queue" in refusal(capsys)
    assert len(read_runs(tmp_path / "sweep")) == 3


def test_a_sweep_that_is_done_remembers_its_runs(tmp_path, cluster, capsys):
    for seed in range(3):
        leave_report(tmp_path / "sweep" / f"demo_points_{seed}")
    assert submitted(tmp_path) == 0 and "0 runs to do, 3 done" in capsys.readouterr().out
    assert len(read_runs(tmp_path / "sweep")) == 3 and not (tmp_path / "asked").exists()


@pytest.mark.parametrize(
    ("scripts", "told"),
    [
        ({"squeue": "echo no controller >&2; exit 1"}, "squeue failed (no controller)"),
        ({"squeue": "exit 3"}, "exit code 3"),
        ({"sbatch": "printf 'error: a\\nerror: b\\n' >&2; exit 1"}, "sbatch refused: error: a error: b"),
        ({"sbatch": "exit 1"}, "sbatch refused: exit code 1"),
        ({"sbatch": "printf 'done\\377'"}, "without the number of a job"),
        ({"sbatch": ""}, "sbatch answers '' without the number"),
    ],
)
def test_answers_of_slurm_that_are_not_as_expected(tmp_path, cluster, capsys, scripts, told):
    cluster(**scripts)
    assert submitted(tmp_path) == 2
    assert told in refusal(capsys) and not (tmp_path / "sweep" / "demo_points_0").exists()


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("runs.json", "[", "runs.json is damaged"),
        ("demo_points_1/job.txt", "?", "job.txt is damaged"),
        ("demo_points_1", "", "is not a folder"),
        ("demo_points_1/report.json/x", "", "in the way of the run's report"),
        ("demo_points_1/job.txt/x", "", "job.txt is not a file"),
        ("output", "", "output"),
    ],
)
def test_folders_in_which_jobs_could_not_run_are_told_before(tmp_path, cluster, capsys, name, content, told):
    (tmp_path / "sweep" / name).parent.mkdir(parents=True)
    (tmp_path / "sweep" / name).write_text(content)
    assert submitted(tmp_path) == 2
    assert told in refusal(capsys) and not (tmp_path / "asked").exists()


def test_a_run_with_a_damaged_report_runs_again(tmp_path, cluster, capsys):
    leave_report(tmp_path / "sweep" / "demo_points_1")
    (tmp_path / "sweep" / "demo_points_1" / "report.json").write_text("{")
    assert submitted(tmp_path) == 0
    assert "demo_points_1 runs again: " in capsys.readouterr().out and "--array=0-2 " in (tmp_path / "asked").read_text()


@pytest.mark.parametrize(
    "word",
    [
        "--array=3",
        "--arr=3",
        "-a3",
        "-o",
        "--output=x",
        "--chdir=/",
        "-D/",
        "--wrap=ls",
        "--test-only",
        "--help",
        "-h",
        "--usage",
        "--version",
        "-V",
    ],
)
def test_flags_of_sbatch_that_defeat_a_sweep(tmp_path, cluster, capsys, word):
    assert submitted(tmp_path, "--", word) == 2
    assert "cannot go to sbatch" in refusal(capsys) and not (tmp_path / "asked").exists()
    assert submitted(tmp_path, "--", "--time=5", "--account=a", "--open-mode=append", "-A", "a", "--wait-all-nodes=0") == 0


def test_words_for_sbatch():
    assert array_of([0, 1, 2, 5, 7, 8], 3) == "0-2,5,7-8%3" and array_of(list(range(10_000)), 0) == "0-9999"
    with pytest.raises(InputError, match="several sweeps"):
        array_of(list(range(0, 100_000, 2)), 0)
    assert [job_number(answer) for answer in ("7\n", "7;here\n", "a note\n7\n", "Submitted batch job 7\n")] == ["7"] * 4


cells = st.sampled_from(
    [
        "demo",
        "points",
        "grid",
        "",
        "0-2",
        "0 1",
        "--lr1 .01",
        "--recipe=paper",
        "--seed 1",
        "-h",
        '"',
        "~",
        "..",
        "a" * 300,
        "--config x",
        "--config ~no-such-user/x",
        "--maskdir 'a b'",
    ]
) | st.text(max_size=12)
lines = st.lists(cells, min_size=3, max_size=5).map(",".join)


@MANY
@given(
    st.sampled_from([HEAD, HEAD.upper(), "\ufeff" + HEAD, ""]),
    st.lists(lines, max_size=3),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.binary(max_size=8),
    st.integers(0, 200),
)
@example(HEAD, ["demo,points,,0-2"], "\n", b"", 0)
@example(HEAD, ["demo,points,--x\ny,0"], "\n", b"", 0)
def test_any_table_is_runs_or_a_line(tmp_path, head, lines, end, noise, position):
    text = (head + "".join(line + end for line in lines)).encode("utf-8", "replace")
    (tmp_path / "table.csv").write_bytes(text[:position] + noise + text[position:])
    try:
        runs = read_table(tmp_path / "table.csv", tmp_path / "sweep")
    except InputError as problem:
        assert str(problem).isprintable()
        return
    assert runs and len({run.folder for run in runs}) == len(runs)
    assert json.dumps([run.words for run in runs]).isascii() and all(len(run.name.encode()) < 256 for run in runs)
