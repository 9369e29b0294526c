"""The original radiance field: a deep network of encoded positions and directions."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from models.checks import check_number, like
from models.repeatable import linear, padded, sigmoid, softplus
from taichi_kernels.frequencies import encode_frequencies
from taichi_kernels.integrated_frequencies import encode_gaussians

_SKIP = 5  # the layer that sees the encoded position again


@dataclass(frozen=True)
class NetworkShape:
    """How large a network is, and what its outputs mean."""

    depth: int = 8  # layers
    width: int = 256  # units of a layer
    octaves: int = 10  # of the positions' encoding
    direction_octaves: int = 4
    use_directions: bool = True  # colours depend on the direction
    density_shift: float | None = None  # density = softplus(raw + shift); None: relu(raw), the original's, which may stay 0
    colours: bool = True  # False: densities alone
    integrated: bool = False  # positions are Gaussians; their encoding is without the coordinates themselves
    axes: int = 3  # coordinates of a position


def layer_sizes(shape: NetworkShape) -> dict[str, tuple[int, int]]:
    """Inputs and outputs of a network's linear layers, by their names. Raises ValueError for numbers that make no network."""
    check_number("its depth", shape.depth, 1, 1024, whole=True)
    check_number("its width", shape.width, 2, 1 << 20, whole=True)
    for octaves in (shape.octaves, shape.direction_octaves):
        check_number("its octaves", octaves, 0, 24, whole=True)
    check_number("its coordinates", shape.axes, 3, 1 << 8, whole=True)
    inputs, directions = shape.axes * (2 * shape.octaves + (not shape.integrated)), 3 * (1 + 2 * shape.direction_octaves)
    check_number("its encoding's numbers", inputs, 1, 1 << 10, whole=True)
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
        f"{prefix}{name}.bias": like(outputs) for name, (_, outputs) in sizes
    }


class NetworkField(nn.Module):
    """Density and colour at points, seen from directions.

    Encoded positions go through `depth` layers with ReLU, and in once more before the sixth; a linear layer makes the raw
    density of the last one, and another its feature, which goes with the encoded direction through one layer of half the width
    to the raw colour; colour = sigmoid(raw). Without directions, one linear layer makes density and colour; without colours, one
    makes the density. Source: Mildenhall et al. 2020, appendix A, and nerf-pytorch.
    """

    density: nn.Linear
    feature: nn.Linear
    mixed: nn.Linear
    colour: nn.Linear
    both: nn.Linear

    def __init__(self, shape: NetworkShape, generator: torch.Generator):
        super().__init__()
        self.shape, self.in_bfloat16 = shape, False  # whether layers multiply in bfloat16
        self.layers: Any = nn.ModuleList()  # of nn.Linear
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
        """The numbers that rebuild the field together with its tensors."""
        return asdict(self.shape)

    def raw(self, positions: Tensor, looking: Tensor, variances: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Raw densities (R, N) and colours (R, N, 3) in [0, 1], or None, at positions (R, N, axes), looked at along looking
        (R, 3), unit. variances (R, N, axes): of Gaussians around the positions, if the shape is `integrated`. Raises ValueError
        for variances that are missing or not wanted."""
        if (variances is not None) != self.shape.integrated:
            raise ValueError(f"expected {'means and variances' if self.shape.integrated else 'positions alone'}")
        rays, count = positions.shape[:2]
        flat = positions.reshape(-1, self.shape.axes)
        if variances is None:
            encoded = self._encoded(flat, self.shape.octaves)
        else:
            encoded = self._in_type(encode_gaussians(flat, variances.reshape(-1, self.shape.axes), self.shape.octaves))
        hidden = self._hidden(padded(encoded))
        if not self.shape.colours:
            return self._of_samples(hidden, self.density, rays, count).squeeze(2).to(positions), None
        if not self.shape.use_directions:
            out = self._of_samples(hidden, self.both, rays, count).to(positions)
            return out[..., 3], sigmoid(out[..., :3])
        seen = self._encoded(looking, self.shape.direction_octaves)
        feature, mixed = _through(self.feature, hidden), self.mixed.weight
        from_feature = linear(feature, mixed[:, : self.shape.width], self.mixed.bias)[: rays * count].view(rays, count, -1)
        from_direction = linear(seen, mixed[:, self.shape.width :])  # once a ray
        colour = self._of_samples(torch.relu(from_feature + from_direction[:, None]).flatten(0, 1), self.colour, rays, count)
        density = self._of_samples(hidden, self.density, rays, count)
        return density.squeeze(2).to(positions), sigmoid(colour.to(positions))

    def _encoded(self, values: Tensor, octaves: int) -> Tensor:
        return self._in_type(encode_frequencies(values, octaves))

    def _in_type(self, encoded: Tensor) -> Tensor:
        return encoded.bfloat16() if self.in_bfloat16 else encoded

    def _hidden(self, encoded: Tensor) -> Tensor:
        """The output of the layers with ReLU for encoded positions (M, inputs)."""
        hidden, inputs = encoded, self.layers[0].in_features
        for number, layer in enumerate(self.layers):
            if number == _SKIP:
                again = linear(encoded, layer.weight[:, :inputs])
                hidden = torch.relu(again + linear(hidden, layer.weight[:, inputs:], layer.bias))
            else:
                hidden = torch.relu(_through(layer, hidden))
        return hidden

    @staticmethod
    def _of_samples(values: Tensor, layer: nn.Linear, rays: int, count: int) -> Tensor:
        """A layer of all samples' values (M, K), without those that only fill them up: (rays, count, outputs)."""
        return _through(layer, values)[: rays * count].view(rays, count, -1)

    def activate(self, raw: Tensor) -> Tensor:
        """Densities per world unit of raw ones."""
        return torch.relu(raw) if self.shape.density_shift is None else softplus(raw + self.shape.density_shift)


def samples_at_once(device: torch.device) -> int:
    """Samples of a step that a network learns from at a time, and that it renders at a time: a bound on the memory of layers.

    On a CPU few, which take as long as many: the C library (glibc before 2.38) uses few of the large blocks again that are freed.
    """
    return 1 << (14 if device.type == "cpu" else 18)


def raw_in_parts(
    raw_of: Callable[[slice], tuple[Tensor, Tensor | None]], t: Tensor, most: int | None, *, colours: bool
) -> tuple[Tensor, Tensor | None]:
    """Raw densities (R, N) and colours (R, N, 3), or None, of samples at t (R, N), for which `raw_of` gives those of some rays.

    If no gradient is wanted, `most` samples at a time, None: `samples_at_once`. The results have their memory before the first
    part. Results of parts would each take a piece of the memory that layers leave, and the next part's layers, which then do
    not fit in there, would take new memory.
    """
    some = max(1, (most or samples_at_once(t.device)) // t.shape[1])
    if torch.is_grad_enabled() or len(t) <= some:
        return raw_of(slice(None))
    densities, radiances = torch.empty_like(t), t.new_empty(*t.shape, 3) if colours else None
    for start in range(0, len(t), some):
        part = slice(start, start + some)
        densities[part], found = raw_of(part)
        if radiances is not None and found is not None:
            radiances[part] = found
    return densities, radiances


def _through(layer: nn.Linear, values: Tensor) -> Tensor:
    return linear(values, layer.weight, layer.bias)


def _start(layer: nn.Linear, generator: torch.Generator) -> None:
    """torch's own start of a linear layer, from this generator: uniform up to 1 / sqrt(inputs)."""
    reach = layer.in_features**-0.5
    with torch.no_grad():
        for values in (layer.weight, layer.bias):
            values.copy_((torch.rand(values.shape, generator=generator) * 2 - 1) * reach)
