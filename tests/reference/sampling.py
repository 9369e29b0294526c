"""Plain twin of taichi_kernels.sampling.inverse_cdf: one ray at a time, in double precision."""

import numpy as np


def inverse_cdf(edges, weights, uniforms):
    """Samples (R, K) as numpy float64."""
    rows = []
    for edge, weight, u in zip(np.asarray(edges, float), np.asarray(weights, float), np.asarray(uniforms, float), strict=True):
        if weight.sum() == 0:
            rows.append(edge[0] + u * (edge[-1] - edge[0]))
            continue
        kept = np.flatnonzero(weight)  # bins without weight are no part of the curve
        low, high = edge[kept], edge[kept + 1]
        cdf = np.concatenate([[0], np.cumsum(weight[kept] / weight.sum())])
        bins = np.clip(np.searchsorted(cdf, u, side="left") - 1, 0, len(kept) - 1)
        inside = (u - cdf[bins]) / (cdf[bins + 1] - cdf[bins])
        rows.append(low[bins] + np.clip(inside, 0, 1) * (high - low)[bins])
    return np.stack(rows)
