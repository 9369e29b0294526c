"""Damaged copies of sound files for property tests: as disks, downloads, editors and other programs damage them."""

import copy
import json
import math
import os
import re
from collections.abc import Callable
from pathlib import Path

import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from settings.errors import InputError

# How many examples: RADIANCE_EXAMPLES. They are the same ones at each start.
MANY = settings(
    max_examples=int(os.environ.get("RADIANCE_EXAMPLES", "500")),
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
_WORDS = (
    "NaN",
    "Infinity",
    "-Infinity",
    "1e999",
    "-1e308",
    "1e300",
    "1e39",
    "1e-320",
    "0",
    "-1",
    "true",
    "null",
    '"x"',
    "[]",
    "{}",
    "9" * 5000,
    "1" + "0" * 400,
    str(2**63),
    str(2**31),
    '"\\ud800"',
    '"a\\u0000b"',
    '"a\\nb"',
    '"' + "x" * 300 + '"',
    "[" * 200_000,
    "4300",
    "0.5",
)
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_WORD = re.compile(r'"[^"]*"|-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?')
_VALUES = [
    None,
    True,
    False,
    -1,
    0,
    1,
    7,
    10**9,
    10**30,
    -0.5,
    1.5,
    math.nan,
    math.inf,
    "",
    "text",
    "points",
    "grid",
    "mlp",
    [],
    [1, "a"],
    {},
    {"a": 1},
    (),
    (1, 2),
    torch.tensor(math.nan),
    torch.zeros(0),
    torch.zeros(3),
    torch.full((2, 3), math.inf),
    torch.zeros(4, 3, dtype=torch.int64),
    torch.zeros(1).expand(10**12),
    torch.zeros(2, 2, dtype=torch.complex64),
    torch.zeros(3, 3).to_sparse(),
]
_JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=10)
    | st.sampled_from([10**400, -(10**20), 1e308, "inf", "\ud800", "a|b\n$x$"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@st.composite
def damaged_bytes(draw, whole: bytes) -> bytes:
    """The bytes cut off, with bits flipped, with a piece taken out, or put or repeated elsewhere, or with numbers replaced."""
    damage = draw(st.sampled_from(["cut", "flip", "take out", "splice", "extreme"])) if whole else "cut"
    index = st.integers(0, max(len(whole) - 1, 0))
    if damage == "cut":
        return whole[: draw(index)]
    found = bytearray(whole)
    if damage == "take out":
        start = draw(index)
        return whole[:start] + whole[start + draw(st.integers(1, 64)) :]
    if damage == "flip":
        for _ in range(draw(st.integers(1, 8))):
            found[draw(index)] ^= draw(st.integers(1, 255))
    elif damage == "splice":
        start, end = sorted((draw(index), draw(index)))
        to = draw(index)
        found[to : to + draw(st.sampled_from([0, end - start]))] = whole[start:end]
    else:
        at, width = draw(index), draw(st.sampled_from([1, 2, 4, 8]))
        found[at : at + width] = draw(
            st.sampled_from(
                [b"\0" * 8, b"\xff" * 8, b"\x7f" + b"\xff" * 7, b"\xff" * 7 + b"\x7f", (10**18).to_bytes(8, "little")]
            )
        )[:width]
    return bytes(found)


@st.composite
def damaged_text(draw, whole: str) -> bytes:
    """Damaged bytes of a text, or the text with one of its words or numbers replaced."""
    if draw(st.booleans()):
        return draw(damaged_bytes(whole.encode()))
    words = list((_WORD if draw(st.booleans()) else _NUMBER).finditer(whole))
    word = words[draw(st.integers(0, len(words) - 1))]
    return (whole[: word.start()] + draw(st.sampled_from(_WORDS)) + whole[word.end() :]).encode()


@st.composite
def damaged_content(draw, content):
    """A copy in which one entry, however deep, is removed, has another type, or has a value out of range."""
    if isinstance(content, dict) and content and draw(st.integers(0, 5)):
        key = draw(st.sampled_from(sorted(content, key=str)))
        if not draw(st.integers(0, 7)):
            return {k: v for k, v in content.items() if k != key}
        return content | {key: draw(damaged_content(content[key]))}
    if isinstance(content, list) and content and draw(st.booleans()):
        index = draw(st.integers(0, len(content) - 1))
        return [*content[:index], draw(damaged_content(content[index])), *content[index + 1 :]]
    if isinstance(content, torch.Tensor) and content.numel() and draw(st.booleans()):
        return draw(
            st.sampled_from(
                [
                    _spoiled(content, math.nan),
                    _spoiled(content, -math.inf),
                    _spoiled(content, -1e30),
                    content[None],
                    content[:-1] if content.ndim else content[None],
                    content.mT if content.ndim > 1 else content,
                    content.double(),
                    content.half(),
                    content.long().clamp(0, 1),
                ]
            )
        )
    return draw(st.sampled_from(_VALUES))


def _spoiled(tensor: torch.Tensor, value: float) -> torch.Tensor:
    copy = tensor.clone() if tensor.is_floating_point() else tensor.float()
    copy.view(-1)[-1] = value
    return copy


@st.composite
def damaged_json(draw, whole):
    """The bytes of a JSON file after one or two mishaps: a value changed or lost, the end cut off, bytes overwritten; or any
    bytes at all."""
    content = copy.deepcopy(whole)
    for _ in range(draw(st.integers(0, 2))):
        _change(draw, content)
    text = json.dumps(content).encode()
    mishap = draw(st.sampled_from(["none", "cut", "overwritten", "marked", "other"]))
    if mishap == "cut":
        return text[: draw(st.integers(0, len(text)))]
    if mishap == "overwritten":
        start = draw(st.integers(0, len(text)))
        return text[:start] + draw(st.binary(max_size=5)) + text[start + draw(st.integers(0, 5)) :]
    if mishap == "marked":
        return b"\xef\xbb\xbf" + text
    return draw(st.binary(max_size=50)) if mishap == "other" else text


def _change(draw, content):
    """Change or drop a value somewhere below `content`."""
    while True:
        keys = list(content) if isinstance(content, dict) else list(range(len(content)))
        if not keys:
            return
        key = draw(st.sampled_from(keys))
        if isinstance(content[key], (dict, list)) and draw(st.booleans()):
            content = content[key]
            continue
        if draw(st.booleans()):
            content[key] = draw(_JSON_VALUES)
        else:
            del content[key]
        return


def sound_or_told(read):
    """The result of `read()`, or None for an InputError in one line; anything else that it raises fails the test."""
    try:
        return read()
    except InputError as problem:
        said = str(problem)
        assert said.strip() and said.isprintable() and len(said) < 3000, said
        return None


def read_or_told(path: Path, read: Callable[[], torch.nn.Module]) -> torch.nn.Module | None:
    """The model that a reader returns, or None if it says in one line which file is wrong."""
    try:
        return read()
    except InputError as told:
        assert "\n" not in str(told) and (path.name in str(told) or str(path.parent) in str(told)), told
        assert len(str(told)) < 700, told
        return None


def invalid_values(model: torch.nn.Module | None) -> list[str]:
    """The names of the tensors of a model that hold a value that is not finite."""
    return [name for name, values in model.state_dict().items() if not values.isfinite().all()] if model else []
