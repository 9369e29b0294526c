"""The one exception that means: the user's input is at fault, and here is what to do about it."""


class InputError(Exception):
    """A mistake in the input (flag, file, data set), told in one sentence: what, where, and what to do.

    `main.py` prints the message without a traceback and exits with code 2. Raise it before anything is written. File names
    and files may hold any character: those that would break the line or the terminal are escaped.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__("".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(sentence)))
