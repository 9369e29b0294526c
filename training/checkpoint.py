"""Saving a run so that it can go on: everything the next epoch depends on, in one file that is replaced as a whole."""

import io
import os
from pathlib import Path

import torch

from models.checks import check_mapping
from settings.errors import InputError
from settings.options import Options, as_dict, settings_of
from settings.validation import is_used
from system import run_lock
from system.files import atomic, write_text
from system.reading import reading
from training.archive import read
from training.learned_from import difference
from training.run_state import check_run

CHECKPOINT, WEIGHTS = "checkpoint.pt", "weights.pt"
_FORMAT = 3


def save_checkpoint(folder: Path, state: dict, options: Options) -> None:
    """Write `folder/checkpoint.pt`: {optimizer, history, seconds, finished, …} and the options it belongs to.

    Raises CannotWrite, and the last checkpoint is kept.
    """
    run_lock.check(folder)
    _save(folder / CHECKPOINT, {"format": _FORMAT, "options": as_dict(options)} | state)


def save_config(folder: Path, text: str) -> None:
    """Write `folder/config.txt`, the flags of the run. Raises CannotWrite."""
    run_lock.check(folder)
    write_text(folder / "config.txt", text)


def load_checkpoint(folder: Path, options: Options, now: dict | None = None, names: list[str] | None = None) -> dict | None:
    """The state of `folder`'s run, or None without one. Raises InputError if it was started with other options or data.

    now: `learned_from` of this run's data; names: of the training views. Without them, and for runs of earlier
    versions, paths are compared instead.
    """
    path = folder / CHECKPOINT
    if not path.is_file():
        return None
    state = read_run(path, type(options))
    by_content = now is not None and state.get("learned_from") is not None
    with reading(path):
        _check_options(folder, dict(state["options"]), options, by_content)
        other = difference(state["learned_from"], now, names or []) if by_content and now else ""
    if other:
        raise InputError(
            f"{folder} holds a run that began with other data ({other}): give the data that it began with, choose "
            "another --basedir, or --no_reload to start anew"
        )
    return state


def _check_options(folder: Path, then: dict, options: Options, by_content: bool) -> None:
    """Raises InputError if an option has changed that must stay the same during a run. by_content: options that are paths of
    files may change."""
    then = {"method": "points"} | then
    if then["method"] == options.method:
        then = options.as_today(then)
    known = settings_of(options)
    deciding = {field.metadata["needs"][0] for field in known.values() if field.metadata["needs"]}
    for name in sorted(known, key=lambda name: (name != "method", name not in deciding)):  # which others depend on
        if not is_used(known[name], options):
            continue
        story, was, now = known[name].metadata, then.get(name, known[name].default), getattr(options, name)
        longer = story["may_grow"] and isinstance(was, (int, float)) and now is not None and now > was
        if was != now and story["about"] != "run" and not longer and not (by_content and story["path"]):
            raise InputError(
                f"{folder} holds a run with --{name} {was}, this one has {now}: choose another --basedir, the same flags to "
                "continue, or --no_reload to start anew"
            )


def read_run(path: Path, options: type[Options] = Options) -> dict:
    """The state in a checkpoint, of a run with such options. Raises InputError if the file holds something else."""
    state = read(path)
    version = state.get("format") if isinstance(state, dict) else None
    if not isinstance(version, int) or version != _FORMAT or not {"optimizer", "finished"} <= state.keys():
        raise InputError(f"{path} is not a checkpoint that this version can read: choose another --basedir, or give --no_reload")
    with reading(path):
        check_run(check_mapping("it", state, ("options",)), options)
    return state


def model_file(folder: Path, options: Options | None = None) -> Path:
    """The file of the model that --render_only shows: --ft_path, or the folder's checkpoint or weights. Raises InputError."""
    if options is not None and options.ft_path:
        return Path(options.ft_path).expanduser()
    for name in (CHECKPOINT, WEIGHTS):
        if (folder / name).is_file():
            return folder / name
    raise InputError(f"--render_only: {folder} holds neither {CHECKPOINT} nor {WEIGHTS}: train first, or name --ft_path FILE")


def weights_size(weights: dict) -> int:
    """Bytes that `save_weights` would write."""
    buffer = io.BytesIO()
    torch.save({"format": _FORMAT} | weights, buffer)
    return buffer.tell()


def save_weights(folder: Path, weights: dict) -> int:
    """Write a model alone, its `Run.weights`, as `folder/weights.pt`; returns the file's size in bytes. Raises
    CannotWrite."""
    run_lock.check(folder)
    path = folder / WEIGHTS
    _save(path, {"format": _FORMAT} | weights)
    return path.stat().st_size


def _save(path: Path, value: dict) -> None:
    with atomic(path) as temporary, temporary.open("wb") as stream:
        torch.save(value, stream)
        stream.flush()
        os.fsync(stream.fileno())
