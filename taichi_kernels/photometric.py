"""The photometric loss of point radiance fields, value and gradient in two passes over the picture.

With I the rendered picture over its background, clamped to [0, 1], I* the photograph, E = I - I* and D_s the difference between
pixels s apart,

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


@cache
def _kernels(dtype):
    array1 = ti.types.ndarray(dtype=dtype, ndim=1)
    array2 = ti.types.ndarray(dtype=dtype, ndim=2)

    @ti.func
    def sign(x):
        return ti.select(x > 0.0, 1.0, ti.select(x < 0.0, -1.0, 0.0))

    @ti.kernel
    def residual(
        image: array2,  # (H, 3 W) premultiplied colours
        alpha: array2,  # (H, W)
        target: array2,  # (H, 3 W)
        background: dtype,
        errors: array2,  # (H, 3 W) out
        blocks: int, stride: int,
    ):
        for block in range(blocks):
            if block % stride == 0:
                y = block // stride
                while y < image.shape[0]:
                    for j in range(image.shape[1]):
                        colour = image[y, j] + background * (1.0 - alpha[y, j // 3])
                        errors[y, j] = ti.min(ti.max(colour, 0.0), 1.0) - target[y, j]
                    y += blocks // stride

    @ti.kernel
    def gradient(
        errors: array2,
        square_weight: dtype,  # 2 / values
        row_weights: array1, column_weights: array1,  # (3,): w / 3 over the number of differences
        grad: array2,  # (H, 3 W) out: dL / dI
        sums: array2,  # (H, 7) out: sum of squares, and of absolute differences by rows and by columns for each shift
        blocks: int, stride: int,
    ):
        for block in range(blocks):
            if block % stride == 0:
                y = block // stride
                height, width = errors.shape[0], errors.shape[1]
                while y < height:
                    squares = ti.cast(0.0, dtype)
                    for j in range(width):
                        e = errors[y, j]
                        squares += e * e
                        grad[y, j] = square_weight * e
                    sums[y, 0] = squares
                    for s in ti.static(_SHIFTS):
                        below, above = ti.min(y + s, height - 1), ti.max(y - s, 0)
                        if y + s >= height:
                            below = y  # the difference with itself: no term
                        if y - s < 0:
                            above = y
                        weight = row_weights[s - 1]
                        total = ti.cast(0.0, dtype)
                        for j in range(width):
                            e = errors[y, j]
                            down, up = errors[below, j] - e, e - errors[above, j]
                            total += ti.abs(down)
                            grad[y, j] = grad[y, j] + weight * (sign(up) - sign(down))
                        sums[y, s] = total
                        weight = column_weights[s - 1]
                        total = 0.0
                        for j in range(width - 3 * s):
                            right = errors[y, j + 3 * s] - errors[y, j]
                            total += ti.abs(right)
                            grad[y, j] = grad[y, j] - weight * sign(right)
                        for j in range(3 * s, width):
                            grad[y, j] = grad[y, j] + weight * sign(errors[y, j] - errors[y, j - 3 * s])
                        sums[y, 3 + s] = total
                    y += blocks // stride

    @ti.kernel
    def to_inputs(
        image: array2, alpha: array2, background: dtype, grad: array2,  # (H, 3 W) dL / dI, in: of the clamped colour
        grad_alpha: array2,  # (H, W) out
        blocks: int, stride: int,
    ):
        for block in range(blocks):
            if block % stride == 0:
                y = block // stride
                while y < image.shape[0]:
                    for j in range(image.shape[1]):
                        colour = image[y, j] + background * (1.0 - alpha[y, j // 3])
                        grad[y, j] = ti.select((colour >= 0.0) & (colour <= 1.0), grad[y, j], 0.0)
                    for x in range(alpha.shape[1]):
                        grad_alpha[y, x] = -background * (grad[y, 3 * x] + grad[y, 3 * x + 1] + grad[y, 3 * x + 2])
                    y += blocks // stride

    return residual, gradient, to_inputs


def _blocks(height: int) -> tuple[int, int]:
    """(loop length, stride): one worker a thread on the CPU, one thread a row on a GPU."""
    if runtime.is_gpu():
        return height, 1
    return runtime.workers() * WORKER_STRIDE, WORKER_STRIDE


class _Photometric(torch.autograd.Function):
    @staticmethod
    def forward(ctx, image, alpha, target, background, gradient_weight):
        height, width, _ = image.shape
        image, alpha, target = (t.detach().contiguous() for t in (image, alpha, target))
        image, target = image.view(height, -1), target.view(height, -1)
        residual, gradient, to_inputs = _kernels(taichi_type(image))
        row_counts = torch.tensor([3.0 * width * (height - s) for s in _SHIFTS], dtype=image.dtype)
        column_counts = torch.tensor([3.0 * height * (width - s) for s in _SHIFTS], dtype=image.dtype)
        row_weights = torch.where(row_counts > 0, gradient_weight / 3 / row_counts, 0).to(image.device)
        column_weights = torch.where(column_counts > 0, gradient_weight / 3 / column_counts, 0).to(image.device)
        errors, grad = torch.empty_like(image), torch.empty_like(image)
        sums, grad_alpha = image.new_zeros(height, 7), torch.empty_like(alpha)
        blocks = _blocks(height)
        residual(image, alpha, target, background, errors, *blocks)
        gradient(errors, 2 / image.numel(), row_weights, column_weights, grad, sums, *blocks)
        to_inputs(image, alpha, background, grad, grad_alpha, *blocks)
        ctx.save_for_backward(grad.view(height, width, 3), grad_alpha)
        totals = sums.sum(0)
        squared = totals[0] / image.numel()
        loss = squared + (totals[1:4] * row_weights).sum() + (totals[4:7] * column_weights).sum()
        ctx.mark_non_differentiable(squared)
        return loss, squared

    @staticmethod
    def backward(ctx, grad_loss, _):
        grad, grad_alpha = ctx.saved_tensors
        return grad * grad_loss, grad_alpha * grad_loss, None, None, None


def photometric_loss(
    image: Tensor, alpha: Tensor, target: Tensor, *, background: float = 0.0, gradient_weight: float = 0.03,
) -> tuple[Tensor, Tensor]:
    """(loss, mean squared error) of a rendered picture; see the module's docstring.

    image (H, W, 3): premultiplied colours; alpha (H, W); target (H, W, 3) in [0, 1], over the same background, a grey value:
    0 black, 1 white. Differentiable in image and alpha, the error is not. Raises ValueError on shapes that do not fit.
    """
    if image.ndim != 3 or image.shape[2] != 3 or target.shape != image.shape or alpha.shape != image.shape[:2]:
        raise ValueError(
            f"expected image (H, W, 3), alpha (H, W), target (H, W, 3); got {tuple(image.shape)}, {tuple(alpha.shape)}, "
            f"{tuple(target.shape)}"
        )
    runtime.ensure_init()
    return _Photometric.apply(image, alpha, target, background, gradient_weight)
