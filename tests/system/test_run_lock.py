"""One run in a folder at a time, whatever becomes of the others."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from settings.errors import CannotWrite, InputError
from system import run_lock

ROOT = Path(__file__).parents[2]
TRIES = int(os.environ.get("RADIANCE_EXAMPLES", "100")) // 25  # of two starts at once
HOLD = """
import sys, time
from pathlib import Path
from system import run_lock
from settings.errors import InputError
folder = Path(sys.argv[1])
try:
    with run_lock.held(folder):
        (folder / "trace").open("a").write(f"{sys.argv[2]}\\n")
        print("in", flush=True)
        time.sleep(float(sys.argv[3]))
        (folder / "trace").open("a").write(f"{sys.argv[2]}\\n")
except InputError as told:
    sys.exit(f"told: {told}")
"""


def start(folder: Path, name: str, seconds: float, **environment: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder), name, str(seconds)],
        cwd=ROOT,
        text=True,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def write_owner(path: Path, **changes) -> None:
    own = {"host": "elsewhere", "boot": "another", "pid": 12, "started": 1.0, "job": "", "since": "2026-01-01 00:00:00"}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(own | changes))


def test_a_folder_is_made_locked_and_left_as_it_was(tmp_path):
    folder = tmp_path / "deep" / "run"
    with run_lock.held(folder):
        assert [path.name for path in folder.iterdir()] == ["run.lock"]
        told = json.loads((folder / "run.lock").read_text())
        assert told["pid"] == os.getpid() and told["host"]
        with pytest.raises(InputError, match=f"in use by another run .*process {os.getpid()}, since 20"), run_lock.held(folder):
            pass
        (folder / "kept").touch()
    assert [path.name for path in folder.iterdir()] == ["kept"]
    with run_lock.held(folder):
        (folder / "kept").unlink()
    assert folder.is_dir()  # it was there before
    with run_lock.held(tmp_path / "other" / "run"):
        pass
    assert not (tmp_path / "other").exists()


def test_two_starts_at_once_never_mix(tmp_path):
    for turn in range(TRIES):
        folder = tmp_path / str(turn)
        both = [start(folder, name, 0.3) for name in "ab"]
        ends = [process.communicate()[1] for process in both]
        names = (folder / "trace").read_text().split()
        assert names in (["a", "a"], ["b", "b"], ["a", "a", "b", "b"], ["b", "b", "a", "a"]), names
        assert sum(process.returncode == 0 for process in both) == len(names) // 2
        assert all("is in use by another run" in end for end, process in zip(ends, both, strict=True) if process.returncode)
        assert not (folder / "run.lock").exists()


def test_after_kill_9_the_next_start_has_the_folder_at_once(tmp_path):
    first = start(tmp_path, "a", 60)
    assert first.stdout.readline() == "in\n"
    (tmp_path / "pictures").mkdir()
    for name in (".weights.12.partial.pt", "pictures/.000_r_0.12.partial.png", "weights.pt", ".hidden"):
        (tmp_path / name).touch()
    first.kill()
    first.communicate()
    assert (tmp_path / "run.lock").exists()
    began = time.monotonic()
    with run_lock.held(tmp_path):
        assert time.monotonic() - began < 1
        assert {path.name for path in tmp_path.rglob("*")} == {"run.lock", "trace", "pictures", "weights.pt", ".hidden"}


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(run_lock, "_SETTLED", 0.05)
    monkeypatch.setattr(run_lock, "_PATIENCE", 0.2)


@pytest.mark.parametrize("kernel", [True, False])
def test_another_machine_is_believed_for_five_minutes(tmp_path, monkeypatch, impatient, kernel):
    if not kernel:
        monkeypatch.setattr(run_lock, "_locked", lambda _: None)
    path = tmp_path / "run.lock"
    write_owner(path)
    with pytest.raises(InputError, match=r"host elsewhere, process 12, .* again in 5 minutes"), run_lock.held(tmp_path):
        pass
    os.utime(path, (time.time() - 400,) * 2)
    with run_lock.held(tmp_path):
        assert json.loads(path.read_text())["pid"] == os.getpid()


def test_without_a_lock_of_the_kernel_the_process_itself_is_looked_for(tmp_path, monkeypatch, impatient):
    monkeypatch.setattr(run_lock, "_locked", lambda _: None)
    with run_lock.held(tmp_path), pytest.raises(InputError, match="in use"), run_lock.held(tmp_path):
        pass
    own = {"host": run_lock.socket.gethostname(), "boot": run_lock._boot(), "pid": os.getpid(), "started": 1.0}
    write_owner(tmp_path / "run.lock", **own)  # of a process that had this number before
    with run_lock.held(tmp_path):
        pass


@pytest.mark.parametrize("wrong", [{"pid": "12"}, {"pid": -1}, {"pid": 10**30}, {"pid": True}, {"started": None}, {"host": 3}])
def test_a_file_with_values_of_other_types_names_no_owner(tmp_path, monkeypatch, impatient, wrong):
    monkeypatch.setattr(run_lock, "_locked", lambda _: None)
    own = {"host": run_lock.socket.gethostname(), "boot": run_lock._boot(), "pid": os.getpid(), "started": 1.0}
    write_owner(tmp_path / "run.lock", **own | wrong)
    with run_lock.held(tmp_path):
        assert json.loads((tmp_path / "run.lock").read_text())["pid"] == os.getpid()


def test_of_two_machines_that_take_a_dead_ones_folder_the_last_has_it(tmp_path, monkeypatch, impatient):
    """If machines do not share the kernel's locks, the last version of the file decides."""
    path = tmp_path / "run.lock"
    write_owner(path)
    os.utime(path, (1.0, 1.0))
    monkeypatch.setattr(run_lock.time, "sleep", lambda _: write_owner(path, host="third"))
    with pytest.raises(InputError, match="host third"), run_lock.held(tmp_path):
        pass
    assert json.loads(path.read_text())["host"] == "third"


def test_a_job_that_was_put_back_waits_for_its_first_copy(tmp_path):
    first = start(tmp_path, "a", 1.0, SLURM_JOB_ID="7")
    assert first.stdout.readline() == "in\n"
    other = start(tmp_path, "c", 0.0, SLURM_JOB_ID="8")
    again = start(tmp_path, "b", 0.0, SLURM_JOB_ID="7", SLURM_RESTART_COUNT="1")
    assert "job 7" in other.communicate()[1] and other.returncode
    assert "waits until that run ends" in again.communicate()[1] and again.returncode == 0
    assert first.wait() == 0 and (tmp_path / "trace").read_text().split() == ["a", "a", "b", "b"]


def test_who_lost_the_folder_does_not_write_into_it(tmp_path):
    with run_lock.held(tmp_path):
        run_lock.check(tmp_path)
        write_owner(tmp_path / "run.lock")
        with pytest.raises(CannotWrite, match=r"another run took it over \(host elsewhere"):
            run_lock.check(tmp_path)
        (tmp_path / "run.lock").unlink()
        with pytest.raises(CannotWrite, match="it was removed while the program ran"):
            run_lock.check(tmp_path)
    run_lock.check(tmp_path)  # nobody has it: nothing to say


def test_signs_of_life(tmp_path, monkeypatch):
    monkeypatch.setattr(run_lock, "_RENEWED", 0.02)
    with run_lock.held(tmp_path):
        os.utime(tmp_path / "run.lock", (1.0, 1.0))
        until = time.monotonic() + 5
        while (tmp_path / "run.lock").stat().st_mtime == 1.0:
            assert time.monotonic() < until
            time.sleep(0.01)


@pytest.mark.parametrize("name", ["/proc/run", "a" * 300, "file/run"])
def test_folders_that_cannot_be_made_are_told(tmp_path, name):
    (tmp_path / "file").touch()
    with pytest.raises(CannotWrite, match="cannot write"), run_lock.held(tmp_path / name):
        pass
