"""The photometric loss of point radiance fields, value and gradient in two passes over the picture.

With I the rendered picture clamped to [0, 1], I* the photograph, E = I - I* and D_s the difference between pixels s apart,

    L = mean(E²) + w * 1/3 sum_{s = 1, 2, 3} [ mean |D_s^rows E| + mean |D_s^columns E| ]

(the loss of the original program, which matches image gradients; the paper's eq. 8 writes a total variation instead). A shift that
does not fit the picture counts as zero.
"""

from functools import cache

import taichi as ti
import torch
from torch import Tensor

from taichi_kernels import runtime
from taichi_kernels.runtime import WORKER_STRIDE
from taichi_kernels.splatting.binning import taichi_type

_SHIFTS = (1, 2, 3)
_HALO = 3 * max(_SHIFTS)
# A row is worked on in chunks, copied to local arrays first: the compiler vectorises loops over local arrays, not over tensors.
_CHUNK = 96


@cache
def _kernels(dtype, target_type):
    array1 = ti.types.ndarray(dtype=dtype, ndim=1)
    array2 = ti.types.ndarray(dtype=dtype, ndim=2)
    targets = ti.types.ndarray(dtype=target_type, ndim=2)
    chunk = ti.types.vector(_CHUNK, dtype)
    halo = ti.types.vector(_CHUNK + 2 * _HALO, dtype)
    target_scale = 1.0 / 255.0 if target_type == ti.u8 else 1.0

    @ti.func
    def sign(x):
        return ti.select(x > 0.0, 1.0, 0.0) - ti.select(x < 0.0, 1.0, 0.0)

    @ti.kernel
    def residual(
        image: array2,  # (H, 3 W)
        target: targets,  # (H, 3 W)
        errors: array2,  # (H, 3 W) out
        blocks: int, stride: int,
    ):
        for block in range(blocks):
            if block % stride == 0:
                y = block // stride
                while y < image.shape[0]:
                    for j in range(image.shape[1]):
                        clamped = ti.min(ti.max(image[y, j], 0.0), 1.0)
                        errors[y, j] = clamped - ti.cast(target[y, j], dtype) * target_scale
                    y += blocks // stride

    @ti.kernel
    def gradient(
        image: array2, errors: array2,
        square_weight: dtype,  # 2 / values
        row_weights: array1, column_weights: array1,  # (3,): w / 3 over the number of differences
        grad: array2,  # (H, 3 W) out: dL / d image
        sums: array2,  # (H, 7) out: sum of squares, and of absolute differences by rows and by columns for each shift
        blocks: int, stride: int,
    ):
        for block in range(blocks):
            if block % stride == 0:
                y = block // stride
                height, width = errors.shape[0], errors.shape[1]
                while y < height:
                    for k in ti.static(range(7)):
                        sums[y, k] = 0.0
                    for part in range((width + _CHUNK - 1) // _CHUNK):
                        start = part * _CHUNK
                        size = ti.min(_CHUNK, width - start)
                        center, total, other = halo(0.0), chunk(0.0), chunk(0.0)
                        first, last = ti.max(start - _HALO, 0), ti.min(start + _CHUNK + _HALO, width)
                        for j in range(first, last):
                            center[j - start + _HALO] = errors[y, j]
                        squares = ti.cast(0.0, dtype)
                        for x in range(size):
                            e = center[x + _HALO]
                            squares += e * e
                            total[x] = square_weight * e
                        sums[y, 0] = sums[y, 0] + squares
                        for s in ti.static(_SHIFTS):
                            # past the edge: the difference of a row with itself, no term
                            below, above = ti.select(y + s < height, y + s, y), ti.select(y - s >= 0, y - s, y)
                            weight = row_weights[s - 1]
                            absolute = ti.cast(0.0, dtype)
                            for x in range(size):
                                other[x] = errors[below, start + x]
                            for x in range(size):
                                down = other[x] - center[x + _HALO]
                                absolute += ti.abs(down)
                                total[x] -= weight * sign(down)
                            sums[y, s] = sums[y, s] + absolute
                            for x in range(size):
                                other[x] = errors[above, start + x]
                            for x in range(size):
                                total[x] += weight * sign(center[x + _HALO] - other[x])
                            weight = column_weights[s - 1]
                            absolute = ti.cast(0.0, dtype)
                            for x in range(ti.min(size, width - 3 * s - start)):
                                right = center[x + _HALO + 3 * s] - center[x + _HALO]
                                absolute += ti.abs(right)
                                total[x] -= weight * sign(right)
                            for x in range(ti.max(3 * s - start, 0), size):
                                total[x] += weight * sign(center[x + _HALO] - center[x + _HALO - 3 * s])
                            sums[y, 3 + s] = sums[y, 3 + s] + absolute
                        for x in range(size):
                            colour = image[y, start + x]
                            # a clamped colour has no gradient
                            grad[y, start + x] = ti.select((colour >= 0.0) & (colour <= 1.0), total[x], 0.0)
                    y += blocks // stride

    return residual, gradient


def _blocks(height: int) -> tuple[int, int]:
    """(loop length, stride): one worker a thread on the CPU, one thread a row on a GPU."""
    if runtime.is_gpu():
        return height, 1
    return runtime.workers() * WORKER_STRIDE, WORKER_STRIDE


def _difference_weights(count_of, weight: float, like: Tensor) -> Tensor:
    counts = torch.tensor([float(count_of(s)) for s in _SHIFTS], dtype=like.dtype)
    return torch.where(counts > 0, weight / len(_SHIFTS) / counts, 0).to(like.device)


class _Photometric(torch.autograd.Function):
    @staticmethod
    def forward(ctx, image, target, gradient_weight):
        height, width, _ = image.shape
        image, target = (t.detach().contiguous().view(height, -1) for t in (image, target))
        target_type = ti.u8 if target.dtype == torch.uint8 else taichi_type(target)
        residual, gradient = _kernels(taichi_type(image), target_type)
        row_weights = _difference_weights(lambda s: 3 * width * (height - s), gradient_weight, image)
        column_weights = _difference_weights(lambda s: 3 * height * (width - s), gradient_weight, image)
        errors, grad, sums = torch.empty_like(image), torch.empty_like(image), image.new_empty(height, 7)
        blocks = _blocks(height)
        residual(image, target, errors, *blocks)
        gradient(image, errors, 2 / image.numel(), row_weights, column_weights, grad, sums, *blocks)
        ctx.save_for_backward(grad.view(height, width, 3))
        totals = sums.sum(0)
        squared = totals[0] / image.numel()
        loss = squared + (totals[1:4] * row_weights).sum() + (totals[4:7] * column_weights).sum()
        ctx.mark_non_differentiable(squared)
        return loss, squared

    @staticmethod
    def backward(ctx, grad_loss, _):
        (grad,) = ctx.saved_tensors
        return grad * grad_loss, None, None


def photometric_loss(image: Tensor, target: Tensor, *, gradient_weight: float = 0.03) -> tuple[Tensor, Tensor]:
    """(loss, mean squared error) of a rendered picture; see the module's docstring.

    image (H, W, 3): float; target (H, W, 3): in [0, 1], or uint8 in [0, 255]. The loss is differentiable in image, the error is not.
    Raises ValueError on shapes that do not fit.
    """
    if image.ndim != 3 or image.shape[2] != 3 or target.shape != image.shape:
        raise ValueError(f"expected image and target (H, W, 3); got {tuple(image.shape)} and {tuple(target.shape)}")
    runtime.ensure_init()
    return _Photometric.apply(image, target, gradient_weight)
