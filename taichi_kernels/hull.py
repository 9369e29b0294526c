"""Visual hull carving: which cells of a grid are seen as foreground by enough views.

A cell centre votes in a view where the bilinear sample of the view's mask at its projection is above zero, that is, where one of
the up to four pixels around it with a non-zero weight is foreground (pixels outside the image are not). A projection
just outside the image, up to `margin` beyond its edge in units of half the image size, counts as foreground (the
original's rule); farther outside, or behind the camera, as background. A cell is kept if it fails in at most `allowed_misses`
views.

Blocks of 8 x 8 x 8 cells are tried first: where the square around a block's projection holds no foreground (an integral image
tells at once) all its cells fail in that view.
"""

from collections.abc import Sequence

import taichi as ti
import torch
from torch import Tensor

from taichi_kernels import runtime

_BLOCK = 8
_ARRAY1 = ti.types.ndarray(dtype=ti.f32, ndim=1)
_ARRAY2 = ti.types.ndarray(dtype=ti.f32, ndim=2)
_MASKS = ti.types.ndarray(dtype=ti.u8, ndim=3)
_INTEGRALS = ti.types.ndarray(dtype=ti.i32, ndim=3)
_INTS = ti.types.ndarray(dtype=ti.i32, ndim=1)
_SIZES = ti.types.ndarray(dtype=ti.i32, ndim=2)  # (V, 2) height and width of each view's mask, px


@ti.func
def _project(cameras: ti.template(), view, p):
    """Image column, row and depth of a world point in one view."""
    d = p - ti.Vector([cameras[view, 3], cameras[view, 7], cameras[view, 11]])
    x = cameras[view, 0] * d[0] + cameras[view, 4] * d[1] + cameras[view, 8] * d[2]
    y = cameras[view, 1] * d[0] + cameras[view, 5] * d[1] + cameras[view, 9] * d[2]
    z = -(cameras[view, 2] * d[0] + cameras[view, 6] * d[1] + cameras[view, 10] * d[2])
    inv_z = 1.0 / ti.max(z, 1e-6)
    return cameras[view, 12] * x * inv_z + cameras[view, 14], -cameras[view, 13] * y * inv_z + cameras[view, 15], z


@ti.func
def _foreground(masks: ti.template(), sizes: ti.template(), view, column, row, z, margin):
    """1 where the view sees the projection as foreground."""
    height, width = sizes[view, 0], sizes[view, 1]
    # distance of the projection from the image's centre, in half sizes: up to 1 inside
    u, v = ti.abs(2.0 * column / width - 1.0), ti.abs(2.0 * row / height - 1.0)
    far = ti.max(u, v)
    hit = 0
    if z > 0.0:
        if far <= 1.0:
            fx, fy = column - 0.5, row - 0.5
            x0, y0 = ti.cast(ti.floor(fx), ti.i32), ti.cast(ti.floor(fy), ti.i32)
            for dy in ti.static(range(2)):
                for dx in ti.static(range(2)):
                    x, y = x0 + dx, y0 + dy
                    weighted = (dx == 0 or fx > x0) and (dy == 0 or fy > y0)
                    if weighted and x >= 0 and x < width and y >= 0 and y < height:
                        if masks[view, y, x] > 0:
                            hit = 1
        elif far <= 1.0 + margin:
            hit = 1
    return hit


@ti.kernel
def _block_misses(
    xs: _ARRAY1, ys: _ARRAY1, zs: _ARRAY1, cameras: _ARRAY2, integrals: _INTEGRALS, sizes: _SIZES, alive: _INTS,
    blocks_y: int, blocks_z: int, margin: float, allowed_misses: int,
):
    for b in range(alive.shape[0]):
        bx, by, bz = b // (blocks_y * blocks_z), b // blocks_z % blocks_y, b % blocks_z
        i0, j0, k0 = bx * _BLOCK, by * _BLOCK, bz * _BLOCK
        i1 = ti.min(i0 + _BLOCK, xs.shape[0]) - 1
        j1 = ti.min(j0 + _BLOCK, ys.shape[0]) - 1
        k1 = ti.min(k0 + _BLOCK, zs.shape[0]) - 1
        low, high = ti.Vector([xs[i0], ys[j0], zs[k0]]), ti.Vector([xs[i1], ys[j1], zs[k1]])
        center, reach = 0.5 * (low + high), 0.5 * (high - low).norm()
        misses, view = 0, 0
        while view < cameras.shape[0] and misses <= allowed_misses:
            height, width = sizes[view, 0], sizes[view, 1]
            column, row, z = _project(cameras, view, center)
            nearest = z - reach
            if nearest > 0.0:
                # a point within `reach` of the centre moves by at most f reach / nearest * (1 + |tangent|) on the screen
                tx = ti.abs(column - cameras[view, 14]) / cameras[view, 12]
                ty = ti.abs(row - cameras[view, 15]) / cameras[view, 13]
                rx = cameras[view, 12] * reach / nearest * (1.0 + tx) + 1.5
                ry = cameras[view, 13] * reach / nearest * (1.0 + ty) + 1.5
                edge_x, edge_y = 0.5 * margin * width, 0.5 * margin * height
                outside = column + rx < -edge_x or column - rx > width + edge_x
                outside = outside or row + ry < -edge_y or row - ry > height + edge_y
                inside = column - rx >= 0.0 and column + rx <= width and row - ry >= 0.0 and row + ry <= height
                if outside:
                    misses += 1
                elif inside:
                    x0, x1 = ti.cast(ti.floor(column - rx), ti.i32), ti.cast(ti.ceil(column + rx), ti.i32)
                    y0, y1 = ti.cast(ti.floor(row - ry), ti.i32), ti.cast(ti.ceil(row + ry), ti.i32)
                    total = integrals[view, y1, x1] - integrals[view, y0, x1] - integrals[view, y1, x0] + integrals[view, y0, x0]
                    if total == 0:
                        misses += 1
            view += 1
        alive[b] = ti.select(misses <= allowed_misses, 1, 0)


@ti.kernel
def _cell_misses(
    xs: _ARRAY1, ys: _ARRAY1, zs: _ARRAY1, cameras: _ARRAY2, masks: _MASKS, sizes: _SIZES,
    blocks: _INTS,  # (B,) block of each tested block
    misses: ti.types.ndarray(dtype=ti.i32, ndim=2),  # (B, 512) out: views that fail, counted up to allowed_misses + 1
    blocks_y: int, blocks_z: int, margin: float, allowed_misses: int,
):
    for cell in range(blocks.shape[0] * _BLOCK**3):
        b, inner = cell // _BLOCK**3, cell % _BLOCK**3
        block = blocks[b]
        i = block // (blocks_y * blocks_z) * _BLOCK + inner // _BLOCK**2
        j = block // blocks_z % blocks_y * _BLOCK + inner // _BLOCK % _BLOCK
        k = block % blocks_z * _BLOCK + inner % _BLOCK
        missed = allowed_misses + 1
        if i < xs.shape[0] and j < ys.shape[0] and k < zs.shape[0]:
            missed = 0
            view = 0
            while view < cameras.shape[0] and missed <= allowed_misses:
                column, row, z = _project(cameras, view, ti.Vector([xs[i], ys[j], zs[k]]))
                missed += 1 - _foreground(masks, sizes, view, column, row, z, margin)
                view += 1
        misses[b, inner] = missed


def carve_hull(
    xs: Tensor, ys: Tensor, zs: Tensor, cameras: Tensor, masks: Tensor | Sequence[Tensor], *, margin: float = 0.0,
    allowed_misses: int = 0,
) -> Tensor:
    """Indices (M, 3) int64, sorted, of the grid cells that belong to the visual hull; see the module's docstring.

    xs, ys, zs: cell centres along each axis (world, ascending, float32); cameras (V, 16) from `pack_camera`; masks (V, H, W)
    uint8, or V of different sizes (H, W), foreground where above zero; margin: in half image sizes (0.05 is the
    original's); allowed_misses: views in which a kept cell may be background. Nothing is differentiable. Raises ValueError on
    shapes that do not fit.
    """
    wrong = [mask for mask in masks if mask.ndim != 2 or mask.dtype != torch.uint8]
    if wrong or cameras.shape != (len(masks), 16):
        shapes = f"{[tuple(mask.shape) for mask in masks[:3]]} and {tuple(cameras.shape)}"
        raise ValueError(f"expected V uint8 masks (H, W) and cameras (V, 16); got {shapes}")
    where = runtime.torch_device()
    sizes = torch.tensor([mask.shape for mask in masks], dtype=torch.int32).reshape(-1, 2)
    masks = masks if isinstance(masks, Tensor) else _padded(masks)
    xs, ys, zs, cameras, masks, sizes = (t.contiguous().to(where) for t in (xs, ys, zs, cameras, masks, sizes))
    # Different view directions first: most blocks then fail early.
    spread = torch.tensor(_bit_reversed(masks.shape[0]), device=where)
    cameras, masks, sizes = cameras[spread], masks[spread], sizes[spread]
    nx, ny, nz = (-(-len(a) // _BLOCK) for a in (xs, ys, zs))
    integrals = torch.zeros(masks.shape[0], masks.shape[1] + 1, masks.shape[2] + 1, dtype=torch.int32, device=where)
    for view, mask in enumerate(masks):
        integrals[view, 1:, 1:] = (mask > 0).to(torch.int32).cumsum(0, dtype=torch.int32).cumsum(1, dtype=torch.int32)
    alive = torch.zeros(nx * ny * nz, dtype=torch.int32, device=where)
    _block_misses(xs, ys, zs, cameras, integrals, sizes, alive, ny, nz, margin, allowed_misses)
    found = []
    for blocks in torch.nonzero(alive)[:, 0].split(4096):  # 2 million cells at a time bound the memory
        misses = torch.empty(len(blocks), _BLOCK**3, dtype=torch.int32, device=where)
        _cell_misses(xs, ys, zs, cameras, masks, sizes, blocks.to(torch.int32), misses, ny, nz, margin, allowed_misses)
        b, inner = torch.nonzero(misses <= allowed_misses).unbind(1)
        block = blocks[b]
        i = block // (ny * nz) * _BLOCK + inner // _BLOCK**2
        j = block // nz % ny * _BLOCK + inner // _BLOCK % _BLOCK
        k = block % nz * _BLOCK + inner % _BLOCK
        found.append((i * (ny * _BLOCK) + j) * (nz * _BLOCK) + k)
    keys = torch.cat(found).sort()[0] if found else torch.zeros(0, dtype=torch.int64, device=where)
    return torch.stack([keys // (ny * nz * _BLOCK**2), keys // (nz * _BLOCK) % (ny * _BLOCK), keys % (nz * _BLOCK)], 1)


def _padded(masks: Sequence[Tensor]) -> Tensor:
    """The masks in one tensor (V, H, W) as large as the largest; 0 beyond a mask's own size."""
    height, width = (max(mask.shape[side] for mask in masks) for side in (0, 1))
    whole = masks[0].new_zeros(len(masks), height, width)
    for place, mask in zip(whole, masks, strict=True):
        place[: mask.shape[0], : mask.shape[1]] = mask
    return whole


def _bit_reversed(count: int) -> list[int]:
    """0 … count-1 in bit-reversed order: neighbours in the list are far apart in the sequence."""
    bits = max(count - 1, 1).bit_length()
    order = (int(format(i, f"0{bits}b")[::-1], 2) for i in range(1 << bits))
    return [i for i in order if i < count]
