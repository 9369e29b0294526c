"""Signals to stop: of a scheduler at the end of a job's time (SIGTERM, SIGUSR1), of a terminal that closes (SIGHUP), or Ctrl-C
(SIGINT).

A signal's handler only sets a flag. An exception raised by the handler could appear inside a library, which may swallow it or
abort. `check()` raises StopRequested if a signal came. It is called between all phases of a run and often inside them: by every
loop over `system.progress`, and wherever work takes a second or more.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

EXIT_CODE = 75  # of sysexits.h: a temporary failure, try again
STOPPED = "stopped by"  # start of a stopped program's last message; jobs/states.py looks for it
INTERRUPTED = 130  # shells' exit code for Ctrl-C
_NAMES = ("SIGTERM", "SIGUSR1", "SIGHUP", "SIGINT")
_SIGNALS = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
_UNTOUCHED = {"requested": "", "interrupts": 0, "together": False, "deferred": False}
_state = dict(_UNTOUCHED)


class StopRequested(Exception):
    """A signal, which the message names, told the program to stop; its progress is saved."""

    @property
    def exit_code(self) -> int:
        """The program's exit code."""
        return INTERRUPTED if str(self) == "SIGINT" else EXIT_CODE


def install() -> dict:
    """From now on signals are only noted; returns their former handlers. Call it in the main thread.

    Ignored signals stay ignored: nohup ignores SIGHUP, and a shell ignores SIGINT for programs in the background.
    """
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    before = {number: handler for number, handler in before.items() if handler is not signal.SIG_IGN}
    for number in before:
        signal.signal(number, _note)
    return before


def ignore() -> None:
    """Signals have no effect from now on, because the program is about to end."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def handled() -> Iterator[None]:
    """`install`, until the end of the block. If signals were handled before, earlier ones count, and stay noted after it."""
    before = install()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        if _note not in before.values():  # signals are not handled any more
            _state.update(_UNTOUCHED)


def _note(number: int, _frame) -> None:
    name = signal.Signals(number).name
    if name == "SIGINT":
        _state["interrupts"] += 1
        if _state["interrupts"] == 1:  # not by print, which the signal may have interrupted
            os.write(2, b"\nstopping: Ctrl-C again leaves the report out, and a third time ends at once, without saving\n")
        if _state["interrupts"] > 2:
            os._exit(INTERRUPTED)
    if _state["requested"] in ("", "SIGINT"):  # the first one, but a scheduler's before Ctrl-C
        _state["requested"] = name


def check() -> None:
    """Raise StopRequested if a signal came, except inside `deferred`. Call it only when nothing is half done."""
    if _state["requested"] and not _state["deferred"]:
        raise StopRequested(_state["requested"])


@contextmanager
def deferred() -> Iterator[None]:
    """For several processes, which stop together by `stop_together`: `check` does nothing in the block."""
    _state["deferred"] = True
    try:
        yield
    finally:
        _state["deferred"] = False


def stop_together(name: str) -> None:
    """Raise StopRequested in each of several processes: with the signal that came to this one, else with `name`."""
    if _state["requested"] in ("", "SIGINT"):
        _state["requested"] = name
    _state["together"] = True
    _state["interrupts"] = max(_state["interrupts"], name == "SIGINT")
    raise StopRequested(_state["requested"])


def stopping_together() -> bool:
    """Whether several processes stop together, and not this one alone."""
    return _state["together"]


def requested() -> str:
    """The name of the signal that came, or ""."""
    return _state["requested"]


def interrupted() -> bool:
    """Whether Ctrl-C was pressed."""
    return _state["interrupts"] > 0


def ends_training_only() -> bool:
    """Whether the signal ends the training but not the report after it, as one Ctrl-C does. Then the signal is forgotten."""
    if _state["requested"] != "SIGINT" or _state["interrupts"] > 1:
        return False
    _state["requested"] = ""
    return True
