"""Plain-torch twin of taichi_kernels.splatting.splat: every pixel against every point, differentiated by autograd."""

import math

import torch


def alpha_of(centers, radii, opacities, width, height, profile):
    """Opacity of every point at every pixel centre, (H, W, N)."""
    x = torch.arange(width, dtype=centers.dtype, device=centers.device) + 0.5
    y = torch.arange(height, dtype=centers.dtype, device=centers.device) + 0.5
    dx = x[None, :, None] - centers[:, 0]
    dy = y[:, None, None] - centers[:, 1]
    q = (dx**2 + dy**2) / radii**2
    if profile == "parabola":
        value = (1 - q).clamp_min(0)
    else:
        value = torch.where(q < 9, torch.exp(-q / 2), 0) / (math.sqrt(2 * math.pi) * radii)
    return (opacities * value).clamp_max(1)


def splat(
    centers,
    depths,
    radii,
    opacities,
    features,
    width,
    height,
    *,
    profile="parabola",
    max_layers=0,
    min_transmittance=1e-4,
    with_depth=False,
):
    """(image, alpha, depth) with the signature and the meaning of the kernel's op."""
    count = len(depths)
    like = {"dtype": centers.dtype, "device": centers.device}
    radii = torch.as_tensor(radii, **like).expand(count)
    opacities = torch.ones_like(depths) if opacities is None else opacities
    order = torch.sort(depths.detach().float(), stable=True)[1]
    order = order[depths[order] > 0]
    features = torch.cat([features, depths[:, None]], 1) if with_depth else features
    alpha = alpha_of(centers[order], radii[order], opacities[order], width, height, profile)
    transmittance = torch.ones(height, width, **like)
    layers = torch.zeros(height, width, dtype=torch.int64, device=centers.device)
    image = torch.zeros(height, width, features.shape[1], **like)
    for k, i in enumerate(order):
        a = alpha[..., k]
        live = (transmittance.detach() >= min_transmittance) & (a.detach() > 0)
        if max_layers:
            live = live & (layers < max_layers)
        a = torch.where(live, a, 0)
        layers = layers + live
        image = image + (transmittance * a)[..., None] * features[i]
        transmittance = transmittance * (1 - a)
    covered = 1 - transmittance
    if not with_depth:
        return image, covered, None
    return image[..., :-1], covered, image[..., -1] / covered.clamp_min(1e-8)
