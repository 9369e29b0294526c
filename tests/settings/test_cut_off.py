"""Signals leave notes, which are answered where the program chooses to."""

import os
import signal
import subprocess
import sys

import pytest

from settings import cut_off
from settings.cut_off import CutOff
from settings.progress import progress


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 75), ("SIGUSR1", 75), ("SIGHUP", 75), ("SIGINT", 130)])
def test_a_signal_raises_nothing_until_it_is_answered(name, code):
    before = signal.getsignal(getattr(signal, name))
    with cut_off.heard():
        cut_off.answer()
        signal.raise_signal(getattr(signal, name))
        assert cut_off.asked() == name
        with pytest.raises(CutOff, match=name) as raised:
            cut_off.answer()
        assert raised.value.exit_code == code
    assert signal.getsignal(getattr(signal, name)) is before
    with cut_off.heard():
        cut_off.answer()  # a note of the last time is gone


def test_the_first_signal_counts_and_a_schedulers_before_ctrl_c():
    with cut_off.heard():
        for number in (signal.SIGINT, signal.SIGUSR1, signal.SIGTERM):
            signal.raise_signal(number)
        assert cut_off.asked() == "SIGUSR1" and not cut_off.only_training()


def test_one_ctrl_c_ends_the_training_and_two_the_report_too():
    with cut_off.heard():
        signal.raise_signal(signal.SIGINT)
        assert cut_off.only_training()
        cut_off.answer()  # the report is made
        assert cut_off.interrupted()
        signal.raise_signal(signal.SIGINT)
        assert not cut_off.only_training()
        with pytest.raises(CutOff, match="SIGINT"):
            cut_off.answer()


def test_the_third_ctrl_c_waits_for_nothing():
    code = ("import signal; from settings import cut_off; cut_off.listen()\n"
            "for _ in range(3): signal.raise_signal(signal.SIGINT)\nprint('goes on')")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (130, "")


def test_what_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell does for what it starts in the background
    try:
        with cut_off.heard():
            os.kill(os.getpid(), signal.SIGINT)
            assert not cut_off.asked()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_notes_from_before_the_block_count():
    before = cut_off.listen()
    try:
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(CutOff, match="SIGTERM"), cut_off.heard():
            cut_off.answer()
        assert cut_off.asked() == "SIGTERM"
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        cut_off._state.update(cut_off._UNTOUCHED)


def test_several_processes_stop_together_and_none_alone():
    with cut_off.heard(), cut_off.deferred():
        signal.raise_signal(signal.SIGUSR1)
        cut_off.answer()
        with pytest.raises(CutOff, match="SIGUSR1"):
            cut_off.agree("another rank's signal")
        assert cut_off.agreed()


def test_loops_behind_a_bar_end_after_the_item_at_work():
    done = []
    with cut_off.heard(), pytest.raises(CutOff):
        for item in progress(range(10), disable=True):
            done.append(item)
            if item == 3:
                signal.raise_signal(signal.SIGTERM)
    assert done == [0, 1, 2, 3]
