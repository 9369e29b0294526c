"""What is said on stderr while a program works: lines, and progress bars, which are lines of text now and then in a log file."""

import sys

from tqdm import tqdm

from system import ranks, signals

_SECONDS = 30  # between the lines of a log


def tell(text: str) -> None:
    """A line on stderr if there is anything to say; of several ranks the first alone says it. Bars stay whole."""
    if text and ranks.first():
        tqdm.write(text, file=sys.stderr)


class _Log:
    """What tqdm writes to where there is no terminal: each state of the bar is a line of its own."""

    def __init__(self):
        self.last = ""

    def write(self, text: str) -> None:
        text = text.strip("\r\n ")
        done = text.partition("[")[0]  # before the time, which goes on at the end
        if text and done != self.last:
            sys.stderr.write(text + "\n")
            self.last = done

    def flush(self) -> None:
        sys.stderr.flush()


class _Bar(tqdm):
    """A loop over it answers signals before each of its items."""

    def __iter__(self):
        for item in super().__iter__():
            signals.check()
            yield item


def progress(*args, **settings) -> tqdm:
    """tqdm's bar on stderr, which shows the time left; where stderr is no terminal, a line every half minute.

    Takes tqdm's own arguments. Of several ranks the first shows it. A loop over it raises StopRequested where a signal came.
    """
    settings["disable"] = settings.get("disable") or not ranks.first()
    if sys.stderr.isatty():
        return _Bar(*args, file=sys.stderr, dynamic_ncols=True, **settings)
    settings |= {"mininterval": _SECONDS, "maxinterval": _SECONDS, "miniters": 1, "ascii": True, "ncols": 0}
    return _Bar(*args, file=_Log(), **settings)
