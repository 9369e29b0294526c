"""Saving a run so that it can go on: everything the next epoch depends on, in one file that is replaced as a whole."""

import io
import os
from dataclasses import fields
from pathlib import Path

import torch

from models.checks import check_mapping
from settings.errors import InputError
from settings.options import FIELD_DEFAULTS, Options
from system import run_lock
from system.files import atomic, write_text
from system.reading import reading
from training.archive import read
from training.learned_from import difference
from training.run_state import check_run

CHECKPOINT, WEIGHTS = "checkpoint.pt", "weights.pt"
_FORMAT = 3
# What may differ between the parts of one run.
_FREE = {
    "basedir", "device", "threads", "resume", "no_reload", "render_only", "render_test", "render_factor", "chunk", "netchunk",
    "i_testset", "i_video", "i_weights",
}
# What says where files lie: what they hold is compared instead, see `training.learned_from`.
_PATHS = {"datadir", "dataname", "dataset_type", "maskdir", "ft_path", "expname"}
# What says how a finished model is looked at, not how it was made.
HOW_IT_IS_SEEN = _FREE | {"datadir", "dataname", "img_s", "half_res", "testskip", "white_bkgd", "protocol", "ft_path"}


def save_checkpoint(folder: Path, state: dict, options: Options) -> None:
    """Write `folder/checkpoint.pt`: {optimizer, history, seconds, finished, …} and the options it belongs to.

    Raises CannotWrite, and the last checkpoint is kept.
    """
    run_lock.check(folder)
    choices = {f.name: getattr(options, f.name) for f in fields(options)}
    _save(folder / CHECKPOINT, {"format": _FORMAT, "options": choices} | state)


def save_config(folder: Path, text: str) -> None:
    """Write `folder/config.txt`, the flags of the run. Raises CannotWrite."""
    run_lock.check(folder)
    write_text(folder / "config.txt", text)


def load_checkpoint(folder: Path, options: Options, now: dict | None = None, names: list[str] | None = None) -> dict | None:
    """The state of `folder`'s run, or None without one. Raises InputError if it was started with other options or data.

    now: what `learned_from` says of the data of this run; names: of the training views. Without them, and for runs of earlier
    versions, paths are compared instead.
    """
    path = folder / CHECKPOINT
    if not path.is_file():
        return None
    state = read_run(path)
    by_content = now is not None and state.get("learned_from") is not None
    with reading(path):
        _check_options(folder, dict(state["options"]), options, _FREE | _PATHS if by_content else _FREE)
        other = difference(state["learned_from"], now, names or []) if by_content else ""
    if other:
        raise InputError(f"{folder} holds a run that began with other data ({other}): give the data that it began with, choose "
                         "another --basedir, or --no_reload to start anew")
    return state


def _check_options(folder: Path, then: dict, options: Options, free: set[str]) -> None:
    """Raises InputError where an option that is not free differs from what it was."""
    if then.get("method", "points") == "points":  # earlier versions took one view a step
        then = {"batch_views": 1} | then
    if then.get("method") == "nerf":  # what later versions leave to the field
        then |= {name: value for name, value in FIELD_DEFAULTS[then["field"]].items() if then.get(name) is None}
    for f in fields(options):
        now = getattr(options, f.name)
        if f.name not in free and then.get(f.name, f.default) != now:
            raise InputError(
                f"{folder} holds a run with --{f.name} {then.get(f.name)}, this one has {now}: choose another --basedir, the "
                "same flags to continue, or --no_reload to start anew"
            )


def read_run(path: Path) -> dict:
    """The state in a checkpoint. Raises InputError where the file holds something else."""
    state = read(path)
    version = state.get("format") if isinstance(state, dict) else None
    if not isinstance(version, int) or version != _FORMAT or not {"optimizer", "finished"} <= state.keys():
        raise InputError(f"{path} is no checkpoint of this program's version: choose another --basedir or pass --no_reload")
    with reading(path):
        check_run(check_mapping("it", state, ("options",)))
    return state


def weights_size(weights: dict) -> int:
    """Bytes that `save_weights` would write."""
    buffer = io.BytesIO()
    torch.save({"format": _FORMAT} | weights, buffer)
    return buffer.tell()


def save_weights(folder: Path, weights: dict) -> int:
    """Write a model alone, what `Run.weights` says of it, as `folder/weights.pt`; returns the file's size in bytes. Raises
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
