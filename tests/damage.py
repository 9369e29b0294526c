"""Damaged copies of files, for tests of their readers."""

import math
import os
from collections.abc import Callable
from pathlib import Path

import torch
from hypothesis import settings
from hypothesis import strategies as st

from settings.errors import InputError

MANY = settings(max_examples=int(os.environ.get("RADIANCE_EXAMPLES", "100")), deadline=None, derandomize=True, database=None)
_VALUES = [
    None, True, False, -1, 0, 1, 7, 10**9, 10**30, -0.5, 1.5, math.nan, math.inf, "", "text", "points", "grid", "mlp",
    [], [1, "a"], {}, {"a": 1}, (), (1, 2), torch.tensor(math.nan), torch.zeros(0), torch.zeros(3), torch.full((2, 3), math.inf),
    torch.zeros(4, 3, dtype=torch.int64), torch.zeros(1).expand(10**12), torch.zeros(2, 2, dtype=torch.complex64),
    torch.zeros(3, 3).to_sparse(),
]


@st.composite
def damaged_bytes(draw, content: bytes) -> bytes:
    """The file cut short, with some bits flipped, or with bytes taken out."""
    what = draw(st.sampled_from(["cut", "flipped", "taken out"]))
    start = draw(st.integers(0, len(content) - 1))
    if what == "cut":
        return content[:start]
    if what == "taken out":
        return content[:start] + content[start + draw(st.integers(1, 64)) :]
    spoiled = bytearray(content)
    for at in [start, *draw(st.lists(st.integers(0, len(content) - 1), max_size=3))]:
        spoiled[at] ^= 1 << draw(st.integers(0, 7))
    return bytes(spoiled)


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
        return draw(st.sampled_from([
            _spoiled(content, math.nan), _spoiled(content, -math.inf), _spoiled(content, -1e30), content[None],
            content[:-1] if content.ndim else content[None], content.mT if content.ndim > 1 else content,
            content.double(), content.half(), content.long().clamp(0, 1),
        ]))
    return draw(st.sampled_from(_VALUES))


def _spoiled(tensor: torch.Tensor, value: float) -> torch.Tensor:
    copy = tensor.clone() if tensor.is_floating_point() else tensor.float()
    copy.view(-1)[-1] = value
    return copy


def read_or_told(path: Path, read: Callable[[], torch.nn.Module]) -> None:
    """A reader returns a model of finite values, or says in one line which file is wrong."""
    try:
        model = read()
    except InputError as told:
        assert "\n" not in str(told) and (path.name in str(told) or str(path.parent) in str(told)), told
        assert len(str(told)) < 700, told
    else:
        for name, values in model.state_dict().items():
            assert values.isfinite().all(), name
