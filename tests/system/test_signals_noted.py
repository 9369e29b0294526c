"""Signals are noted, and the program stops at its next check."""

import os
import signal
import subprocess
import sys

import pytest

from system import signals
from system.progress import progress
from system.signals import StopRequested


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 75), ("SIGUSR1", 75), ("SIGHUP", 75), ("SIGINT", 130)])
def test_a_signal_raises_nothing_until_it_is_answered(name, code):
    before = signal.getsignal(getattr(signal, name))
    with signals.handled():
        signals.check()
        signal.raise_signal(getattr(signal, name))
        assert signals.requested() == name
        with pytest.raises(StopRequested, match=name) as raised:
            signals.check()
        assert raised.value.exit_code == code
    assert signal.getsignal(getattr(signal, name)) is before
    with signals.handled():
        signals.check()  # a note of the last time is gone


def test_the_first_signal_counts_and_a_schedulers_before_ctrl_c():
    with signals.handled():
        for number in (signal.SIGINT, signal.SIGUSR1, signal.SIGTERM):
            signal.raise_signal(number)
        assert signals.requested() == "SIGUSR1" and not signals.ends_training_only()


def test_one_ctrl_c_ends_the_training_and_two_the_report_too():
    with signals.handled():
        signal.raise_signal(signal.SIGINT)
        assert signals.ends_training_only()
        signals.check()  # the report is made
        assert signals.interrupted()
        signal.raise_signal(signal.SIGINT)
        assert not signals.ends_training_only()
        with pytest.raises(StopRequested, match="SIGINT"):
            signals.check()


def test_the_third_ctrl_c_waits_for_nothing():
    code = (
        "import signal; from system import signals; signals.install()\n"
        "for _ in range(3): signal.raise_signal(signal.SIGINT)\nprint('goes on')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (130, "")


def test_what_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell does for what it starts in the background
    try:
        with signals.handled():
            os.kill(os.getpid(), signal.SIGINT)
            assert not signals.requested()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_notes_from_before_the_block_count():
    before = signals.install()
    try:
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(StopRequested, match="SIGTERM"), signals.handled():
            signals.check()
        assert signals.requested() == "SIGTERM"
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signals._state.update(signals._UNTOUCHED)


def test_several_processes_stop_together_and_none_alone():
    with signals.handled(), signals.deferred():
        signal.raise_signal(signal.SIGUSR1)
        signals.check()
        with pytest.raises(StopRequested, match="SIGUSR1"):
            signals.stop_together("another rank's signal")
        assert signals.stopping_together()


def test_loops_behind_a_bar_end_after_the_item_at_work():
    done = []
    with signals.handled(), pytest.raises(StopRequested):
        for item in progress(range(10), disable=True):
            done.append(item)
            if item == 3:
                signal.raise_signal(signal.SIGTERM)
    assert done == [0, 1, 2, 3]
