"""Plain-torch twin of what models.reflective_field shows, one ray at a time, with the twin of the directions' encoding."""

import torch

from tests.reference.reflections import encode_reflections


def shade(material, alpha, view, hidden, middle, out, levels, srgb):
    """The premultiplied colour (3,) of a composited material (C,) that covers alpha of a pixel, seen along a unit direction."""
    light, tint, rough, normal, others = (material / alpha).split([3, 3, 1, 3, len(material) - 10])
    normal = normal / normal.norm()
    reflected = view - 2 * (view @ normal) * normal
    encoded = encode_reflections(reflected[None], rough, levels)[0]
    values = torch.cat([others, encoded, -(view @ normal)[None]])
    values = torch.relu(middle @ torch.relu(hidden @ values))
    colour = light + tint / (1 + torch.exp(-out @ values))
    if srgb:
        colour = torch.where(colour <= 0.0031308, 12.92 * colour, 1.055 * colour.clamp_min(1e-9) ** (1 / 2.4) - 0.055)
    return alpha * colour.clamp(0, 1)
