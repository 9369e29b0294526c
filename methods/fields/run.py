"""A radiance field in training or loaded: its files, and the precision of its networks."""

from dataclasses import dataclass
from pathlib import Path

from datasets.scene import Scene
from methods.fields.network_start import network_flags, sampling, scene_ndc
from methods.fields.options import FieldOptions
from models.fields import field_from_state
from models.marched_field import MarchedField
from models.nerf_pytorch import from_nerf_pytorch, networks_in
from models.proposed_field import ProposedField
from models.ray_model import RayModel
from settings.errors import InputError
from system.reading import reading
from taichi_kernels import runtime
from training.archive import read
from training.checkpoint import CHECKPOINT, model_file, read_run
from training.step_task import StepRun


@dataclass(kw_only=True)
class FieldRun(StepRun):
    """A field in training."""

    model: RayModel

    def weights(self) -> dict:
        return {"field": self.model.state(training=False)}


def in_bfloat16(options: FieldOptions, model: RayModel) -> bool:
    """Whether the model's networks multiply in bfloat16: as the user says; otherwise if that is fast and the field is a grid."""
    if options.mixed_precision is not None:
        return options.mixed_precision
    return isinstance(model, (MarchedField, ProposedField)) and runtime.has_bfloat16()


def load_field_run(scene: Scene, options: FieldOptions, folder: Path) -> FieldRun:
    """The run in `folder` as its checkpoint left it, or just its weights; or the field in the file that --ft_path names.

    Raises InputError if there is none.
    """
    path = model_file(folder, options)
    state = read_run(path, FieldOptions) if path == folder / CHECKPOINT else load_field(path)
    if path == folder / CHECKPOINT and "field" not in state:
        raise InputError(f"{folder} holds no radiance field, but a run of --method {state['options'].get('method')}: give that")
    run = FieldRun(model=field_in(state, path, scene, options).to(runtime.torch_device()))
    run.model.set_bfloat16(in_bfloat16(options, run.model))
    if path == folder / CHECKPOINT:
        run.take(state)
    return run


def load_field(path: Path) -> dict:
    """The content of a weights file or a checkpoint of a field, its state under `field`, or of a checkpoint of nerf-pytorch.

    Raises InputError if there is none.
    """
    state = read(path)
    with reading(path):
        known = isinstance(state, dict) and ("field" in state or networks_in(state) is not None)
    if not known:
        raise InputError(f"{path} holds no radiance field of this program: --method points shows clouds")
    return state


def field_in(state: dict, path: Path, scene: Scene, options: FieldOptions) -> RayModel:
    """The model that a file holds: of this program, or of nerf-pytorch."""
    with reading(path):
        if "field" in state:
            return _as_flags_say(field_from_state(state["field"]), path, options)
        if options.rvs:
            raise InputError(f"{path} holds networks of nerf-pytorch, which were trained without --rvs: drop that flag")
        chosen = sampling(scene, options, endless=True, as_nerf_pytorch=True)
        return _as_flags_say(from_nerf_pytorch(state, chosen, scene_ndc(scene)), path, options)


def _as_flags_say(model: RayModel, path: Path, options: FieldOptions) -> RayModel:
    """The model. Raises InputError if a flag was given that asks for other networks or samples."""
    for name, value in network_flags(model).items():
        wanted = getattr(options, name)
        if name in options.given and wanted != value:
            raise InputError(f"--{name} {wanted} does not fit {path}, a model with --{name} {value}: drop the flag")
    return model
