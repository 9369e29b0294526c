"""The photometric loss of point radiance fields, value and gradient in one pass over the picture.

With I the rendered picture clamped to [0, 1], I* the photograph, E = I - I* and D_s the difference between pixels s apart,

    L = mean(E²) + w * 1/3 sum_{s = 1, 2, 3} [ mean |D_s^rows E| + mean |D_s^columns E| ]

(the loss of the original program, which matches image gradients; the paper's eq. 8 writes a total variation). A shift that
does not fit the picture counts as zero.
"""

from functools import cache

import taichi as ti
import torch
from torch import Tensor

from taichi_kernels import runtime
from taichi_kernels.common.derivatives import once_differentiable
from taichi_kernels.common.types import array, taichi_type
from taichi_kernels.runtime import WORKER_STRIDE

_SHIFTS = (1, 2, 3)
_HALO = 3 * max(_SHIFTS)
_CHUNK = 64  # values of a row that the CPU schedule works on at a time


@cache
def _cpu_kernel(dtype, target_type):
    """A worker goes down the picture in columns of `_CHUNK` values, with the last rows in local arrays.

    The compiler vectorises loops over local arrays, not over tensors, so each value is loaded once into them. Differences
    between rows are taken once and given to both ends: a row's gradient is stored once the third row below it is done.
    Differences within a row are taken from both ends, which is cheaper than a loop for each.
    """
    array1 = ti.types.ndarray(dtype=dtype, ndim=1)
    array2 = ti.types.ndarray(dtype=dtype, ndim=2)
    targets = ti.types.ndarray(dtype=target_type, ndim=2)
    chunk = ti.types.vector(_CHUNK, dtype)
    halo, bytes_ = ti.types.vector(_CHUNK + 2 * _HALO, dtype), ti.types.vector(_CHUNK + 2 * _HALO, ti.i32)
    target_scale = 1.0 / 255.0 if target_type == ti.u8 else 1.0

    @ti.func
    def sign(x):
        return ti.select(x > 0.0, 1.0, 0.0) - ti.select(x < 0.0, 1.0, 0.0)

    @ti.func
    def one_from(y, first):
        return ti.select(y >= first, ti.cast(1.0, dtype), ti.cast(0.0, dtype))

    @ti.func
    def next_row(row0: array, row1: array, row2: array, row3: array):
        """What was in row0 goes to row1, and so on; row0 is to be overwritten."""
        for x in range(_CHUNK):
            row3[x], row2[x], row1[x] = row2[x], row1[x], row0[x]

    @ti.func
    def load_errors(image: array, target: array, y, start, raw: array, shot: array, row: array):
        """A row of the picture, of the photograph and of their difference, from `_HALO` values before `start` on."""
        first, last = ti.max(start - _HALO, 0), ti.min(start + _CHUNK + _HALO, image.shape[1])
        for j in range(first, last):
            raw[j - start + _HALO] = image[y, j]
        for j in range(first, last):
            shot[j - start + _HALO] = target[y, j]
        for j in range(first - start + _HALO, last - start + _HALO):
            clamped = ti.min(ti.max(raw[j], 0.0), 1.0)
            row[j] = clamped - ti.cast(shot[j], dtype) * target_scale

    @ti.kernel
    def loss(
        image: array2, target: targets,  # (H, 3 W)
        square_weight: dtype,  # 2 / values
        row_weights: array1, column_weights: array1,  # (3,): w / 3 over the number of differences
        grad: array2,  # (H, 3 W) out: dL / d image
        sums: array2,  # (chunks, 7) out: sums of squares, and of absolute differences by rows and by columns for each shift
        workers: int,
    ):
        for block in range(workers * WORKER_STRIDE):
            if block % WORKER_STRIDE == 0:
                part = block // WORKER_STRIDE
                height, width = image.shape[0], image.shape[1]
                while part < sums.shape[0]:
                    start = part * _CHUNK
                    size = ti.min(_CHUNK, width - start)
                    raw, row = halo(0.0), halo(0.0)  # the picture's values and its errors, with the neighbours left and right
                    shot = bytes_(0) if ti.static(target_type == ti.u8) else halo(0.0)
                    row1, row2, row3 = chunk(0.0), chunk(0.0), chunk(0.0)  # errors of the rows above
                    grad0, grad1, grad2, grad3 = chunk(0.0), chunk(0.0), chunk(0.0), chunk(0.0)
                    pass0, pass1, pass2, pass3 = chunk(0.0), chunk(0.0), chunk(0.0), chunk(0.0)  # 0 where clamped
                    total = ti.Vector([ti.cast(0.0, dtype) for _ in ti.static(range(7))])
                    for y in range(height + 3):
                        for x in range(_CHUNK):
                            row3[x], row2[x], row1[x] = row2[x], row1[x], row[x + _HALO]
                        next_row(grad0, grad1, grad2, grad3)
                        next_row(pass0, pass1, pass2, pass3)
                        if y < height:
                            load_errors(image, target, y, start, raw, shot, row)
                            # the first rows have no rows above: their differences count zero
                            in1, in2, in3 = one_from(y, 1), one_from(y, 2), one_from(y, 3)
                            v1, v2, v3 = row_weights[0] * in1, row_weights[1] * in2, row_weights[2] * in3
                            h1, h2, h3 = column_weights[0], column_weights[1], column_weights[2]
                            squares = ti.cast(0.0, dtype)
                            up1, up2, up3 = squares, squares, squares  # sums of absolute differences to the rows above
                            side1, side2, side3 = squares, squares, squares  # and to the pixels on the left
                            for x in range(size):
                                e = row[x + _HALO]
                                colour = raw[x + _HALO]
                                pass0[x] = ti.select((colour >= 0.0) & (colour <= 1.0), 1.0, 0.0)
                                squares += e * e
                                d1, d2, d3 = e - row1[x], e - row2[x], e - row3[x]
                                up1 += ti.abs(d1)
                                up2 += ti.abs(d2)
                                up3 += ti.abs(d3)
                                g1, g2, g3 = v1 * sign(d1), v2 * sign(d2), v3 * sign(d3)
                                grad1[x] -= g1
                                grad2[x] -= g2
                                grad3[x] -= g3
                                left1 = ti.select(x >= 3 - start, e - row[x + _HALO - 3], 0.0)
                                left2 = ti.select(x >= 6 - start, e - row[x + _HALO - 6], 0.0)
                                left3 = ti.select(x >= 9 - start, e - row[x + _HALO - 9], 0.0)
                                side1 += ti.abs(left1)
                                side2 += ti.abs(left2)
                                side3 += ti.abs(left3)
                                right1 = ti.select(x < width - start - 3, e - row[x + _HALO + 3], 0.0)
                                right2 = ti.select(x < width - start - 6, e - row[x + _HALO + 6], 0.0)
                                right3 = ti.select(x < width - start - 9, e - row[x + _HALO + 9], 0.0)
                                across = h1 * (sign(left1) + sign(right1)) + h2 * (sign(left2) + sign(right2))
                                across += h3 * (sign(left3) + sign(right3))
                                grad0[x] = square_weight * e + g1 + g2 + g3 + across
                            total[0] += squares
                            total[1] += up1 * in1
                            total[2] += up2 * in2
                            total[3] += up3 * in3
                            total[4] += side1
                            total[5] += side2
                            total[6] += side3
                        if y >= 3:
                            for x in range(size):
                                grad[y - 3, start + x] = grad3[x] * pass3[x]
                    for k in ti.static(range(7)):
                        sums[part, k] = total[k]
                    part += workers

    return loss


@cache
def _gpu_kernel(dtype):
    """A thread a value: it gathers the signs of the up to twelve differences that the value takes part in."""
    array1 = ti.types.ndarray(dtype=dtype, ndim=1)
    array2 = ti.types.ndarray(dtype=dtype, ndim=2)

    @ti.kernel
    def gradient(
        image: array2, errors: array2,  # (H, 3 W)
        square_weight: dtype, row_weights: array1, column_weights: array1,
        grad: array2,  # (H, 3 W) out
    ):
        for y, j in errors:
            e = errors[y, j]
            total = square_weight * e
            for s in ti.static(_SHIFTS):
                for side in ti.static((-1, 1)):
                    if y + side * s >= 0 and y + side * s < errors.shape[0]:
                        total += row_weights[s - 1] * ti.math.sign(e - errors[y + side * s, j])
                    if j + side * 3 * s >= 0 and j + side * 3 * s < errors.shape[1]:
                        total += column_weights[s - 1] * ti.math.sign(e - errors[y, j + side * 3 * s])
            colour = image[y, j]
            grad[y, j] = ti.select((colour >= 0.0) & (colour <= 1.0), total, 0.0)

    return gradient


def _difference_weights(count_of, weight: float, like: Tensor) -> Tensor:
    counts = torch.tensor([float(count_of(s)) for s in _SHIFTS], dtype=like.dtype)
    return torch.where(counts > 0, weight / len(_SHIFTS) / counts, 0).to(like.device)


def _on_cpu(image: Tensor, target: Tensor, row_weights: Tensor, column_weights: Tensor) -> tuple[Tensor, Tensor]:
    """(gradient, sums (7,)) of pictures (H, 3 W) by the CPU schedule."""
    grad, sums = torch.empty_like(image), image.new_empty(-(-image.shape[1] // _CHUNK), 7)
    target_type = ti.u8 if target.dtype == torch.uint8 else taichi_type(target)
    kernel = _cpu_kernel(taichi_type(image), target_type)
    kernel(image, target, 2 / image.numel(), row_weights, column_weights, grad, sums, runtime.workers())
    return grad, sums.sum(0)


def _on_gpu(image: Tensor, target: Tensor, row_weights: Tensor, column_weights: Tensor) -> tuple[Tensor, Tensor]:
    """(gradient, sums (7,)) of pictures (H, 3 W) by the GPU schedule."""
    grad = torch.empty_like(image)
    scaled = target.to(image.dtype) / 255 if target.dtype == torch.uint8 else target
    errors = image.clamp(0, 1) - scaled
    _gpu_kernel(taichi_type(image))(image, errors, 2 / image.numel(), row_weights, column_weights, grad)
    rows = [(errors[s:] - errors[:-s]).abs().sum() for s in _SHIFTS]
    columns = [(errors[:, 3 * s :] - errors[:, : -3 * s]).abs().sum() for s in _SHIFTS]
    return grad, torch.stack([(errors**2).sum(), *rows, *columns])


class _Photometric(torch.autograd.Function):
    @staticmethod
    def forward(ctx, image, target, gradient_weight):
        height, width, _ = image.shape
        image, target = (t.detach().contiguous().view(height, -1) for t in (image, target))
        row_weights = _difference_weights(lambda s: 3 * width * (height - s), gradient_weight, image)
        column_weights = _difference_weights(lambda s: 3 * height * (width - s), gradient_weight, image)
        grad, sums = (_on_gpu if runtime.is_gpu() else _on_cpu)(image, target, row_weights, column_weights)
        squared = sums[0] / image.numel()
        loss = squared + (sums[1:4] * row_weights).sum() + (sums[4:7] * column_weights).sum()
        ctx.save_for_backward(grad.view(height, width, 3), loss)
        ctx.mark_non_differentiable(squared)
        return loss, squared

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_loss, _):
        grad, _ = ctx.saved_tensors
        return grad * grad_loss, None, None


def photometric_loss(image: Tensor, target: Tensor, *, gradient_weight: float = 0.03) -> tuple[Tensor, Tensor]:
    """(loss, mean squared error) of a rendered picture; see the module's docstring.

    image (H, W, 3): float; target (H, W, 3): in [0, 1], or uint8 in [0, 255]. The loss is differentiable in image, the error
    is not. Raises ValueError on shapes that do not fit.
    """
    if image.ndim != 3 or image.shape[2] != 3 or target.shape != image.shape:
        raise ValueError(f"expected image and target (H, W, 3); got {tuple(image.shape)} and {tuple(target.shape)}")
    runtime.ensure_init()
    return _Photometric.apply(image, target, gradient_weight)
