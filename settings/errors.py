"""The one exception that means: the user's input is at fault, and here is what to do about it."""

import re

_ENDLESS = re.compile(r"(\S{500})\S{500,}")


class InputError(Exception):
    """A mistake in the input (flag, file, data set), told in one sentence: what, where, and what to do.

    `main.py` prints the message without a traceback and exits with code 2. Raise it before anything is written. File names
    and files may hold anything: characters that would break the line or the terminal are escaped, and endless words are cut.
    """

    def __init__(self, sentence: str) -> None:
        said = _ENDLESS.sub(r"\1...", str(sentence))
        super().__init__("".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in said))
