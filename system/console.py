"""The console: standard input, output and errors that a run can always use. A run continues if its output cannot be written."""

import io
import os
import sys


class _Lenient(io.FileIO):
    """A file that ignores write errors: `| head -1` ended, a terminal was closed, a log's disk is full."""

    def write(self, data) -> int:
        try:
            return super().write(data)
        except OSError:
            return len(data)


def keep_open() -> None:
    """Open closed streams, and write characters that the console's encoding lacks as \\u escapes.

    Otherwise a file that the run opens would get the number of a closed stream, and libraries would print into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # gets the lowest free number, which is `number`
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
        setattr(sys, f"__{name}__", getattr(sys, name))  # if they differ, Taichi prints that this is a notebook
