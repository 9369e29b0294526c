"""Plain-torch twin of taichi_kernels.integrated_frequencies.encode_gaussians."""

import torch


def encode_gaussians(means, variances, octaves):
    parts = [means[:, :0]]
    for octave in range(octaves):
        fade = torch.exp(-0.5 * 4.0**octave * variances)
        parts += [torch.sin(2.0**octave * means) * fade, torch.cos(2.0**octave * means) * fade]
    return torch.cat(parts, 1)
