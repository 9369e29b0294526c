"""Which samples of a ray are seen: those before which it is not opaque yet.

The transmittance before sample k is T_k = T_0 exp(-sum_{j<k} density_j length_j); it falls along a ray, so what is seen are the
ray's first samples, and what lies behind them neither shows nor learns.
"""

from typing import NamedTuple

import taichi as ti
import torch
from torch import Tensor

from taichi_kernels import runtime

_FLOATS = ti.types.ndarray(dtype=ti.f32, ndim=1)
_INTS = ti.types.ndarray(dtype=ti.i32, ndim=1)
_LONGS = ti.types.ndarray(dtype=ti.i64, ndim=1)


class VisibleSamples(NamedTuple):
    """What is left of R rays' samples."""

    index: Tensor  # (M',) int64: the samples that are seen, in their order
    offsets: Tensor  # (R + 1,) int32: those of ray r are index[offsets[r] : offsets[r + 1]]
    transmittance: Tensor  # (R,) behind the last of them


@ti.kernel
def _count(
    densities: _FLOATS, starts: _FLOATS, ends: _FLOATS,  # (M,)
    offsets: _INTS,  # (R + 1,)
    lengths: _FLOATS,  # (R,)
    least: float,
    clear: _FLOATS,  # (R,) in: T_0, out: behind the last sample that is seen
    counts: _INTS,  # (R,) out: how many of a ray's samples are seen
):
    for r in range(lengths.shape[0]):
        left, k, end = clear[r], offsets[r], offsets[r + 1]
        while k < end and left > least:
            left *= ti.exp(-densities[k] * lengths[r] * (ends[k] - starts[k]))
            k += 1
        counts[r], clear[r] = k - offsets[r], left


@ti.kernel
def _list(offsets: _INTS, kept: _INTS, index: _LONGS):  # (R + 1,), (R + 1,), (M',) out
    for r in range(kept.shape[0] - 1):
        for k in range(kept[r], kept[r + 1]):
            index[k] = ti.cast(offsets[r] + k - kept[r], ti.i64)


def visible_samples(
    densities: Tensor, starts: Tensor, ends: Tensor, offsets: Tensor, lengths: Tensor, clear: Tensor, *, least: float
) -> VisibleSamples:
    """The samples before which their ray's transmittance is above `least`; see the module's docstring.

    densities (M,) >= 0 per world unit, starts and ends (M,) in t, packed by offsets (R + 1,) int32; lengths (R,): world units per
    t; clear (R,): T_0, the transmittance before each ray's first sample. float32; nothing is differentiable. Raises ValueError on
    shapes that do not fit.
    """
    rays, count = len(lengths), len(densities)
    if any(t.shape != (count,) for t in (densities, starts, ends)) or offsets.shape != (rays + 1,) or clear.shape != (rays,):
        shapes = ", ".join(str(tuple(t.shape)) for t in (densities, starts, ends, offsets, lengths, clear))
        raise ValueError(f"expected densities, starts and ends (M,), offsets (R + 1,), lengths and clear (R,); got {shapes}")
    runtime.ensure_init()
    left, inputs = clear.detach().clone(), [t.detach().contiguous() for t in (densities, starts, ends, offsets, lengths)]
    kept = torch.zeros(rays + 1, dtype=torch.int32, device=densities.device)
    if count:
        counts = torch.empty_like(kept[1:])
        _count(*inputs, least, left, counts)
        torch.cumsum(counts, 0, dtype=torch.int32, out=kept[1:])
    index = torch.empty(int(kept[-1]), dtype=torch.int64, device=densities.device)
    if len(index):
        _list(inputs[3], kept, index)
    return VisibleSamples(index, kept, left)
