"""Plain twins of taichi_kernels.dilation.dilate and models.proposal_losses.proposal_bound: every pair of bins."""

import numpy as np


def dilate(edges, weights, radius):
    """Edges (R, 3 N + 1) and weights (R, 3 N) as numpy float64."""
    wide_edges, wide_weights = [], []
    for edge, weight in zip(np.asarray(edges, float), np.asarray(weights, float), strict=True):
        low, high, width = edge[:-1], edge[1:], np.diff(edge)
        density = np.divide(weight, width, out=np.zeros_like(width), where=width > 0)
        points = np.sort(np.concatenate([edge, low - radius, high + radius])).clip(edge[0], edge[-1])
        middles = (points[1:] + points[:-1]) / 2
        reached = (low[None] - radius < middles[:, None]) & (middles[:, None] < high[None] + radius)
        wide_edges.append(points)
        wide_weights.append((density[None] * reached).max(1) * np.diff(points))
    return np.stack(wide_edges), np.stack(wide_weights)


def proposal_bound(edges, proposal_edges, proposal_weights):
    """bound (R, N) of tensors, differentiable in the weights: the sum of all bins that meet an interval."""
    starts, ends = edges[:, :-1, None], edges[:, 1:, None]
    low, high = proposal_edges[:, None, :-1], proposal_edges[:, None, 1:]
    return (((low < ends) & (high > starts)) * proposal_weights[:, None]).sum(2)
