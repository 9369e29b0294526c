"""Plain-torch twin of models.mip_field: mip-NeRF's picture by the formulas of the paper, in double precision and without chunks.

The moments of a frustum are the published quotients of powers, which need double precision.
"""

import math

import torch
import torch.nn.functional as F


def encode(mean, variance, octaves):
    parts = []
    for octave in range(octaves):
        fade = torch.exp(-0.5 * 4.0**octave * variance)
        parts += [torch.sin(2.0**octave * mean) * fade, torch.cos(2.0**octave * mean) * fade]
    return torch.cat(parts, -1)


def frustum(origin, direction, t_0, t_1, radius):
    """Mean and diagonal covariance (..., 3) of a conical frustum."""
    mean_t = 3 * (t_1**4 - t_0**4) / (4 * (t_1**3 - t_0**3))
    variance_t = 3 * (t_1**5 - t_0**5) / (5 * (t_1**3 - t_0**3)) - mean_t**2
    variance_r = radius**2 * 3 * (t_1**5 - t_0**5) / (20 * (t_1**3 - t_0**3))
    squared = direction**2
    across = 1 - squared / squared.sum(-1, keepdim=True)
    return origin + mean_t[..., None] * direction, variance_t[..., None] * squared + variance_r[..., None] * across


def network(state, mean, variance, view, depth, octaves, view_octaves, shift):
    """Density and colour."""
    layer = lambda name, x: F.linear(x, state[f"network.{name}.weight"], state[f"network.{name}.bias"])  # noqa: E731
    encoded = encode(mean, variance, octaves)
    hidden = encoded
    for number in range(depth):
        hidden = torch.relu(layer(f"layers.{number}", torch.cat([encoded, hidden], -1) if number == 5 else hidden))
    seen = torch.cat([view] + [f(2.0**k * view) for k in range(view_octaves) for f in (torch.sin, torch.cos)], -1)
    mixed = torch.relu(layer("mixed", torch.cat([layer("feature", hidden), seen.expand(*hidden.shape[:-1], -1)], -1)))
    colour = torch.sigmoid(layer("colour", mixed)) * 1.002 - 0.001
    return F.softplus(layer("density", hidden)[..., 0] + shift), colour


def composited(density, colour, edges, length):
    alpha = 1 - torch.exp(-density * (edges[1:] - edges[:-1]) * length)
    weights = alpha * torch.cumprod(torch.cat([torch.ones(1), 1 - alpha[:-1]]), 0)
    return (weights[:, None] * colour).sum(0), weights


def redrawn(edges, weights):
    """Edges at even values of the distribution of blurred weights."""
    beside = torch.cat([weights[:1], weights, weights[-1:]])
    larger = torch.maximum(beside[:-1], beside[1:])
    blurred = (larger[:-1] + larger[1:]) / 2 + 0.01
    cdf = torch.cat([torch.zeros(1), (blurred / blurred.sum()).cumsum(0)])
    found = []
    for u in torch.linspace(0, 1, len(edges)):
        i = min(max(int((cdf <= u).sum()) - 1, 0), len(weights) - 1)
        found.append(edges[i] + (u - cdf[i]) / (cdf[i + 1] - cdf[i]) * (edges[i + 1] - edges[i]))
    return torch.stack(found)


def picture(state, focal, camera_to_world, width, height, *, near, far, count, white, **shape):
    """(H, W, 3)."""
    image = torch.zeros(height, width, 3)
    rotation, origin = camera_to_world[:, :3], camera_to_world[:, 3]
    radius = 2 / math.sqrt(12) / focal
    for row in range(height):
        for column in range(width):
            d = rotation @ torch.tensor([(column + 0.5 - width / 2) / focal, -(row + 0.5 - height / 2) / focal, -1.0])
            edges = torch.linspace(near, far, count + 1)
            for _ in range(2):
                mean, variance = frustum(origin, d, edges[:-1], edges[1:], radius)
                density, colour = network(state, mean, variance, d / d.norm(), **shape)
                shown, weights = composited(density, colour, edges, d.norm())
                edges = redrawn(edges, weights)
            image[row, column] = shown + (1 - weights.sum()) * white
    return image
