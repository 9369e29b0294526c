"""Saving a run so that it can go on: everything the next epoch depends on, in one file that is replaced as a whole."""

import io
import os
from dataclasses import fields
from pathlib import Path

import torch

from models.nerf_pytorch import COARSE
from models.points import PointCloud
from models.ray_model import RayModel
from settings.errors import InputError
from settings.files import atomic
from settings.options import FIELD_DEFAULTS, Options

CHECKPOINT, WEIGHTS = "checkpoint.pt", "weights.pt"
_FORMAT = 3
# What may differ between the parts of one run.
_FREE = {
    "basedir", "device", "threads", "resume", "no_reload", "render_only", "render_test", "render_factor", "chunk", "netchunk",
    "i_testset", "i_video", "i_weights",
}
# What says how a finished model is looked at, not how it was made.
HOW_IT_IS_SEEN = _FREE | {"datadir", "dataname", "img_s", "half_res", "testskip", "white_bkgd", "protocol", "ft_path"}


def save_checkpoint(folder: Path, state: dict, options: Options) -> None:
    """Write `folder/checkpoint.pt`: {cloud, stage, epoch, optimizer, history, seconds, …} and the options it belongs to."""
    choices = {f.name: getattr(options, f.name) for f in fields(options)}
    _save(folder / CHECKPOINT, {"format": _FORMAT, "options": choices} | state)


def load_checkpoint(folder: Path, options: Options) -> dict | None:
    """The state of `folder`'s run, or None without one. Raises InputError if it was started with other options."""
    path = folder / CHECKPOINT
    if not path.is_file():
        return None
    state = read_run(path)
    then = dict(state["options"])
    if then.get("method", "points") == "points":  # earlier versions took one view a step
        then = {"batch_views": 1} | then
    if then.get("method") == "nerf":  # what later versions leave to the field
        then |= {name: value for name, value in FIELD_DEFAULTS[then["field"]].items() if then.get(name) is None}
    for f in fields(options):
        now = getattr(options, f.name)
        if f.name not in _FREE and then.get(f.name, f.default) != now:
            raise InputError(
                f"{folder} holds a run with --{f.name} {then.get(f.name)}, this one has {now}: choose another --basedir, the "
                "same flags to continue, or --no_reload to start anew"
            )
    return state


def read_run(path: Path) -> dict:
    """The state in a checkpoint. Raises InputError where the file holds something else."""
    state = read(path)
    if not isinstance(state, dict) or state.get("format") != _FORMAT or not {"optimizer", "finished"} <= state.keys():
        raise InputError(f"{path} is no checkpoint of this program's version: choose another --basedir or pass --no_reload")
    return state


def weights_size(model: PointCloud | RayModel) -> int:
    """Bytes that `save_weights` would write."""
    buffer = io.BytesIO()
    torch.save(_weights(model), buffer)
    return buffer.tell()


def save_weights(folder: Path, model: PointCloud | RayModel) -> int:
    """Write the model alone, `folder/weights.pt`; returns the file's size in bytes."""
    path = folder / WEIGHTS
    _save(path, _weights(model))
    return path.stat().st_size


def _weights(model: PointCloud | RayModel) -> dict:
    known = {"cloud": cloud_state(model)} if isinstance(model, PointCloud) else {"field": model.state(training=False)}
    return {"format": _FORMAT} | known


def cloud_state(cloud: PointCloud) -> dict:
    """A cloud as plain tensors and numbers."""
    return {"tensors": {k: v.cpu() for k, v in cloud.tensors().items()}, "settings": cloud.settings()}


def cloud_from(state: dict, device) -> PointCloud:
    """The cloud of `cloud_state`, in the same order of points."""
    return PointCloud(**{k: v.to(device) for k, v in state["tensors"].items()}, **state["settings"])


def load_weights(path: Path, device) -> PointCloud:
    """The cloud in a weights file or in a checkpoint. Raises InputError where there is none."""
    if not path.is_file():
        raise InputError(f"no such file: {path}")
    state = read(path)
    if not isinstance(state, dict) or "cloud" not in state:
        raise InputError(f"{path} holds no point cloud of this program: --method nerf shows radiance fields")
    return cloud_from(state["cloud"], device)


def load_field(path: Path) -> dict:
    """What a weights file or a checkpoint of a field holds, its state under `field`, or a checkpoint of nerf-pytorch.

    Raises InputError where there is none.
    """
    if not path.is_file():
        raise InputError(f"no such file: {path}")
    state = read(path)
    if not isinstance(state, dict) or not {"field", COARSE} & state.keys():
        raise InputError(f"{path} holds no radiance field of this program: --method points shows clouds")
    return state


def read(path: Path):
    """The content of a file that `torch.save` wrote, tensors and plain values only."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as problem:  # torch raises many kinds for a file that is cut or not its own
        raise InputError(f"cannot read {path}: it is damaged, or no file of this program ({type(problem).__name__})") from problem


def _save(path: Path, value: dict) -> None:
    with atomic(path) as temporary, temporary.open("wb") as stream:
        torch.save(value, stream)
        stream.flush()
        os.fsync(stream.fileno())
