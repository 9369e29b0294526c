"""The point radiance field: a cloud of points with view-dependent colours, splatted."""

import math

import torch
from torch import Tensor, nn

from datasets.backgrounds import rendering_over
from datasets.cameras import Cameras
from models.antialiasing import AntialiasedModel, PixelSize, pixel_size_from
from models.checks import check_log_radii, check_mapping, check_number, check_tensors, like
from models.rendering import Rendering
from models.repeatable import sigmoid
from taichi_kernels.projection import pack_camera, project_points
from taichi_kernels.splatting import MIN_TRANSMITTANCE, splat, splat_packed
from taichi_kernels.splatting.profiles import PROFILES

SH_COEFFICIENTS = 9  # degree 2
SEEN_TRANSMITTANCE = 1 / 512  # points behind less than this change an 8-bit picture by half a level at most


class PointCloud(nn.Module, AntialiasedModel):
    """N points, each with a position, a base colour and spherical harmonics, and, if they are learned, an opacity and a radius.

    A point of radius r covers pixels within r * min(W, H) / 2 of its projection, whatever its depth (r in NDC, where the image is
    2 wide, as in Zhang et al. 2022). That is for the pictures that the cloud is learned from; in a picture with another lens it
    follows the focal length, r * frame * fx, so that pictures of several sizes show points of one size. Without
    `opacity_logits` every point has opacity 1; without `log_radii` every point has the common `radius`. Parameters are float32
    and stored along a space-filling curve, which keeps caches warm.
    """

    def __init__(
        self,
        positions: Tensor,
        base: Tensor,
        sh: Tensor,
        radius: float,
        *,
        opacity_logits: Tensor | None = None,
        log_radii: Tensor | None = None,
        profile: str = "parabola",
        max_layers: int = 0,
        sh_per: str = "point",
        use_sh: bool = True,
        frame: float | None = None,
        pixel: PixelSize | tuple | list | None = None,
    ):
        super().__init__()
        check_number("radius", radius, 1e-9, 1e9)
        check_number("max_layers", max_layers, 0, 2**31 - 1, whole=True)
        for name, value, known in (
            ("profile", profile, [*PROFILES]),
            ("sh_per", sh_per, ["point", "pixel"]),
            ("use_sh", use_sh, [True, False]),
        ):
            if type(value) is not type(known[0]) or value not in known:
                raise ValueError(f"{name} is {value!r:.60}, and not one of {', '.join(map(str, known))}")
        if frame is not None:
            check_number("frame", frame, 1e-9, 1e9)
        self.positions = nn.Parameter(positions)  # (N, 3) world
        self.base = nn.Parameter(base)  # (N, 3)
        self.sh = nn.Parameter(sh)  # (N, 9, 3)
        self.opacity_logits = None if opacity_logits is None else nn.Parameter(opacity_logits)  # (N,)
        self.log_radii = None if log_radii is None else nn.Parameter(log_radii)  # (N,) log of NDC radii
        self.radius, self.profile, self.max_layers, self.sh_per = radius, profile, max_layers, sh_per
        self.use_sh = use_sh  # False composites base colours only
        self.frame = frame  # min(W, H) / 2 / fx of the training pictures, see `frame_of`; None: that of each picture
        self.pixel = pixel_size_from(pixel)

    def settings(self) -> dict:
        """Keyword arguments of the constructor that rebuild the cloud together with its tensors."""
        return {
            "radius": self.radius,
            "profile": self.profile,
            "max_layers": self.max_layers,
            "sh_per": self.sh_per,
            "use_sh": self.use_sh,
            "frame": self.frame,
            "pixel": self.pixel and tuple(self.pixel),
        }

    def tensors(self) -> dict[str, Tensor]:
        """The points' parameters by name, detached; absent ones are left out."""
        return {name: value.detach() for name, value in self.named_parameters()}

    def selected(self, points: Tensor) -> "PointCloud":
        """A new cloud of some of the points (indices or a mask; repeats allowed), along a space-filling curve."""
        tensors = {name: value[points] for name, value in self.tensors().items()}
        return PointCloud.ordered(tensors, **self.settings())

    @staticmethod
    def ordered(tensors: dict[str, Tensor], **settings) -> "PointCloud":
        """A cloud from tensors by name, sorted along a space-filling curve."""
        order = torch.argsort(morton_codes(tensors["positions"]), stable=True)
        return PointCloud(**{name: value[order].contiguous() for name, value in tensors.items()}, **settings)

    @staticmethod
    def from_appearance(tensors: dict[str, Tensor], **settings) -> "PointCloud":
        """A cloud from its points' appearance: positions, base, sh, and, if they have their own, opacity (N,) in [0, 1] and
        radius (N,), NDC. Raises TypeError and ValueError for settings that do not fit."""
        tensors = dict(tensors)
        if "opacity" in tensors:
            tensors["opacity_logits"] = torch.logit(tensors.pop("opacity"), eps=1e-7)
        if "radius" in tensors:
            tensors["log_radii"] = torch.log(tensors.pop("radius"))
        return PointCloud(**tensors, **settings)

    def with_own_appearance(self) -> "PointCloud":
        """The same cloud with an opacity and a radius for every point, to be learned; opacity 1 has no logit and becomes 0.99."""
        tensors = self.tensors()
        count = self.point_count()
        tensors.setdefault("opacity_logits", self.positions.new_full((count,), math.log(99)))
        tensors.setdefault("log_radii", self.positions.new_full((count,), math.log(self.radius)))
        return PointCloud(**tensors, **self.settings())

    @staticmethod
    def checked(tensors: dict[str, Tensor], settings: dict) -> "PointCloud":
        """A cloud from a file's content: `tensors()` and `settings()` of another one. Raises ValueError if they are wrong: names,
        shapes, types, values that are not finite, and radii out of range."""
        check_mapping("its tensors", tensors, ("positions",))
        count = len(tensors["positions"]) if isinstance(tensors["positions"], Tensor) and tensors["positions"].ndim else 0
        expected = {"positions": like(count, 3), "base": like(count, 3), "sh": like(count, SH_COEFFICIENTS, 3)}
        check_tensors(tensors, expected, {"opacity_logits": like(count), "log_radii": like(count)})
        if "log_radii" in tensors:
            check_log_radii("log_radii", tensors["log_radii"])
        names = ("radius", "profile", "max_layers", "sh_per", "use_sh")
        known = {*names, "frame", "pixel"}  # earlier versions had neither of the last two
        unknown = check_mapping("its settings", settings, names).keys() - known
        if unknown:
            raise ValueError(f"its settings have an entry {min(unknown)!r}, which this version does not know")
        return PointCloud(**tensors, **settings)

    def point_count(self) -> int:
        """N."""
        return self.positions.shape[0]

    def describe(self) -> str:
        """N, in words."""
        return f"{self.point_count():,} points"

    def opacities(self) -> Tensor:
        """Opacity of every point, (N,) in [0, 1]."""
        if self.opacity_logits is None:
            return self.positions.new_ones(self.point_count())
        return sigmoid(self.opacity_logits)

    def radii(self, unit: float) -> Tensor:
        """Screen radius of every point, (N,) px, in a picture in which an NDC radius of 1 is `unit` px."""
        if self.log_radii is None:
            return self.positions.new_full((self.point_count(),), self.radius * unit)
        return torch.exp(self.log_radii) * unit

    def unit(self, cameras: Cameras, view: int) -> float:
        """The length in px of an NDC radius of 1 in a view."""
        return min(cameras.size(view)) / 2 if self.frame is None else self.frame * float(cameras.intrinsics[view, 0, 0])

    def composite(self, cameras: Cameras, view: int) -> tuple[Tensor, Tensor]:
        """Premultiplied image (H, W, 3), not clamped, and alpha (H, W) of one view; differentiable."""
        if self.use_sh and self.sh_per == "pixel":
            splatted = self._harmonics_per_pixel(cameras, view, with_depth=False)
            return splatted.image, splatted.alpha
        return self.composite_splats(*self.splats(cameras, view), cameras.size(view))

    def composite_splats(
        self, rows: Tensor, depths: Tensor, size: tuple[int, int], min_transmittance: float = MIN_TRANSMITTANCE
    ) -> tuple[Tensor, Tensor]:
        """Image (H, W, 3, or 4 with the sum of weighted depths) and alpha of the rows that `splats` returns; size: (W, H), px."""
        return splat_packed(
            rows, depths, *size, profile=self.profile, max_layers=self.max_layers, min_transmittance=min_transmittance
        )

    def splats(self, cameras: Cameras, view: int, with_depth: bool = False) -> tuple[Tensor, Tensor]:
        """The points on the screen of one view, with colours seen from there: see `taichi_kernels.projection`."""
        return self._rows(cameras, view, self.sh if self.use_sh else None, with_depth)

    def _rows(self, cameras: Cameras, view: int, sh: Tensor | None, with_depth: bool = False) -> tuple[Tensor, Tensor]:
        camera = pack_camera(cameras.intrinsics[view], cameras.camera_to_world[view]).to(self.positions.device)
        radii = self.radii(self.unit(cameras, view))
        return project_points(self.positions, self.base, sh, radii, self.opacities(), camera, with_depth=with_depth)

    def _harmonics_per_pixel(self, cameras: Cameras, view: int, with_depth: bool):
        """Blend base colours and coefficients, 30 channels, and evaluate the blended harmonics in each pixel's direction."""
        rows, depths = self._rows(cameras, view, None)
        splatted = splat(
            rows[:, :2],
            depths,
            rows[:, 2],
            rows[:, 3],
            torch.cat([rows[:, 4:], self.sh.flatten(1)], 1),
            *cameras.size(view),
            profile=self.profile,
            max_layers=self.max_layers,
            with_depth=with_depth,
        )
        basis = _pixel_basis(cameras, view).to(rows.device)
        sh = splatted.image[..., 3:].unflatten(-1, (SH_COEFFICIENTS, 3))
        return splatted._replace(image=splatted.image[..., :3] + (basis[..., None] * sh).sum(-2))

    def render_at(
        self, cameras: Cameras, view: int, background: str, *, with_depth: bool, with_normal: bool = False
    ) -> Rendering:
        """One view with points as large as in training, and without normals; see `render`."""
        if self.use_sh and self.sh_per == "pixel":
            image, alpha, depth = self._harmonics_per_pixel(cameras, view, with_depth)
        else:
            image, alpha = self.composite_splats(*self.splats(cameras, view, with_depth), cameras.size(view), SEEN_TRANSMITTANCE)
            depth = image[..., 3] / alpha.clamp_min(1e-8) if with_depth else None
            image = image[..., :3]
        return Rendering(rendering_over(image, 1 - alpha, background).clamp(0, 1), alpha, depth)


def frame_of(cameras: Cameras) -> float:
    """min(W, H) / 2 / fx of pictures, the median over the views: `PointCloud.frame` in training."""
    return float((shorter_sides(cameras) / 2 / cameras.intrinsics[:, 0, 0].double()).median())


def shorter_sides(cameras: Cameras) -> Tensor:
    """The shorter side of each view's picture, (V,) px."""
    return torch.minimum(cameras.widths, cameras.heights).double()


def _pixel_basis(cameras: Cameras, view: int) -> Tensor:
    """Spherical harmonics (H, W, 9) of the direction through each pixel's corner, as the original's code takes it."""
    k, pose = cameras.intrinsics[view], cameras.camera_to_world[view]
    width, height = cameras.size(view)
    x = (torch.arange(width) - k[0, 2]) / k[0, 0]
    y = -(torch.arange(height) - k[1, 2]) / k[1, 1]
    local = torch.stack([x.expand(len(y), -1), y[:, None].expand(-1, len(x)), -torch.ones(len(y), len(x))], -1)
    d = torch.nn.functional.normalize(local @ pose[:, :3].T, dim=-1)
    x, y, z = d.unbind(-1)
    c1, c2 = 0.4886025119029199, 1.0925484305920792
    quadratic = [
        c2 * x * y,
        -c2 * y * z,
        0.31539156525252005 * (2 * z * z - x * x - y * y),
        -c2 * x * z,
        c2 / 2 * (x * x - y * y),
    ]
    return torch.stack([torch.full_like(x, 0.28209479177387814), -c1 * y, c1 * z, -c1 * x, *quadratic], -1)


def morton_codes(positions: Tensor) -> Tensor:
    """Position of each point (N, 3) along a Z-order curve of 2^20 cells an axis over the cloud's box, (N,) int64."""
    if not len(positions):
        return torch.zeros(0, dtype=torch.int64, device=positions.device)
    low, high = positions.min(0)[0], positions.max(0)[0]
    cells = ((positions - low) / (high - low).clamp_min(1e-12) * (2**20 - 1)).to(torch.int64)
    code = torch.zeros_like(cells[:, 0])
    for axis in range(3):
        x = cells[:, axis]
        for shift, mask in (
            (32, 0x1F00000000FFFF),
            (16, 0x1F0000FF0000FF),
            (8, 0x100F00F00F00F00F),
            (4, 0x10C30C30C30C30C3),
            (2, 0x1249249249249249),
        ):
            x = (x | (x << shift)) & mask
        code |= x << axis
    return code
