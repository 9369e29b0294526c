"""The learned points as a PLY file: coloured in any viewer, and read back bit for bit."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from plyfile import PlyData, PlyElement
from torch import Tensor

from models.checks import check_finite, check_range
from settings.errors import InputError
from system.files import atomic
from system.reading import reading

SH_0 = 0.28209479  # the constant degree-0 spherical harmonic, 1 / (2 sqrt(pi))
SH_COUNT = 9  # coefficients up to degree 2

_POSITION = ("x", "y", "z")
_COLOUR = ("red", "green", "blue")
_BASE = tuple(f"base_{c}" for c in range(3))
_LONGEST_HEADER = 1 << 20  # bytes
_END = re.compile(rb"^end_header\r?\n?", re.MULTILINE)
_RADII = 1e-34, 1e34  # range in which exp(log(radius)) works in float32
_BYTES = {
    "char": 1,
    "uchar": 1,
    "short": 2,
    "ushort": 2,
    "int": 4,
    "uint": 4,
    "float": 4,
    "double": 8,
    "int8": 1,
    "uint8": 1,
    "int16": 2,
    "uint16": 2,
    "int32": 4,
    "uint32": 4,
    "float32": 4,
    "float64": 8,
}
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
    opacity (N,) and radius (N,) if the model learns them. Viewers read x y z and red green blue, the part of
    the colour that does not depend on the direction (base + SH_0 sh[:, 0], clamped and rounded to 8 bits);
    `load_ply` reads every number as float32 from the properties base_0..2, sh_0..26, opacity and radius.
    settings: plain values that `ply_settings` reads back from the header's comments. Raises ValueError if
    shapes do not fit, and CannotWrite.
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
    """The settings that `save_ply` wrote into the file's comments. Raises InputError if they are not `{"name": value}`."""
    found: dict[str, Any] = {}
    with reading(path):
        for comment in _header(path):
            word, _, text = comment.partition(" ")
            if word == "setting":
                try:
                    setting = json.loads(text)
                except json.JSONDecodeError:
                    setting = None
                if not isinstance(setting, dict):
                    raise InputError(f"{path} has a setting that cannot be read: {text[:60]!r}")
                found |= setting
    return found


def load_ply(path: Path) -> dict[str, Tensor]:
    """Reads what `save_ply` wrote: float32 tensors positions (N, 3), base (N, 3), sh (N, 9, 3), and opacity
    (N,) and radius (N,) if the file has them.

    Raises InputError if the file is missing, damaged or from another program, and for values that are not finite, radii that are
    not above 0 and opacities outside [0, 1].
    """
    with reading(path, "is not a complete PLY file of points: export it again", "it is the point cloud to read"):
        _header(path)
        vertices = PlyData.read(str(path), mmap=False)["vertex"].data  # pyright: ignore[reportArgumentType]  # its default is one
    missing = [n for n in (*_POSITION, *_BASE, *_SH) if n not in (vertices.dtype.names or ())]
    if missing:
        raise InputError(f"{path} lacks the property {missing[0]}: give a points.ply that this program wrote")

    def column(*names: str) -> Tensor:
        with np.errstate(over="ignore"):  # gives infinity, which raises an error below
            return torch.from_numpy(np.stack([vertices[n].astype(np.float32) for n in names], axis=-1))

    with reading(path):
        sh = column(*_SH).reshape(-1, SH_COUNT, 3)
        cloud = {"positions": column(*_POSITION), "base": column(*_BASE), "sh": sh}
        cloud |= {n: column(n)[:, 0] for n in ("opacity", "radius") if n in vertices.dtype.names}
        for name in ("positions", "base", "sh"):
            check_finite(name, cloud[name])
        if "opacity" in cloud:
            check_range("opacity", cloud["opacity"], 0, 1, "not in [0, 1]")
        if "radius" in cloud:
            check_range("radius", cloud["radius"], *_RADII, "not a valid radius")
    return cloud


def _header(path: Path) -> list[str]:
    """The comments of a PLY file. Raises ValueError for an impossible header: a count below 0, the same name twice, or more
    elements than the file's bytes can hold."""
    with path.open("rb") as file:
        start = file.read(_LONGEST_HEADER)
    end = _END.search(start)
    if not end:
        raise ValueError("its header has no end")
    lines, length, text = start[: end.end()].decode("ascii").split("\n"), end.end(), False
    elements: dict[str, int] = {}  # bytes of each, at least
    counts: dict[str, int] = {}
    properties: set[str] = set()
    name = ""
    for line in lines:
        words = line.split()
        if words[:1] == ["format"]:
            text = words[1:2] == ["ascii"]
        elif words[:1] == ["element"]:
            if len(words) != 3 or not words[2].isdigit() or words[1] in counts:
                raise ValueError(f"its header has the line {line[:60]!r}")
            name, properties = words[1], set()
            counts[name], elements[name] = int(words[2]), 0
        elif words[:1] == ["property"] and name:
            if words[-1] in properties:
                raise ValueError(f"{name} has two properties {words[-1][:60]!r}")
            properties.add(words[-1])
            elements[name] += 2 if text else _BYTES.get(words[2 if words[1:2] == ["list"] else 1], 1)
    needed = sum(count * max(1, elements[name]) for name, count in counts.items())
    if needed > path.stat().st_size - length + text:  # the last line may lack its end
        raise ValueError(f"it is too short for {', '.join(f'{count} x {name}' for name, count in counts.items())}")
    return [line.partition(" ")[2].strip() for line in lines if line.startswith("comment")]
