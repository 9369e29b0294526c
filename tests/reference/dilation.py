"""Plain twin of taichi_kernels.dilation.dilate: every point against every bin, double precision."""

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
