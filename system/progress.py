"""Messages on stderr while the program works, and progress bars, which become occasional lines in a log file."""

import sys

from tqdm import tqdm

from system import ranks, signals

_SECONDS = 30  # between the lines of a log


def tell(text: str) -> None:
    """Print a line on stderr without breaking progress bars; nothing if `text` is empty. Only the first rank prints."""
    if text and ranks.first():
        tqdm.write(text, file=sys.stderr)


class _Log:
    """tqdm's output without a terminal: each state of the bar is a line of its own."""

    def __init__(self):
        self.last = ""

    def write(self, text: str) -> None:
        text = text.strip("\r\n ")
        done = text.partition("[")[0]  # the part before the time, which also changes at the end
        if text and done != self.last:
            sys.stderr.write(text + "\n")
            self.last = done

    def flush(self) -> None:
        sys.stderr.flush()


class _Bar(tqdm):
    """A bar that checks for signals before each item."""

    def __iter__(self):
        for item in super().__iter__():
            signals.check()
            yield item


def progress(*args, **settings) -> tqdm:
    """tqdm's bar on stderr, with the time left; a line every half minute if stderr is not a terminal.

    Takes tqdm's own arguments. Only the first rank shows it. A loop over it raises StopRequested if a signal came.
    """
    settings["disable"] = settings.get("disable") or not ranks.first()
    if sys.stderr.isatty():
        return _Bar(*args, file=sys.stderr, dynamic_ncols=True, **settings)
    settings |= {"mininterval": _SECONDS, "maxinterval": _SECONDS, "miniters": 1, "ascii": True, "ncols": 0}
    return _Bar(*args, file=_Log(), **settings)
