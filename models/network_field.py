"""The original radiance field: a deep network of encoded positions and directions."""

from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.checks import check_number, like
from taichi_kernels.frequencies import encode_frequencies

_SKIP = 5  # the layer that sees the encoded position again


@dataclass(frozen=True)
class NetworkShape:
    """How large a network is, and what its outputs mean."""

    depth: int = 8  # layers
    width: int = 256  # units of a layer
    octaves: int = 10  # of the positions' encoding
    direction_octaves: int = 4
    use_directions: bool = True  # colours depend on the direction
    density_shift: float | None = None  # density = softplus(raw + shift), which never dies; None: relu(raw), the original's
    colours: bool = True  # False: densities alone


def layer_sizes(shape: NetworkShape) -> dict[str, tuple[int, int]]:
    """Inputs and outputs of a network's linear layers, by their names. Raises ValueError for numbers that make no network."""
    check_number("its depth", shape.depth, 1, 1024, whole=True)
    check_number("its width", shape.width, 2, 1 << 20, whole=True)
    for octaves in (shape.octaves, shape.direction_octaves):
        check_number("its octaves", octaves, 0, 24, whole=True)
    inputs, directions = (3 * (1 + 2 * octaves) for octaves in (shape.octaves, shape.direction_octaves))
    width = shape.width
    sizes = {f"layers.{i}": (width if i else inputs, width) for i in range(shape.depth)}
    if shape.depth > _SKIP:
        sizes[f"layers.{_SKIP}"] = (width + inputs, width)
    if not shape.colours:
        return sizes | {"density": (width, 1)}
    if shape.use_directions:
        mixed = {"mixed": (width + directions, width // 2), "colour": (width // 2, 3)}
        return sizes | {"density": (width, 1), "feature": (width, width)} | mixed
    return sizes | {"both": (width, 4)}


def network_tensors(shape: NetworkShape, prefix: str = "") -> dict[str, Tensor]:
    """Names and shapes of a network's tensors, for `models.checks.check_tensors`."""
    sizes = layer_sizes(shape).items()
    return {f"{prefix}{name}.weight": like(outputs, inputs) for name, (inputs, outputs) in sizes} | {
        f"{prefix}{name}.bias": like(outputs) for name, (_, outputs) in sizes}


class NetworkField(nn.Module):
    """Density and colour at points, seen from directions.

    Encoded positions go through `depth` layers with ReLU, and in once more before the sixth; a linear layer makes the raw
    density of the last one, and another its feature, which goes with the encoded direction through one layer of half the width
    to the raw colour; colour = sigmoid(raw). Without directions, one linear layer makes density and colour; without colours, one
    makes the density. Source: Mildenhall et al. 2020, appendix A, and nerf-pytorch.
    """

    def __init__(self, shape: NetworkShape, generator: torch.Generator):
        super().__init__()
        self.shape, self.in_bfloat16 = shape, False  # whether layers multiply in bfloat16
        self.layers = nn.ModuleList()
        for name, (inputs, outputs) in layer_sizes(shape).items():
            layer = nn.Linear(inputs, outputs)
            if name.startswith("layers."):
                self.layers.append(layer)
            else:
                setattr(self, name, layer)
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                _start(layer, generator)

    def settings(self) -> dict:
        """What the field needs beside its tensors to be rebuilt."""
        return asdict(self.shape)

    def raw(self, positions: Tensor, looking: Tensor) -> tuple[Tensor, Tensor | None]:
        """Raw densities (R, N) and colours (R, N, 3) in [0, 1], or None, at positions (R, N, 3), world, looked at along looking
        (R, 3), unit."""
        with torch.autocast(positions.device.type, torch.bfloat16, enabled=self.in_bfloat16):
            return self._raw(positions, looking)

    def _raw(self, positions: Tensor, looking: Tensor) -> tuple[Tensor, Tensor | None]:
        rays, count = positions.shape[:2]
        encoded = encode_frequencies(positions.reshape(-1, 3), self.shape.octaves)
        hidden = encoded
        for number, layer in enumerate(self.layers):
            if number == _SKIP:
                hidden = torch.cat([encoded, hidden], 1)
            hidden = torch.relu(layer(hidden))
        if not self.shape.colours:
            return self.density(hidden).view(rays, count).to(positions), None
        if not self.shape.use_directions:
            out = self.both(hidden).view(rays, count, 4)
            return out[..., 3].to(positions), torch.sigmoid(out[..., :3].to(positions))
        seen = encode_frequencies(looking, self.shape.direction_octaves)
        feature, mixed = self.feature(hidden), self.mixed.weight
        from_feature = F.linear(feature, mixed[:, : self.shape.width], self.mixed.bias).view(rays, count, -1)
        from_direction = F.linear(seen, mixed[:, self.shape.width :])  # once a ray
        colour = self.colour(torch.relu(from_feature + from_direction[:, None]))
        return self.density(hidden).view(rays, count).to(positions), torch.sigmoid(colour.to(positions))

    def activate(self, raw: Tensor) -> Tensor:
        """Densities per world unit of raw ones."""
        return torch.relu(raw) if self.shape.density_shift is None else F.softplus(raw + self.shape.density_shift)


def _start(layer: nn.Linear, generator: torch.Generator) -> None:
    """torch's own start of a linear layer, from this generator: uniform up to 1 / sqrt(inputs)."""
    reach = layer.in_features**-0.5
    with torch.no_grad():
        for values in (layer.weight, layer.bias):
            values.copy_((torch.rand(values.shape, generator=generator) * 2 - 1) * reach)
