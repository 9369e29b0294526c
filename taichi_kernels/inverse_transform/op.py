"""The op from Torch tensors to drawn samples; see the package's docstring for the mathematics."""

from typing import NamedTuple

import torch
from torch import Tensor

from taichi_kernels import runtime
from taichi_kernels.common.derivatives import once_differentiable
from taichi_kernels.common.types import taichi_type
from taichi_kernels.inverse_transform.backward import backward_kernel
from taichi_kernels.inverse_transform.forward import forward_kernel

_CHUNK = 64  # samples and bins of a ray that the CPU works out at a time


class Drawn(NamedTuple):
    """What R rays give for K numbers each."""

    t: Tensor  # (R, K), ascending along a ray
    opacity: Tensor  # (R,) y: the fraction of light that the ray's density absorbs
    densities: Tensor  # (R, K) at t, per t; not differentiable


def _made_for(values: Tensor, knots: bool, linear: bool) -> tuple:
    return taichi_type(values), knots, linear, 1 if runtime.is_gpu() else _CHUNK


class _Draw(torch.autograd.Function):
    @staticmethod
    def forward(ctx, t_starts, t_ends, densities, offsets, lengths, uniforms, knots, linear):
        ctx.set_materialize_grads(False)
        rays, samples = uniforms.shape
        inputs = [t.detach().contiguous() for t in (t_starts, t_ends, densities, offsets, lengths, uniforms.reshape(-1))]
        drawn, fractions, drawn_densities = (uniforms.new_empty(rays, samples) for _ in range(3))
        bins = torch.empty_like(drawn, dtype=torch.int32)
        thickness, opacity, before = (uniforms.new_empty(n) for n in (rays, rays, max(len(densities), len(t_starts))))
        if rays:
            out = (drawn, thickness, opacity, bins, fractions, drawn_densities, before)
            forward_kernel(*_made_for(drawn, knots, linear))(*(_filled(t.view(-1)) for t in (*inputs, *out)), samples)
        ctx.save_for_backward(*inputs, thickness, bins, fractions, drawn_densities, opacity)
        ctx.layout = knots, linear
        ctx.mark_non_differentiable(drawn_densities)
        return drawn, opacity, drawn_densities

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_drawn, grad_opacity, _):
        *saved, _ = (t.detach() for t in ctx.saved_tensors)
        t_starts, t_ends, densities, thickness, fractions = *saved[:3], saved[6], saved[8]
        knots, linear = ctx.layout
        grad_drawn = torch.zeros_like(fractions) if grad_drawn is None else grad_drawn.contiguous()
        grad_opacity = torch.zeros_like(thickness) if grad_opacity is None else grad_opacity.contiguous()
        to_t, one = any(ctx.needs_input_grad[:2]), fractions.new_empty(1)
        grad_t_starts, grad_t_ends = (torch.empty_like(t) if to_t else None for t in (t_starts, t_ends))
        if to_t and knots:  # one array holds both
            grad_t_ends = None
        grad_densities = torch.empty_like(densities)
        if len(thickness):
            out = [one if t is None else _filled(t) for t in (grad_t_starts, grad_t_ends, grad_densities)]
            arguments = [_filled(t.view(-1)) for t in (*saved, grad_drawn, grad_opacity)]
            backward_kernel(*_made_for(fractions, knots, linear))(*arguments, *out, fractions.shape[1], to_t)
        return grad_t_starts, grad_t_ends, grad_densities, None, None, None, None, None


def _filled(tensor: Tensor) -> Tensor:
    """The tensor, or one that kernels take if it is empty."""
    return tensor if tensor.numel() else tensor.new_zeros(1)


def draw_from_knots(knots: Tensor, densities: Tensor, uniforms: Tensor, *, lengths: Tensor | None = None) -> Drawn:
    """Sample rays whose density is given at knots; see the package's docstring.

    knots (R, N + 1), t, ascending; densities per world unit, >= 0: (R, N + 1) at the knots, linear in between, or (R, N), one for
    each bin between knots. uniforms (R, K) in [0, 1], ascending along each ray, so that samples are; lengths (R,): world units
    per t, 1 if left out. If a ray has no density, its samples are even from the first knot to the last.
    Differentiable in densities and knots. Raises ValueError on shapes that do not fit.
    """
    rays, count = knots.shape if knots.ndim == 2 else (-1, 0)
    linear = densities.shape == (rays, count)
    if count < 2 or not (linear or densities.shape == (rays, count - 1)) or uniforms.ndim != 2 or len(uniforms) != rays:
        shapes = ", ".join(str(tuple(t.shape)) for t in (knots, densities, uniforms))
        raise ValueError(f"expected knots (R, N + 1), densities (R, N + 1) or (R, N), and uniforms (R, K); got {shapes}")
    offsets = torch.arange(rays + 1, dtype=torch.int32, device=knots.device) * (count - 1)
    flat = knots.reshape(-1)
    return _draw(flat, flat, densities.reshape(-1), offsets, lengths, uniforms, True, linear)


def draw_from_samples(
    densities: Tensor, t_starts: Tensor, t_ends: Tensor, offsets: Tensor, uniforms: Tensor, *, lengths: Tensor | None = None
) -> Drawn:
    """Sample rays by packed intervals, each of one density, with nothing in between: what `compositing.composite` composites.

    densities (M,) per world unit, >= 0; t_starts and t_ends (M,), ascending along each ray; offsets (R + 1,) int32 from 0 to M:
    intervals offsets[r] to offsets[r + 1] belong to ray r, which may have none: its samples are at 0, its opacity is 0. uniforms
    (R, K) and lengths (R,) as `draw_from_knots` takes them. Differentiable in densities, t_starts and t_ends. Raises ValueError
    on shapes that do not fit.
    """
    rays = len(offsets) - 1
    packed = densities.ndim == 1 and densities.shape == t_starts.shape == t_ends.shape
    if not packed or uniforms.ndim != 2 or len(uniforms) != rays:
        shapes = ", ".join(str(tuple(t.shape)) for t in (densities, t_starts, t_ends, offsets, uniforms))
        raise ValueError(f"expected densities, t_starts and t_ends (M,), offsets (R + 1,) and uniforms (R, K); got {shapes}")
    return _draw(t_starts, t_ends, densities, offsets, lengths, uniforms, False, False)


def _draw(t_starts, t_ends, densities, offsets, lengths, uniforms, knots: bool, linear: bool) -> Drawn:
    runtime.ensure_init()
    rays = len(uniforms)
    if lengths is None:
        lengths = densities.new_ones(rays)
    elif lengths.shape != (rays,):
        raise ValueError(f"expected lengths ({rays},); got {tuple(lengths.shape)}")
    types = {(tensor.dtype, tensor.device) for tensor in (t_starts, t_ends, densities, lengths, uniforms)}
    if len(types) > 1 or offsets.dtype != torch.int32 or offsets.device != densities.device:
        raise ValueError(f"expected tensors of one type on one device, and int32 offsets; got {types} and {offsets.dtype}")
    return Drawn(*_Draw.apply(t_starts, t_ends, densities, offsets, lengths, uniforms, knots, linear))
