"""Being told to stop: by a scheduler before it takes the machine away (SIGTERM, SIGUSR1), by a terminal that closes (SIGHUP),
or by Ctrl-C (SIGINT).

A signal only leaves a note. An exception raised by its handler could come up inside a library, which may swallow it or abort.
`check()` raises StopRequested where there is a note. It is called between all phases of a run and often inside them: by every
loop over `system.progress`, and wherever something takes a second or more.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

EXIT_CODE = 75  # sysexits.h: a temporary failure, to be tried again
STOPPED = "stopped by"  # begins what a stopped program ends with; jobs/states.py looks for it
INTERRUPTED = 130  # what shells give for Ctrl-C
_NAMES = ("SIGTERM", "SIGUSR1", "SIGHUP", "SIGINT")
_SIGNALS = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
_UNTOUCHED = {"requested": "", "interrupts": 0, "together": False, "deferred": False}
_state = dict(_UNTOUCHED)


class StopRequested(Exception):
    """The program was told to stop, by the signal that the message names; what it had to save is saved."""

    @property
    def exit_code(self) -> int:
        """What the program ends with."""
        return INTERRUPTED if str(self) == "SIGINT" else EXIT_CODE


def install() -> dict:
    """From now on signals are only noted; returns the handlers that they had. For the main thread.

    What is ignored stays so: nohup ignores SIGHUP, and a shell ignores SIGINT for what it starts in the background.
    """
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    before = {number: handler for number, handler in before.items() if handler is not signal.SIG_IGN}
    for number in before:
        signal.signal(number, _note)
    return before


def ignore() -> None:
    """Signals have no effect from now on: the program has its exit code, and ends."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def handled() -> Iterator[None]:
    """`install`, until the end of the block. Where the program listened already, notes from before count, and stay after it."""
    before = install()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        if _note not in before.values():  # the program does not listen any more
            _state.update(_UNTOUCHED)


def _note(number: int, _frame) -> None:
    name = signal.Signals(number).name
    if name == "SIGINT":
        _state["interrupts"] += 1
        if _state["interrupts"] == 1:  # not by print, which may be at work just now
            os.write(2, b"\nstopping: Ctrl-C again leaves the report out, and a third time ends at once, without saving\n")
        if _state["interrupts"] > 2:  # nobody waits any longer, whatever is left undone
            os._exit(INTERRUPTED)
    if _state["requested"] in ("", "SIGINT"):  # the first one, but a scheduler's before Ctrl-C
        _state["requested"] = name


def check() -> None:
    """Raise StopRequested where a signal came, but for what is `deferred`. Call it only where nothing is half done."""
    if _state["requested"] and not _state["deferred"]:
        raise StopRequested(_state["requested"])


@contextmanager
def deferred() -> Iterator[None]:
    """Where several processes stop together, by `stop_together`: one does not `check` alone."""
    _state["deferred"] = True
    try:
        yield
    finally:
        _state["deferred"] = False


def stop_together(name: str) -> None:
    """Several processes stop together: raise StopRequested here in each, by the signal that came to this one, or by that name."""
    if _state["requested"] in ("", "SIGINT"):
        _state["requested"] = name
    _state["together"] = True
    _state["interrupts"] = max(_state["interrupts"], name == "SIGINT")
    raise StopRequested(_state["requested"])


def stopping_together() -> bool:
    """Whether several processes stop together, and not this one alone."""
    return _state["together"]


def requested() -> str:
    """The name of the signal that came, empty while none has."""
    return _state["requested"]


def interrupted() -> bool:
    """Whether Ctrl-C was pressed."""
    return _state["interrupts"] > 0


def ends_training_only() -> bool:
    """Whether the signal is to end the training alone, and not the report after it: one Ctrl-C is. Takes its note away."""
    if _state["requested"] != "SIGINT" or _state["interrupts"] > 1:
        return False
    _state["requested"] = ""
    return True
