"""The original NeRF: a coarse network that is sampled evenly along a ray, and a fine one that is sampled where the coarse one
found something. The coarse one learns from a loss of its own, or, reparameterized, through the t of the fine one's samples
(models/fine_samplers.py).
"""

from dataclasses import asdict, dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from models.antialiasing import PixelSize, pixel_size_from
from models.checks import check_mapping, check_number, check_record, check_tensors, check_truth
from models.fine_samplers import CoarsePass, MonteCarloSampler, OpacitySampler, WeightSampler, evenly, jittered
from models.monte_carlo import integrate
from models.network_field import NetworkField, NetworkShape, network_tensors, raw_in_parts
from models.ray_model import NETWORK_CHUNK, RayModel
from models.rays import Ndc, Rays, ndc_from
from models.volume import RayRendering, Sampler
from taichi_kernels.compositing import Composite, composite
from taichi_kernels.sampling import along

_ENDLESS = 1e10  # t: the length of an endless ray's last interval


@dataclass(frozen=True)
class Sampling:
    """Where rays are sampled."""

    near: float  # t
    far: float
    samples: int = 64  # evenly, for the coarse network
    importance: int = 0  # more of them, by the coarse network's weights, for the fine network; 0: there is none
    disparity: bool = False  # even in 1 / t
    endless: bool = False  # the last sample's interval never ends
    reparameterized: bool = False  # the coarse network is density alone, and gradients reach it through t
    union: bool = True  # the fine network sees the coarse one's samples too
    correcting: bool = False  # reparameterized: the fine network corrects the coarse density instead of having its own
    through_places: bool = True  # reparameterized: gradients reach the coarse network through t (the name is that in files)
    estimated: bool = False  # reparameterized: the fine network has the radiance alone, which is averaged over its samples


class Traced(NamedTuple):
    """R rays composited, by each network."""

    coarse: Composite | None  # None if the coarse network has no colours
    best: Composite  # of the fine network, or of the coarse one if it is the only one


class SampledField(RayModel):
    """One or two networks and how they are sampled: the model of `--method nerf --field mlp`."""

    field_word = "mlp"

    def __init__(
        self,
        coarse: NetworkField,
        fine: NetworkField | None,
        sampling: Sampling,
        ndc: Ndc | None = None,
        *,
        through_corners: bool = False,
        pixel: PixelSize | None = None,
    ):
        """Raises ValueError unless there is a fine network if and only if the sampling has samples for it, and unless the
        coarse network has colours if and only if they are rendered."""
        super().__init__(ndc, through_corners=through_corners)
        if sampling.reparameterized == coarse.shape.colours:
            raise ValueError("sampling.reparameterized goes with a coarse network without colours, and the other way round")
        if (sampling.estimated or sampling.correcting) and not sampling.reparameterized:
            raise ValueError("sampling.estimated and sampling.correcting need sampling.reparameterized")
        if not (sampling.correcting or sampling.through_places):
            raise ValueError("the coarse network learns by sampling.correcting, or through t, or by both")
        if coarse.shape.integrated or (fine is not None and fine.shape.integrated):
            raise ValueError("its networks see points, not Gaussians")
        if (fine is None) != (sampling.importance == 0):
            raise ValueError("a fine network needs sampling.importance > 0, and the other way round")
        self.coarse, self.fine, self.sampling, self.chunk = coarse, fine, sampling, NETWORK_CHUNK
        self.pixel = pixel

    def state(self, *, training: bool = True) -> dict:
        """The model as plain tensors and numbers; training needs the same ones as rendering."""
        settings = {
            "coarse": self.coarse.settings(),
            "fine": self.fine and self.fine.settings(),
            "sampling": asdict(self.sampling),
            "ndc": self.ndc and tuple(self.ndc),
            "through_corners": self.through_corners,
            "pixel": self.pixel and tuple(self.pixel),
        }
        return {"kind": "mlp", "tensors": {k: v.detach().cpu() for k, v in self.state_dict().items()}, "settings": settings}

    @staticmethod
    def from_state(state: dict) -> "SampledField":
        """The model of `state`. Raises ValueError if this version would render it differently."""
        check_mapping("its field", state, ("settings", "tensors"))
        settings = check_mapping("its settings", state["settings"], ("coarse", "fine", "sampling", "ndc", "through_corners"))
        saved = check_mapping("its sampling", settings["sampling"])
        if saved.get("correcting") and "through_places" not in saved:
            raise ValueError("its networks are of an earlier version, which corrected the fine density in another way")
        sampling = check_record(Sampling, saved, "its sampling")
        check_number("its samples", sampling.samples, 2, 65536, whole=True)
        check_number("its importance", sampling.importance, 0, 65536, whole=True)
        if not sampling.near < sampling.far:
            raise ValueError(f"its rays end at {sampling.far:g}, and they begin at {sampling.near:g}")
        check_truth("its through_corners", settings["through_corners"])
        names = ["coarse"] if settings["fine"] is None else ["coarse", "fine"]
        shapes = {name: check_record(NetworkShape, settings[name], f"its {name} network") for name in names}
        expected: dict[str, Tensor] = {}
        for name, shape in shapes.items():
            expected |= network_tensors(shape, f"{name}.")
        tensors = check_tensors(state["tensors"], expected)  # before memory for the networks is taken
        networks = {name: NetworkField(shape, torch.Generator()) for name, shape in shapes.items()}
        model = SampledField(
            networks["coarse"],
            networks.get("fine"),
            sampling,
            ndc_from(settings["ndc"]),
            through_corners=settings["through_corners"],
            pixel=pixel_size_from(settings.get("pixel")),
        )
        model.load_state_dict(tensors)
        return model

    def describe(self) -> str:
        """The networks' size, in words."""
        shape, count = self.coarse.shape, sum(values.numel() for values in self.parameters())
        return f"{'a network' if self.fine is None else 'two networks'} of {shape.depth} x {shape.width} units, {count:,} numbers"

    @property
    def samples_per_ray(self) -> int:
        """Evaluations of the networks for a ray."""
        s = self.sampling
        return s.samples + s.importance + (s.samples if s.importance and s.union else 0)

    def trace(self, rays: Rays, generator: torch.Generator | None = None, *, jitter: float = 0.0, noise: float = 0.0) -> Traced:
        """Sample and composite rays in the model's coordinates; differentiable in the networks.

        jitter: a sample moves by this fraction of the way to a random t of its own interval; noise: standard deviation of the
        normal noise on raw densities. Both are drawn from the generator.
        """
        s = self.sampling
        near, far = (rays.direction_norms.new_full((len(rays),), t) for t in (s.near, s.far))
        t = along(near, far, evenly(s.samples, near).expand(len(rays), -1), disparity=s.disparity)
        if jitter:
            assert generator is not None
            t = t + jitter * (jittered(t, generator) - t)
        coarse = self._coarse_pass(rays, t, generator, noise)
        if self.fine is None:
            assert coarse.composite is not None
            return Traced(coarse.composite, coarse.composite)
        fine = self.sampler.samples(rays, coarse, generator if jitter else None)
        if fine.drawn is not None:
            _, colours = self._at(self.fine, rays, fine.t, generator, 0.0)
            assert colours is not None
            return Traced(None, integrate(fine.drawn, fine.t, colours))
        return Traced(coarse.composite, self._composite(self.fine, rays, fine.t, generator, noise, fine.raw_offset))

    def _coarse_pass(self, rays: Rays, t: Tensor, generator: torch.Generator | None, noise: float) -> CoarsePass:
        if not self.sampling.reparameterized:
            return CoarsePass(t, self._composite(self.coarse, rays, t, generator, noise))
        t[:, 0], t[:, -1] = self.sampling.near, self.sampling.far  # the spline covers the whole ray
        densities, _ = self._at(self.coarse, rays, t, generator, noise)
        return CoarsePass(t, None, densities, self.initial_density)

    @property
    def sampler(self) -> Sampler:
        """The choice of the fine network's samples."""
        s = self.sampling
        if not s.reparameterized:
            return WeightSampler(s.importance, s.union)
        if s.estimated:
            return MonteCarloSampler(s.importance)
        return OpacitySampler(s.importance, s.union, s.through_places, s.correcting)

    @property
    def radiance_samples(self) -> int:
        """Samples per ray that evaluate the radiance alone; 0: every sample does."""
        return self.sampling.importance if self.sampling.estimated else 0

    @radiance_samples.setter
    def radiance_samples(self, count: int) -> None:
        """Raises ValueError for a model that does not estimate colours, or none."""
        if not self.sampling.estimated or count < 1:
            raise ValueError("it was not trained by --rvs --radiance_calls, or there are to be none")
        self.sampling = replace(self.sampling, importance=count)

    @property
    def initial_density(self) -> Tensor:
        """The coarse network's density (1,) before training."""
        return self.coarse.activate(next(self.coarse.parameters()).new_zeros(1))

    def render_rays(self, rays: Rays, *, with_normal: bool = False) -> RayRendering:
        """Colour, transmittance and depth of rays in the model's coordinates."""
        colour, transmittance, depth = self.trace(rays).best[:3]
        assert depth is not None
        return RayRendering(colour, transmittance, depth)

    def _composite(
        self, field: NetworkField, rays: Rays, t: Tensor, generator, noise: float, offset: Tensor | None = None
    ) -> Composite:
        densities, colours = self._at(field, rays, t, generator, noise, offset)
        assert colours is not None
        last = t[:, -1:] + _ENDLESS if self.sampling.endless else torch.full_like(t[:, -1:], self.sampling.far)
        ends = torch.cat([t[:, 1:], last], 1)
        return composite(densities, colours, t, ends, lengths=rays.direction_norms)

    def _at(
        self, field: NetworkField, rays: Rays, t: Tensor, generator, noise: float, offset: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Densities (R, N) and colours (R, N, 3), if the field has some, at t (R, N); offset: of raw densities."""

        def raw_of(some: slice) -> tuple[Tensor, Tensor | None]:
            positions = rays.origins[some, None] + t[some, :, None] * rays.directions[some, None]
            return field.raw(positions, rays.view_directions[some])

        raw, colours = raw_in_parts(raw_of, t, self.points, colours=field.shape.colours)
        if noise:
            raw = raw + noise * torch.randn(raw.shape, generator=generator).to(raw.device)
        return field.activate(raw if offset is None else raw + offset), colours
