"""Which photographs of a transforms.json are for training, for validation and for testing."""

from pathlib import Path

from datasets.file_names import normalised, printable, similar_names
from datasets.photographs import Photo, hold_out
from settings.errors import InputError
from settings.options import Options

_LISTS = {"train": "train_filenames", "val": "val_filenames", "test": "test_filenames"}


def split_views(
    top: dict, path: Path, files: list[str], photos: list[Photo], options: Options
) -> tuple[dict[str, list[Photo]], list[int]]:
    """The photos of each split and the test views' indices, by the file's own lists or by --llffhold.

    `files` are all that the frames name, `photos` those that exist, sorted. An empty list counts as a missing one. Raises
    InputError, which says why, if there are no training or no test views.
    """
    named = {split: found for split, key in _LISTS.items() if (found := _listed(top, path, key, files))}
    if not named:
        train, test = hold_out(len(photos), options.llffhold, path, len(files))
        val = []
    else:
        everything = set(files)
        evaluated = named.get("test") or named.get("val") or everything - named.get("train", set())
        trained = named.get("train") or everything - evaluated - named.get("val", set())
        if both := sorted(trained & evaluated):
            raise InputError(f"{path}: {printable(both[0])} is both a training view and one to evaluate on")
        kept_back = named.get("val", set()) if named.get("test") else set()
        train, val, test = (
            [k for k, photo in enumerate(photos) if photo.file in wanted] for wanted in (trained, kept_back, evaluated)
        )
        for found, wanted, what in ((train, trained, "training"), (test, evaluated, "test")):
            if not found:
                raise InputError(_why_none(path, named, wanted, what, len(files)))
    test = test[:: options.testskip]
    return {
        "train": [photos[k] for k in train],
        "val": [photos[k] for k in val[:: options.testskip]],
        "test": [photos[k] for k in test],
    }, test


def _why_none(path: Path, named: dict[str, set[str]], wanted: set[str], what: str, count: int) -> str:
    """Why the lists leave no training or no test views."""
    lists = " and ".join(_LISTS[split] for split in named)
    if wanted:
        return (
            f"{path}: its {lists} {'gives' if len(named) == 1 else 'give'} {len(wanted)} images as {what} views, and none of "
            f"them exists ({printable(min(wanted))} first): put them there, or remove the lists"
        )
    return (
        f"{path}: its {lists} {'lists' if len(named) == 1 else 'list'} all {count} images, which leaves no {what} views: "
        "take some out, or remove the lists"
    )


def _listed(top: dict, path: Path, key: str, files: list[str]) -> set[str]:
    """The frames' files that the list `key` names; empty without that list."""
    entries = top.get(key, [])
    if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
        raise InputError(f"{path}: {key} is not a list of file names")
    known, found = set(files), set()
    for entry in map(normalised, entries):
        if entry not in known:
            meant = similar_names(entry, files)
            if len(meant) != 1:
                raise InputError(
                    f"{path}: {key} names {printable(entry)}, which is not the file_path of any frame"
                    if not meant
                    else f"{path}: {key} names {printable(entry)}, which might be {' or '.join(map(printable, meant))}"
                )
            entry = meant[0]
        found.add(entry)
    return found
