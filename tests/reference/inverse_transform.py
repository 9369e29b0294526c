"""Plain-torch twin of taichi_kernels.inverse_transform: cumsum, searchsorted and gather, differentiated by autograd."""

import torch


def draw_from_knots(knots, densities, uniforms, *, lengths=None):
    """Samples (R, K) and opacities (R,), as the kernel's `draw_from_knots`."""
    if densities.shape == knots.shape:
        left, right = densities[:, :-1], densities[:, 1:]
    else:
        left = right = densities
    return _draw(knots[:, :-1], knots[:, 1:], left, right, uniforms, lengths)


def draw_from_samples(densities, starts, ends, offsets, uniforms, *, lengths=None):
    """The same of packed intervals, one ray after the other."""
    t, opacity = [], []
    for r in range(len(offsets) - 1):
        own = slice(int(offsets[r]), int(offsets[r + 1]))
        if offsets[r] == offsets[r + 1]:
            t.append(torch.zeros_like(uniforms[r : r + 1]))
            opacity.append(uniforms.new_zeros(1))
            continue
        part = [values[own][None] for values in (starts, ends, densities, densities)]
        found = _draw(*part, uniforms[r : r + 1], None if lengths is None else lengths[r : r + 1])
        t.append(found[0])
        opacity.append(found[1])
    return torch.cat(t), torch.cat(opacity)


def _draw(starts, ends, left, right, uniforms, lengths):
    scale = (ends - starts) * (1 if lengths is None else lengths[:, None])
    at_a, at_b = scale * left, scale * right
    upto = ((at_a + at_b) / 2).cumsum(1).contiguous()  # optical thickness to the right end of each bin
    total = upto[:, -1:]
    wanted = -torch.logsumexp(torch.stack([uniforms.log() - total, torch.log1p(-uniforms)]), 0)
    wanted = torch.where(total < 1e-6, uniforms * total, wanted).clamp(max=total)
    bins = torch.searchsorted(upto.detach(), wanted.detach().contiguous()).clamp(max=starts.shape[1] - 1)
    pick = lambda values: values.expand(*starts.shape).gather(1, bins)  # noqa: E731
    base, slope = pick(at_a), pick(at_b - at_a)
    rest = wanted - (pick(upto) - (base + slope / 2))
    fraction = 2 * rest / (base + torch.sqrt((base**2 + 2 * slope * rest).clamp(min=1e-300)))
    t = pick(starts) + (pick(ends) - pick(starts)) * fraction
    even = starts[:, :1] + uniforms * (ends[:, -1:] - starts[:, :1])
    return torch.where(total > 0, t, even), -torch.expm1(-total[:, 0])
