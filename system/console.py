"""The console: standard input, output and errors that a run can always use. A run goes on if its output cannot be written."""

import io
import os
import sys


class _Lenient(io.FileIO):
    """A file that ignores write errors: `| head -1` has ended, a terminal was closed, a log's disk is full."""

    def write(self, data) -> int:
        try:
            return super().write(data)
        except OSError:
            return len(data)


def keep_open() -> None:
    """Open what is closed, and write what the console's encoding does not have as \\u escapes.

    A file that the run opens would otherwise get the number of a closed one, and with it what libraries print.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # gets the lowest free number, which is this
    for name, number in (("stdout", 1), ("stderr", 2)):
        before = getattr(sys, name)
        if before is not None:
            before.flush()
        unbuffered = getattr(before, "write_through", False)  # python -u
        file = _Lenient(number, "w", closefd=False)
        setattr(
            sys,
            name,
            io.TextIOWrapper(
                file if unbuffered else io.BufferedWriter(file),
                errors="backslashreplace",
                encoding="utf-8" if before is None else before.encoding,
                line_buffering=name == "stderr" or os.isatty(number),
                write_through=unbuffered,
            ),
        )
        setattr(sys, f"__{name}__", getattr(sys, name))  # if they differ, Taichi takes this for a notebook, and says so
