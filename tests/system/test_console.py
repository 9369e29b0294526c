"""A console that is closed, gone or poor in characters does not end a program."""

import os
import subprocess
import sys

import pytest

CODE = """\
from system import console
console.keep_open()
import os, sys
print("snö \\u2603 \\udcff")
sys.stdout.flush()
for _ in range(20_000):
    print("a line")
    print("a line", file=sys.stderr)
sys.stdout.flush()
with open(sys.argv[1], "w") as file:
    file.write(str(file.fileno()))
"""


def ended(shell: str, tmp_path, **variables) -> tuple[int, str, int]:
    """(exit code, output, number of the file that was opened last) of a program that prints a lot."""
    command = shell.replace("PROGRAM", f"{sys.executable} -c '{CODE}' {tmp_path}/file")
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=os.environ | variables)
    return done.returncode, done.stdout + done.stderr, int((tmp_path / "file").read_text())


@pytest.mark.parametrize("errors", ["2>/dev/null", "2>&1"])
def test_nobody_has_to_read_it_all(tmp_path, errors):
    code, shown, _ = ended(f"PROGRAM {errors} | head -1; exit ${{PIPESTATUS[0]}}", tmp_path)
    assert code == 0 and len(shown.splitlines()) == 1


@pytest.mark.parametrize("shell", ["PROGRAM <&- >&- 2>&-", "PROGRAM >&- 2>/dev/null", "PROGRAM >/dev/full 2>&1"])
def test_closed_and_full_ones_do(tmp_path, shell):
    code, shown, number = ended(shell, tmp_path)
    assert code == 0 and not shown and number > 2


def test_characters_that_it_does_not_have_are_escaped(tmp_path):
    code, shown, _ = ended("PROGRAM 2>/dev/null", tmp_path, PYTHONIOENCODING="ascii")
    assert code == 0 and shown.startswith("sn\\xf6 \\u2603 \\udcff\n")


def test_taichi_does_not_take_it_for_a_notebook():
    code = "from system import console; console.keep_open(); import sys; print(sys.stdout is sys.__stdout__)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "True\n"
