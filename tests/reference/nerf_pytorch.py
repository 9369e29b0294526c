"""nerf-pytorch's renderer in plain torch: network, rays, samples and sums, written from its formulas."""

import torch
import torch.nn.functional as F

NEAR, FAR = 2.0, 6.0


def random_state(generator, *, depth=8, width=256, octaves=10, direction_octaves=4, directed=True, outputs=5):
    """A network's state under nerf-pytorch's names, with weights that make pictures of some contrast."""
    inputs, directions = 3 + 6 * octaves, 3 + 6 * direction_octaves if directed else 3
    sizes = {f"pts_linears.{i}": (width, width + (inputs if i == 5 else 0)) for i in range(1, depth)}
    sizes = {"pts_linears.0": (width, inputs)} | sizes
    sizes["views_linears.0"] = (width // 2, width + directions)
    if directed:
        sizes |= {"alpha_linear": (1, width), "feature_linear": (width, width), "rgb_linear": (3, width // 2)}
    else:
        sizes["output_linear"] = (outputs, width)
    state = {}
    for name, (rows, columns) in sizes.items():
        state[f"{name}.weight"] = torch.randn(rows, columns, generator=generator) * (2 / columns) ** 0.5
        state[f"{name}.bias"] = torch.randn(rows, generator=generator) * 0.1
    return state


def encode(x, octaves):
    return torch.cat([x] + [f(2.0**k * x) for k in range(octaves) for f in (torch.sin, torch.cos)], -1)


def network(state, points, looking, octaves=10, direction_octaves=4):
    """Raw colours and densities (M, 4) at points (M, 3)."""
    layer = lambda name, x: F.linear(x, state[f"{name}.weight"], state[f"{name}.bias"])  # noqa: E731
    x = encode(points, octaves)
    h = x
    for i in range(sum(name.startswith("pts_") and name.endswith("weight") for name in state)):
        h = F.relu(layer(f"pts_linears.{i}", h))
        if i == 4:
            h = torch.cat([x, h], -1)
    if "output_linear.weight" in state:
        return layer("output_linear", h)[..., :4]
    density, feature = layer("alpha_linear", h), layer("feature_linear", h)
    h = F.relu(layer("views_linears.0", torch.cat([feature, encode(looking, direction_octaves)], -1)))
    return torch.cat([layer("rgb_linear", h), density], -1)


def integrate(raw, z, directions, white):
    """Colour (R, 3) and weights (R, N) of raw outputs (R, N, 4) at z (R, N); the last sample is endless."""
    distances = torch.cat([z[:, 1:] - z[:, :-1], torch.full_like(z[:, :1], 1e10)], -1) * directions.norm(dim=-1, keepdim=True)
    alpha = 1 - torch.exp(-F.relu(raw[..., 3]) * distances)
    clear = torch.cumprod(torch.cat([torch.ones_like(alpha[:, :1]), 1 - alpha + 1e-10], -1), -1)[:, :-1]
    weights = alpha * clear
    colour = (weights[..., None] * torch.sigmoid(raw[..., :3])).sum(1)
    return colour + (1 - weights.sum(1, keepdim=True)) if white else colour, weights


def sample_pdf(bins, weights, count):
    """`count` values of t, even in the distribution of the weights (R, N) in bins with edges (R, N + 1)."""
    weights = weights + 1e-5
    cdf = torch.cumsum(weights / weights.sum(-1, keepdim=True), -1)
    cdf = torch.cat([torch.zeros_like(cdf[:, :1]), cdf], -1)
    u = torch.linspace(0, 1, count, dtype=cdf.dtype, device=cdf.device).expand(len(cdf), count).contiguous()
    above = torch.searchsorted(cdf, u, right=True).clamp(max=cdf.shape[1] - 1)
    below = (torch.searchsorted(cdf, u, right=True) - 1).clamp_min(0)
    low, high = cdf.gather(1, below), cdf.gather(1, above)
    size = torch.where(high - low < 1e-5, torch.ones_like(low), high - low)
    start, end = bins.gather(1, below), bins.gather(1, above)
    return start + (u - low) / size * (end - start)


def picture(coarse, fine, focal, camera_to_world, width, height, *, samples=64, importance=128, white=True, ndc=False):
    """The picture (H, W, 3) that it renders, of rays through the pixels' corners."""
    dtype = coarse["pts_linears.0.weight"].dtype
    column, row = torch.meshgrid(torch.arange(width, dtype=dtype), torch.arange(height, dtype=dtype), indexing="xy")
    local = torch.stack([(column - width / 2) / focal, -(row - height / 2) / focal, -torch.ones_like(column)], -1).view(-1, 3)
    directions = local @ camera_to_world[:, :3].T.to(dtype)
    origins = camera_to_world[:, 3].to(dtype).expand_as(directions)
    looking = directions / directions.norm(dim=-1, keepdim=True)
    near, far = (0.0, 1.0) if ndc else (NEAR, FAR)
    if ndc:
        origins, directions = into_ndc(origins, directions, focal, width, height)

    def seen(state, z):
        points = origins[:, None] + z[..., None] * directions[:, None]
        raw = network(state, points.view(-1, 3), looking[:, None].expand_as(points).reshape(-1, 3)).view(*z.shape, 4)
        return integrate(raw, z, directions, white)

    z = (near + (far - near) * torch.linspace(0, 1, samples, dtype=dtype)).expand(len(origins), samples)
    colour, weights = seen(coarse, z)
    if importance:
        more = sample_pdf((z[:, 1:] + z[:, :-1]) / 2, weights[:, 1:-1], importance)
        colour, _ = seen(fine, torch.cat([z, more], 1).sort(1).values)
    return colour.view(height, width, 3)


def into_ndc(origins, directions, focal, width, height):
    """Rays in normalised device coordinates of a frustum whose near plane is z = -1."""
    origins = origins - (1 + origins[:, 2:]) / directions[:, 2:] * directions
    (ox, oy, oz), (dx, dy, dz) = origins.unbind(1), directions.unbind(1)
    a, b = -2 * focal / width, -2 * focal / height
    return (
        torch.stack([a * ox / oz, b * oy / oz, 1 + 2 / oz], 1),
        torch.stack([a * (dx / dz - ox / oz), b * (dy / dz - oy / oz), -2 / oz], 1),
    )
