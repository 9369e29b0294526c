"""Changes to the transforms.json that `written_photos.write_transforms` wrote."""

from pathlib import Path

from tests.datasets.written_photos import read_json, write_json


def change(folder: Path, **top) -> None:
    """Set the file's own entries; None removes one."""
    content = read_json(folder) | top
    write_json(folder, {key: value for key, value in content.items() if value is not None})


def change_frame(folder: Path, k: int, **entries) -> None:
    content = read_json(folder)
    content["frames"][k] |= entries
    write_json(folder, content)
