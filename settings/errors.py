"""The one exception that means: the user's input is at fault, and here is what to do about it."""


class InputError(Exception):
    """A mistake in the input (flag, file, data set), told in one sentence: what, where, and what to do.

    `main.py` prints the message without a traceback and exits with code 2. Raise it before anything is written.
    """


class CannotWrite(InputError, OSError):
    """A file of a run cannot be written: the disk is full, the folder was removed, its name is too long ..."""
