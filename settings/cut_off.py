"""Being told to stop: what a scheduler sends before it takes a machine away.

SIGTERM and SIGUSR1 end the program with an exit code of its own, so that a job script knows to start it again. Between
`deferred()` and its end the signal only leaves a note, `asked()`, and whoever trains saves what it has before it leaves.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

EXIT_CODE = 75  # sysexits.h: a temporary failure, to be tried again
_SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGUSR1") if hasattr(signal, name)]
_state = {"depth": 0, "asked": "", "agreed": False}


class CutOff(Exception):
    """The program was told to stop, by the signal that the message names; what it had to save is saved."""


@contextmanager
def heard() -> Iterator[None]:
    """Hear the signals, in the main thread: they raise CutOff wherever the program is, but for what is `deferred`."""
    _state.update(depth=0, asked="", agreed=False)
    before = {number: signal.signal(number, _heard) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _heard(number: int, _frame) -> None:
    name = signal.Signals(number).name
    if _state["depth"]:
        _state["asked"] = name
        return
    raise CutOff(name)


@contextmanager
def deferred() -> Iterator[None]:
    """Leave signals to whoever asks for them by `asked`. Raises CutOff at its end for one that nobody answered."""
    _state["depth"] += 1
    try:
        yield
    finally:
        _state["depth"] -= 1
    if _state["asked"] and not _state["depth"]:
        raise CutOff(_state["asked"])


def agree(name: str) -> None:
    """Several processes stop together: as if a signal of this name had come to what is `deferred`, where none has."""
    _state["asked"], _state["agreed"] = _state["asked"] or name, True


def agreed() -> bool:
    """Whether several processes stop together, and not this one alone."""
    return _state["agreed"]


def asked() -> str:
    """The name of the signal that came, empty while none has."""
    return _state["asked"]
