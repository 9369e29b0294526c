"""Plain-torch twin of taichi_kernels.proposals: every bin against every interval, autograd for the rest."""


def proposal_bound(edges, weights, field_edges):
    begins, ends = edges[:, None, :-1], edges[:, None, 1:]
    overlap = (begins <= field_edges[:, 1:, None]) & (ends > field_edges[:, :-1, None])
    return (overlap * weights[:, None]).sum(2)
