"""Callbacks of the loop for tests: they act before its steps."""

from collections.abc import Callable

from training.task import Callback, Task


class BeforeStep(Callback):
    """Calls do(number, task) before each step, with its number, from 1, over all runs that it is given to."""

    def __init__(self, do: Callable[[int, Task], None]):
        self.do, self.count = do, 0

    def before_step(self, task: Task) -> None:
        self.count += 1
        self.do(self.count, task)


class Killed(BaseException):
    """As by kill -9: nothing is saved."""


def kill_before(step: int) -> BeforeStep:
    """The program ends before this step without a message."""

    def kill(number: int, task: Task) -> None:
        if number == step:
            raise Killed

    return BeforeStep(kill)


def signal_before(steps: list[int], number: int) -> BeforeStep:
    """A signal comes just before these steps, which are taken all the same."""
    import signal

    return BeforeStep(lambda step, task: signal.raise_signal(number) if step in steps else None)
