"""The learned points as a PLY file: coloured in any viewer, complete enough to be read back to the bit."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from plyfile import PlyData, PlyElement, PlyHeaderParseError, PlyParseError
from torch import Tensor

from settings.errors import InputError
from settings.files import atomic

SH_0 = 0.28209479  # the constant degree-0 spherical harmonic, 1 / (2 sqrt(pi))
SH_COUNT = 9  # coefficients up to degree 2

_POSITION = ("x", "y", "z")
_COLOUR = ("red", "green", "blue")
_BASE = tuple(f"base_{c}" for c in range(3))
_SH = tuple(f"sh_{i}" for i in range(3 * SH_COUNT))  # coefficient k of channel c is sh_{3k + c}


def save_ply(
    path: Path,
    positions: Tensor,
    base: Tensor,
    sh: Tensor,
    opacity: Tensor | None = None,
    radius: Tensor | None = None,
    settings: dict | None = None,
) -> None:
    """Writes a point cloud as binary little-endian PLY, atomically.

    positions (N, 3) world units; base (N, 3) colours; sh (N, 9, 3) coefficients, degree by degree;
    opacity (N,) and radius (N,) where the model learns them. Viewers find x y z and red green blue, the part
    of the colour that does not depend on the direction (base + SH_0 sh[:, 0], clamped and rounded to 8 bits);
    `load_ply` finds every number as float32 in the properties base_0..2, sh_0..26, opacity and radius.
    settings: plain values that `ply_settings` reads back from the header's comments. Raises ValueError where
    shapes do not fit.
    """
    count = positions.shape[0]
    wanted = {
        "positions": (positions, (count, 3)),
        "base": (base, (count, 3)),
        "sh": (sh, (count, SH_COUNT, 3)),
        "opacity": (opacity, (count,)),
        "radius": (radius, (count,)),
    }
    arrays = {}
    for name, (tensor, shape) in wanted.items():
        if tensor is None:
            continue
        if tuple(tensor.shape) != shape:
            raise ValueError(f"{name} has shape {tuple(tensor.shape)}, but {shape} is needed")
        arrays[name] = tensor.detach().float().cpu().numpy()

    names = [*_POSITION, *_BASE, *_SH, *(n for n in ("opacity", "radius") if n in arrays)]
    fields = [(n, "<f4") for n in _POSITION] + [(n, "u1") for n in _COLOUR] + [(n, "<f4") for n in names[3:]]
    vertices = np.empty(count, dtype=fields)
    columns = [arrays["positions"], arrays["base"], arrays["sh"].reshape(count, 3 * SH_COUNT)]
    columns += [arrays[n][:, None] for n in ("opacity", "radius") if n in arrays]
    for name, column in zip(names, np.concatenate(columns, axis=1).T, strict=True):
        vertices[name] = column
    visible = np.nan_to_num(arrays["base"] + SH_0 * arrays["sh"][:, 0])
    for name, column in zip(_COLOUR, np.rint(visible.clip(0, 1) * 255).T, strict=True):
        vertices[name] = column
    comments = ["points of a radiance field; colour(d) = base + sum over k of sh_(3k+c) Y_k(d)"]
    comments += [f"setting {json.dumps({name: value})}" for name, value in (settings or {}).items()]
    with atomic(Path(path)) as temporary:
        PlyData([PlyElement.describe(vertices, "vertex")], byte_order="<", comments=comments).write(temporary)


def ply_settings(path: Path) -> dict[str, Any]:
    """The settings that `save_ply` wrote into the file's comments; call after `load_ply`, which reports damage."""
    found = {}
    for comment in PlyData.read(str(path), mmap=False).comments:
        word, _, text = comment.partition(" ")
        if word == "setting":
            try:
                found |= json.loads(text)
            except (json.JSONDecodeError, TypeError):
                raise InputError(f"{path} has a setting that cannot be read: {text[:60]}") from None
    return found


def load_ply(path: Path) -> dict[str, Tensor]:
    """Reads what `save_ply` wrote: float32 tensors positions (N, 3), base (N, 3), sh (N, 9, 3), and opacity
    (N,) and radius (N,) where the file has them.

    Raises InputError where the file is missing, damaged or from elsewhere.
    """
    try:
        vertices = PlyData.read(str(path), mmap=False)["vertex"].data
    except OSError as problem:
        raise InputError(f"cannot read the point cloud {path}: {problem.strerror or problem}") from None
    except (PlyHeaderParseError, PlyParseError, KeyError, UnicodeDecodeError) as problem:
        raise InputError(
            f"{path} is not a complete PLY file of points ({problem}); export it again"
        ) from None
    missing = [n for n in (*_POSITION, *_BASE, *_SH) if n not in vertices.dtype.names]
    if missing:
        raise InputError(f"{path} lacks the property {missing[0]}: give a points.ply that this program wrote")

    def column(*names: str) -> Tensor:
        return torch.from_numpy(np.stack([vertices[n].astype(np.float32) for n in names], axis=-1))

    sh = column(*_SH).reshape(-1, SH_COUNT, 3)
    cloud = {"positions": column(*_POSITION), "base": column(*_BASE), "sh": sh}
    return cloud | {n: column(n)[:, 0] for n in ("opacity", "radius") if n in vertices.dtype.names}
