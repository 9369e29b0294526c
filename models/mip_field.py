"""mip-NeRF: one network that sees the Gaussians of a pixel's cone, in two passes over intervals of the ray.

The first pass has even intervals. Its weights, spread over neighbours, say where the second one's intervals lie. Because the
network sees how large an interval and its pixel are, it learns a scene at all sizes of pixels at once, and small pictures do not
alias. Source: Barron et al. 2021 (mip-NeRF).
"""

from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from models.checks import check_mapping, check_number, check_record, check_tensors
from models.cones import frustum_gaussians
from models.fine_samplers import evenly, jittered
from models.network_field import NetworkField, NetworkShape, network_tensors, raw_in_parts
from models.ray_model import NETWORK_CHUNK, RayModel
from models.rays import Ndc, Rays, ndc_from
from models.volume import RayRendering
from taichi_kernels.compositing import Composite, composite
from taichi_kernels.sampling import along, inverse_cdf, stratified

_FLOOR = 0.01  # weight that is added to every interval before the second pass draws from them
_MARGIN = 0.001  # by which colours may leave [0, 1], so that the network can reach both ends


@dataclass(frozen=True)
class ConeSampling:
    """How rays are cut into intervals."""

    near: float  # t
    far: float
    intervals: int = 128  # of each pass
    disparity: bool = False  # the first pass's are even in 1 / t


class MipField(RayModel):
    """The model of `--method nerf --field mip`."""

    field_word = "mip"

    def __init__(self, network: NetworkField, sampling: ConeSampling, ndc: Ndc | None = None):
        """Raises ValueError for a network that does not see Gaussians, or that has no colours."""
        super().__init__(ndc)
        if not (network.shape.integrated and network.shape.colours and network.shape.use_directions):
            raise ValueError("its network has to see Gaussians and directions, and to have colours")
        self.network, self.sampling, self.chunk = network, sampling, NETWORK_CHUNK

    def state(self, *, training: bool = True) -> dict:
        """The model as plain tensors and numbers; training needs the same ones as rendering."""
        settings = {"network": self.network.settings(), "sampling": asdict(self.sampling), "ndc": self.ndc and tuple(self.ndc)}
        tensors = {name: values.detach().cpu() for name, values in self.state_dict().items()}
        return {"kind": "mip", "tensors": tensors, "settings": settings}

    @staticmethod
    def from_state(state: dict) -> "MipField":
        """The model of `state`. Raises ValueError for parts that are missing or do not fit."""
        check_mapping("its field", state, ("settings", "tensors"))
        settings = check_mapping("its settings", state["settings"], ("network", "sampling", "ndc"))
        sampling = check_record(ConeSampling, settings["sampling"], "its sampling")
        check_number("its intervals", sampling.intervals, 2, 65536, whole=True)
        if not 0 <= sampling.near < sampling.far:
            raise ValueError(f"its rays go from {sampling.near:g} to {sampling.far:g}")
        if sampling.disparity and sampling.near == 0:
            raise ValueError("its rays are cut evenly in 1 / t, and they begin at t = 0")
        shape = check_record(NetworkShape, settings["network"], "its network")
        tensors = check_tensors(state["tensors"], network_tensors(shape, "network."))  # before memory is taken
        model = MipField(NetworkField(shape, torch.Generator()), sampling, ndc_from(settings["ndc"]))
        model.load_state_dict(tensors)
        return model

    def describe(self) -> str:
        """The network's size, in words."""
        shape, count = self.network.shape, sum(values.numel() for values in self.parameters())
        return f"a network of {shape.depth} x {shape.width} units over cones, {count:,} numbers"

    @property
    def samples_per_ray(self) -> int:
        """Evaluations of the network for a ray."""
        return 2 * self.sampling.intervals

    def trace(
        self, rays: Rays, generator: torch.Generator | None = None, *, jitter: float = 0.0, noise: float = 0.0
    ) -> list[Composite]:
        """Both passes over rays in the model's coordinates; differentiable in the network, not in where the intervals lie.

        jitter: an edge moves by this fraction of the way to a random t of its own part of the ray; noise: standard deviation of
        the normal noise on raw densities. Both are drawn from the generator.
        """
        s = self.sampling
        near, far = (rays.direction_norms.new_full((len(rays),), t) for t in (s.near, s.far))
        edges = along(near, far, evenly(s.intervals + 1, near).expand(len(rays), -1), disparity=s.disparity)
        if jitter:
            assert generator is not None
            edges = edges + jitter * (jittered(edges, generator) - edges)
        first = self._pass(rays, edges, generator, noise)
        assert first.weights is not None
        edges = self._redrawn(edges, first.weights.detach(), generator if jitter else None)
        return [first, self._pass(rays, edges, generator, noise)]

    def _redrawn(self, edges: Tensor, weights: Tensor, generator: torch.Generator | None) -> Tensor:
        """Edges (R, N + 1) of as many intervals, drawn by the weights (R, N), each of them raised to what its neighbours have."""
        if generator is None:
            numbers = evenly(edges.shape[1], edges).expand(len(edges), -1)
        else:
            numbers = stratified(len(edges), edges.shape[1], generator, edges.device).to(edges)
        return inverse_cdf(edges, spread_weights(weights) + _FLOOR, numbers)

    def _pass(self, rays: Rays, edges: Tensor, generator: torch.Generator | None, noise: float) -> Composite:
        starts, ends = edges[:, :-1], edges[:, 1:]

        def raw_of(some: slice) -> tuple[Tensor, Tensor | None]:
            part = rays[some]
            seen = frustum_gaussians(part.origins, part.directions, part.radii, edges[some], cylinders=self.ndc is not None)
            return self.network.raw(seen.means, part.view_directions, seen.variances)

        raw, colours = raw_in_parts(raw_of, starts, self.points, colours=True)
        assert colours is not None
        if noise:
            raw = raw + noise * torch.randn(raw.shape, generator=generator).to(raw.device)
        return composite(self.network.activate(raw), widened(colours), starts, ends, lengths=rays.direction_norms)

    def render_rays(self, rays: Rays, *, with_normal: bool = False) -> RayRendering:
        """Colour, transmittance and depth of rays in the model's coordinates, by the second pass."""
        colour, transmittance, depth = self.trace(rays)[-1][:3]
        assert depth is not None
        return RayRendering(colour, transmittance, depth)


def widened(colours: Tensor) -> Tensor:
    """Colours in [0, 1], which a sigmoid does not reach, in an interval that is larger by a thousandth on either side."""
    return colours * (1 + 2 * _MARGIN) - _MARGIN


def spread_weights(weights: Tensor) -> Tensor:
    """Weights (R, N): the mean of the two largest-of-two around each, so that no interval beside a heavy one is left out.

    With w_{-1} = w_0 and w_N = w_{N-1}: (max(w_{i-1}, w_i) + max(w_i, w_{i+1})) / 2. Source: Barron et al. 2021, section 3.1.
    """
    beside = torch.cat([weights[:, :1], weights, weights[:, -1:]], 1)
    larger = torch.maximum(beside[:, :-1], beside[:, 1:])
    return (larger[:, :-1] + larger[:, 1:]) / 2
