"""Contraction of unbounded space: everything beyond a cube or a ball is drawn into one of twice the size.

With r = |x|, the largest coordinate (order inf) or the Euclidean length (order 2):

    contract(x) = x if r <= 1, else (2 - 1/r) x / r;  its inverse is y if |y| <= 1, else y / (|y| (2 - |y|))

Far from the middle, equal steps of |y| are equal steps of 1/r (disparity). Order 2 maps a ball to a ball and treats directions
alike; order inf maps a cube to a cube, so that a grid over it has no empty corners. All functions are plain Torch, and can be
differentiated as often as one likes. Source: Barron et al. 2022 (mip-NeRF 360), eq. 10; nerfstudio for order inf.
"""

import math

import torch
from torch import Tensor

EDGE = 2.0  # |y| at infinity
_NEAREST = 1e-6  # to EDGE, at which the inverse stops: 1e6 away, and float32 tells no more apart


def length(x: Tensor, order: float = math.inf) -> Tensor:
    """|x| (..., 1) of vectors (..., 3): the largest absolute coordinate (order inf) or the Euclidean length (2).

    Raises ValueError for another order.
    """
    if order not in (2, math.inf):
        raise ValueError(f"expected order 2 or inf; got {order}")
    largest = x.abs().amax(-1, keepdim=True)
    if order == math.inf:
        return largest
    scale = largest.detach().clamp_min(1)
    return scale * torch.linalg.vector_norm(x / scale, dim=-1, keepdim=True)


def contract(x: Tensor, order: float = math.inf) -> Tensor:
    """Positions (..., 3), in units of the inner cube's half edge or the ball's radius, drawn into [-2, 2]^3."""
    r = length(x, order).clamp_min(1)
    return (2 - 1 / r) * (x / r)


def uncontract(y: Tensor, order: float = math.inf) -> Tensor:
    """The positions (..., 3) that `contract` maps to y, |y| < 2; those closer to 2 than 1e-6, or beyond, are 1e6 away."""
    r = length(y, order).clamp_min(1)
    return y / r / (EDGE - r).clamp_min(_NEAREST)


def to_unit_cube(positions: Tensor, box: Tensor) -> Tensor:
    """Positions (..., 3), world, in the contracted cube [0, 1]^3, whose middle half is the box (2, 3)."""
    half = (box[1] - box[0]) / 2
    return (contract((positions - box.mean(0)) / half) + EDGE) / (2 * EDGE)


def length_gradient(x: Tensor, order: float = math.inf) -> Tensor:
    """The gradient (..., 3) of `length` at x (..., 3): for order inf, that of the first of the largest coordinates."""
    if order == 2:
        return x / length(x, order).clamp_min(1e-30)
    return torch.nn.functional.one_hot(x.abs().argmax(-1), x.shape[-1]).to(x) * x.sign()


def contraction_jacobian(x: Tensor, order: float = math.inf) -> Tensor:
    """The derivative J (..., 3, 3) of `contract` at x: J_ab is that of coordinate a in x_b. A covariance S becomes J S J^T.

    J = s I + s' x n^T  with s(r) = (2 - 1/r) / r and n the gradient of r, beyond r = 1; the identity within.
    """
    r = length(x, order).clamp_min(1)
    inside = length(x, order) <= 1
    slope = 2 * (1 - r) / r**2  # s' r
    outer = (slope * (x / r))[..., :, None] * length_gradient(x, order)[..., None, :]
    eye = torch.eye(x.shape[-1], dtype=x.dtype, device=x.device)
    return torch.where(inside[..., None], eye, ((2 - 1 / r) / r)[..., None] * eye + outer)


def log_density_gradient(positions: Tensor, gradient: Tensor, box: Tensor, *, contracted: bool) -> Tensor:
    """The gradient (M, 3), per world unit, of a log density at positions (M, 3), world, from its gradient in the unit cube.

    contracted: through the contraction around the box (2, 3), and with the fall of densities with the distance from it.
    """
    if not contracted:
        return gradient / (box[1] - box[0])
    half = (box[1] - box[0]) / 2
    x = (positions - box.mean(0)) / half
    through = (gradient[:, :, None] * contraction_jacobian(x)).sum(1) / (2 * EDGE)
    fall = torch.where(length(x) > 1, length_gradient(x) / length(x), 0)
    return (through - fall) / half
