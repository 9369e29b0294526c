"""Differentiable point splatting for Torch tensors.

Splats are sorted front to back. With alpha_k the opacity of the k-th splat at a pixel (see `profiles`) and
T_k = prod_{j<k} (1 - alpha_j) the transmittance in front of it, a pixel's features and opacity are

    F = sum_k T_k alpha_k f_k,    A = 1 - T_end                                   (Zhang et al. 2022, eq. 7)

A pixel is finished when its transmittance falls below `min_transmittance`, or after `max_layers` splats with alpha > 0 if that
is set (the original program keeps the 15 nearest). The backward pass runs front to back as well: with R_k the part of
g·F + g_A A that lies behind splat k, obtained by subtraction,

    dL/dalpha_k = T_k (g·f_k + g_A) - R_k / (1 - alpha_k),       dL/df_k = T_k alpha_k g.

At alpha = 1 nothing behind is known and R_k is 0; the quotient is guarded there.
"""

from functools import cache
from typing import NamedTuple

import taichi as ti
import torch
from torch import Tensor

from taichi_kernels import runtime
from taichi_kernels.common.derivatives import once_differentiable
from taichi_kernels.common.types import taichi_type
from taichi_kernels.splatting.binning import bin_splats, schedule
from taichi_kernels.splatting.profiles import PROFILES, SUPPORT

MIN_TRANSMITTANCE = 1e-4
_MAX_CHANNELS = 4  # of one pass; more are rendered in several


class Splatted(NamedTuple):
    """What `splat` returns."""

    image: Tensor  # (H, W, C): composited features, premultiplied by alpha
    alpha: Tensor  # (H, W): 1 - transmittance
    depth: Tensor | None  # (H, W): alpha-weighted mean of the depths, 0 where alpha is 0; None unless asked for


@cache
def _sum_kernel(dtype, columns: int):
    row = ti.types.vector(columns, dtype)
    rows = ti.types.ndarray(dtype=row, ndim=1)
    ints = ti.types.ndarray(dtype=ti.i32, ndim=1)

    @ti.kernel
    def sum_rows(parts: rows, point_slots: ints, sums: rows):
        for i in range(sums.shape[0]):
            total = row(0.0)
            for slot in range(point_slots[i], point_slots[i + 1]):
                total += parts[slot]
            sums[i] = total

    return sum_rows


class _SplatPacked(torch.autograd.Function):
    @staticmethod
    def forward(ctx, splats, depths, width, height, kind, max_layers, min_transmittance):
        splats, depths = splats.detach().contiguous(), depths.detach().contiguous()
        channels = splats.shape[1] - 4
        image, transmittance = splats.new_empty(height, width, channels), splats.new_empty(height, width)
        ctx.bins = None
        if splats.shape[0]:
            dtype = taichi_type(splats)
            bins = bin_splats(splats, depths, width, height, SUPPORT[kind])
            spans = torch.empty_like(bins.entries)  # what the CPU's forward pass leaves for its backward pass
            forward, _ = schedule().splat_kernels(dtype, channels, kind, max_layers > 0)
            limits = (bins.tiles_x, bins.tiles, runtime.workers(), min_transmittance, max_layers)
            forward(splats, bins.tile_start, bins.entries, spans, image, transmittance, *limits)
            ctx.bins, ctx.limits, ctx.kind = bins, limits, kind
            ctx.save_for_backward(splats, spans, image, transmittance)
        else:
            ctx.columns = splats.shape[1]
            image.zero_(), transmittance.fill_(1)
        return image, 1 - transmittance

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_image, grad_alpha):
        if ctx.bins is None:
            return grad_image.new_zeros(0, ctx.columns), *[None] * 6
        splats, spans, image, transmittance = (t.detach() for t in ctx.saved_tensors)
        bins, max_layers = ctx.bins, ctx.limits[-1]
        dtype, columns = taichi_type(splats), splats.shape[1]
        _, backward = schedule().splat_kernels(dtype, columns - 4, ctx.kind, max_layers > 0)
        entry_grad = splats.new_empty(bins.entries.shape[0], columns)
        guard = 1e-3 if splats.dtype == torch.float32 else 1e-9
        backward(
            splats, bins.tile_start, bins.entries, spans, bins.slots, image, transmittance,
            grad_image.contiguous(), grad_alpha.contiguous(), entry_grad, *ctx.limits, guard,
        )
        grad = torch.empty_like(splats)
        _sum_kernel(dtype, columns)(entry_grad, bins.point_slots, grad)
        return grad, *[None] * 6


def splat_packed(
    splats: Tensor, depths: Tensor, width: int, height: int, *,
    profile: str = "parabola", max_layers: int = 0, min_transmittance: float = MIN_TRANSMITTANCE,
) -> tuple[Tensor, Tensor]:
    """Splat rows [column, row, radius, opacity, features...] (N, 4 + C), C <= 4, in pixels; returns image and alpha.

    The fast path under `splat`: differentiable in all columns; `depths` (N,) only order the splats. Rows behind the camera
    must have opacity 0.
    """
    if not 1 <= splats.shape[1] - 4 <= _MAX_CHANNELS:
        raise ValueError(f"splats must have 5 to {4 + _MAX_CHANNELS} columns, got shape {tuple(splats.shape)}")
    return _SplatPacked.apply(splats, depths, width, height, PROFILES[profile], max_layers, min_transmittance)


def splat(
    centers: Tensor, depths: Tensor, radii: Tensor | float, opacities: Tensor | None, features: Tensor, width: int, height: int,
    *, profile: str = "parabola", max_layers: int = 0, min_transmittance: float = MIN_TRANSMITTANCE, with_depth: bool = False,
) -> Splatted:
    """Composite N discs front to back into an image; see the module's docstring for the formulas.

    centers (N, 2): columns and rows in pixels, the first pixel's centre lies at (0.5, 0.5); depths (N,): along the viewing axis,
    points with depth <= 0 are not drawn; radii: (N,) or one number, pixels; opacities (N,) in [0, 1], None for 1;
    features (N, C), any C >= 1; width, height: pixels. profile: `parabola` or `gaussian`; max_layers: splats a pixel at most, 0
    for no limit; min_transmittance: where a pixel is finished, 0 to composite everything.

    Float32 or float64, any number of points (zero too) and any size. Differentiable in centers, radii, opacities, features and,
    through the depth image, in depths. The order of the splats has no gradient. Raises ValueError on shapes, types and devices
    that do not fit.
    """
    count = centers.shape[0]
    _check(centers, depths, features, width, height, profile)
    radii = torch.as_tensor(radii, dtype=centers.dtype, device=centers.device).expand(count)
    if opacities is None:
        opacities = torch.ones_like(depths)
    opacities = torch.where(depths > 0, opacities, 0)
    limits = {"profile": profile, "max_layers": max_layers, "min_transmittance": min_transmittance}
    channels = torch.cat([features, depths[:, None]], 1) if with_depth else features
    geometry = torch.cat([centers, radii[:, None], opacities[:, None]], 1)
    images, alpha = [], None
    for part in channels.split(_MAX_CHANNELS, 1):
        image, part_alpha = splat_packed(torch.cat([geometry, part], 1), depths, width, height, **limits)
        images.append(image)
        alpha = part_alpha if alpha is None else alpha
    image = images[0] if len(images) == 1 else torch.cat(images, 2)
    if not with_depth:
        return Splatted(image, alpha, None)
    depth = image[..., -1] / alpha.clamp_min(1e-8)
    return Splatted(image[..., :-1], alpha, depth)


def _check(centers, depths, features, width, height, profile):
    count = centers.shape[0]
    if centers.shape != (count, 2) or depths.shape != (count,) or features.ndim != 2 or features.shape[0] != count:
        raise ValueError(
            f"expected centers (N, 2), depths (N,), features (N, C); got {tuple(centers.shape)}, "
            f"{tuple(depths.shape)}, {tuple(features.shape)}"
        )
    if features.shape[1] < 1 or width < 1 or height < 1:
        raise ValueError(f"need at least one feature and one pixel, got C={features.shape[1]}, {width}x{height}")
    if centers.dtype not in (torch.float32, torch.float64) or {depths.dtype, features.dtype} != {centers.dtype}:
        raise ValueError("centers, depths and features must all be float32 or all be float64")
    where = runtime.torch_device()
    if centers.device.type != where.type:
        raise ValueError(f"tensors are on {centers.device}, but the kernels run on {runtime.device()}: move them to {where}")
    if profile not in PROFILES:
        raise ValueError(f"unknown profile {profile!r}: choose one of {', '.join(PROFILES)}")
