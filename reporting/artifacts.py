"""Files of a run that only its method knows, for example a cloud, a mesh or frames: how they are saved and shown."""

from abc import ABC, abstractmethod
from pathlib import Path

from markupsafe import Markup


class Artifact(ABC):
    """One such file. The report saves it, lists it and gives it a section of the page."""

    key: str  # its name in report.json's `files` and in the closing lines, one word: "points"
    file: str  # its name in the run's folder: "points.ply"
    title: str  # heading of its section of the page

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Writes the file into the run's folder, atomically. Raises CannotWrite."""

    @abstractmethod
    def html(self, folder: Path) -> Markup:
        """The section's content below the title: a line (`line`), or markup that loads no other file. Called after `save`."""


def line(text: str) -> Markup:
    """A line of plain text in the page's style."""
    return Markup('<p class="hint">{}</p>').format(text)
