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
    densities: _FLOATS, t_starts: _FLOATS, t_ends: _FLOATS,  # (M,)
    offsets: _INTS,  # (R + 1,)
    lengths: _FLOATS,  # (R,)
    min_transmittance: float,
    transmittance: _FLOATS,  # (R,) in: T_0, out: behind the last sample that is seen
    counts: _INTS,  # (R,) out: how many of a ray's samples are seen
):
    for r in range(lengths.shape[0]):
        left, k, end = transmittance[r], offsets[r], offsets[r + 1]
        while k < end and left > min_transmittance:
            left *= ti.exp(-densities[k] * lengths[r] * (t_ends[k] - t_starts[k]))
            k += 1
        counts[r], transmittance[r] = k - offsets[r], left


@ti.kernel
def _list(offsets: _INTS, kept: _INTS, index: _LONGS):  # (R + 1,), (R + 1,), (M',) out
    for r in range(kept.shape[0] - 1):
        for k in range(kept[r], kept[r + 1]):
            index[k] = ti.cast(offsets[r] + k - kept[r], ti.i64)


def visible_samples(
    densities: Tensor, t_starts: Tensor, t_ends: Tensor, offsets: Tensor, lengths: Tensor, transmittance: Tensor,
    *, min_transmittance: float,
) -> VisibleSamples:
    """The samples before which their ray's transmittance is above `min_transmittance`; see the module's docstring.

    densities (M,) >= 0 per world unit, t_starts and t_ends (M,), packed by offsets (R + 1,) int32; lengths (R,): world units per
    t; transmittance (R,): T_0, that before each ray's first sample. float32; nothing is differentiable. Raises ValueError on
    shapes that do not fit.
    """
    rays, count = len(lengths), len(densities)
    packed = all(t.shape == (count,) for t in (densities, t_starts, t_ends))
    if not packed or offsets.shape != (rays + 1,) or transmittance.shape != (rays,):
        shapes = ", ".join(str(tuple(t.shape)) for t in (densities, t_starts, t_ends, offsets, lengths, transmittance))
        raise ValueError(f"expected densities, t_starts, t_ends (M,), offsets (R + 1,), lengths and T_0 (R,); got {shapes}")
    runtime.ensure_init()
    inputs = [t.detach().contiguous() for t in (densities, t_starts, t_ends, offsets, lengths)]
    left = transmittance.detach().clone()
    kept = torch.zeros(rays + 1, dtype=torch.int32, device=densities.device)
    if count:
        counts = torch.empty_like(kept[1:])
        _count(*inputs, min_transmittance, left, counts)
        torch.cumsum(counts, 0, dtype=torch.int32, out=kept[1:])
    index = torch.empty(int(kept[-1]), dtype=torch.int64, device=densities.device)
    if len(index):
        _list(inputs[3], kept, index)
    return VisibleSamples(index, kept, left)
