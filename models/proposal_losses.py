"""What proposals learn from: a histogram of the field's weights must lie under what the proposal allows.

bound_i = sum of the proposal's weights over its bins that meet the field's interval i;
loss = mean over rays of sum_i max(0, w_i - bound_i)^2 / (w_i + eps), with w_i not differentiated. It is 0 exactly if the bounds
hold. Source: Barron et al. 2022 (mip-NeRF 360), eq. 12 and 13.
"""

import torch
from torch import Tensor

from models.repeatable import total

_EPS = 1e-7


def proposal_bound(edges: Tensor, proposal_edges: Tensor, proposal_weights: Tensor) -> Tensor:
    """bound (R, N) of intervals with edges (R, N + 1), from weights (R, K) of bins with edges (R, K + 1); differentiable in the
    weights."""
    bins = proposal_weights.shape[1]
    first = torch.searchsorted(proposal_edges, edges[:, :-1].contiguous(), right=True).sub_(1).clamp_(0, bins)
    last = torch.searchsorted(proposal_edges, edges[:, 1:].contiguous()).clamp_(0, bins)
    sums = torch.nn.functional.pad(proposal_weights.cumsum(1), (1, 0))
    return sums.gather(1, torch.maximum(last, first)) - sums.gather(1, first)


def interlevel_loss(edges: Tensor, weights: Tensor, proposal_edges: Tensor, proposal_weights: Tensor) -> Tensor:
    """The loss of one proposal; see the module's docstring. weights (R, N) of the field are not differentiated."""
    weights = weights.detach()
    excess = (weights - proposal_bound(edges, proposal_edges, proposal_weights)).clamp_min(0)
    return total(excess**2 / (weights + _EPS)) / max(len(weights), 1)
