"""Shapes and types of what the public operations take and return, checked by jaxtyping and beartype.

Each function below is an operation behind its signature: letters are sizes that have to agree within one call.
"""

import pytest
import torch
from beartype import beartype
from jaxtyping import Float32 as F32
from jaxtyping import Int32, Int64, TypeCheckError, UInt8, jaxtyped
from torch import Tensor

from taichi_kernels.compositing import composite
from taichi_kernels.dilation import dilate
from taichi_kernels.directions import encode_directions
from taichi_kernels.distortion import distortion
from taichi_kernels.frequencies import encode_frequencies
from taichi_kernels.grid_encoding import encode_grid, grid_gradient
from taichi_kernels.grid_encoding.layout import GridLayout
from taichi_kernels.hull import carve_hull
from taichi_kernels.integrated_frequencies import encode_gaussians
from taichi_kernels.inverse_transform import draw_from_knots, draw_from_samples
from taichi_kernels.photometric import photometric_loss
from taichi_kernels.projection import project_points
from taichi_kernels.proposals import interlevel_loss, proposal_bound
from taichi_kernels.rays import box_intersection, camera_rays, to_ndc
from taichi_kernels.reflections import encode_reflections
from taichi_kernels.sampling import inverse_cdf
from taichi_kernels.splatting import splat, splat_packed
from taichi_kernels.visibility import visible_samples

typed = jaxtyped(typechecker=beartype)
LAYOUT = GridLayout.hashed(2, 4, 8, 8)


@typed
def photometric(image: F32[Tensor, "H W 3"], target: F32[Tensor, "H W 3"]) -> tuple[F32[Tensor, ""], F32[Tensor, ""]]:
    return photometric_loss(image, target)


@typed
def project(
    positions: F32[Tensor, "N 3"],
    base: F32[Tensor, "N 3"],
    sh: F32[Tensor, "N 9 3"],
    radii: F32[Tensor, "N"],
    opacities: F32[Tensor, "N"],
    camera: F32[Tensor, "16"],
) -> tuple[F32[Tensor, "N 7"], F32[Tensor, "N"]]:
    return project_points(positions, base, sh, radii, opacities, camera)


@typed
def splat_rows(rows: F32[Tensor, "N 7"], depths: F32[Tensor, "N"]) -> tuple[F32[Tensor, "24 32 3"], F32[Tensor, "24 32"]]:
    return splat_packed(rows, depths, 32, 24)


@typed
def splats(
    centers: F32[Tensor, "N 2"], depths: F32[Tensor, "N"], radii: F32[Tensor, "N"], features: F32[Tensor, "N C"]
) -> tuple[F32[Tensor, "24 32 C"], F32[Tensor, "24 32"]]:
    return tuple(splat(centers, depths, radii, None, features, 32, 24)[:2])


@typed
def composited(
    densities: F32[Tensor, "M"],
    colours: F32[Tensor, "M C"],
    starts: F32[Tensor, "M"],
    ends: F32[Tensor, "M"],
    offsets: Int32[Tensor, "R1"],
    lengths: F32[Tensor, "R"],
) -> tuple[F32[Tensor, "R C"], F32[Tensor, "R"], F32[Tensor, "R"], F32[Tensor, "R"], F32[Tensor, "M"]]:
    return tuple(composite(densities, colours, starts, ends, offsets=offsets, lengths=lengths))


@typed
def spread(
    weights: F32[Tensor, "M"],
    starts: F32[Tensor, "M"],
    ends: F32[Tensor, "M"],
    offsets: Int32[Tensor, "R1"],
    lengths: F32[Tensor, "R"],
) -> F32[Tensor, "R"]:
    return distortion(weights, starts, ends, offsets)


@typed
def visible(
    densities: F32[Tensor, "M"],
    starts: F32[Tensor, "M"],
    ends: F32[Tensor, "M"],
    offsets: Int32[Tensor, "R1"],
    lengths: F32[Tensor, "R"],
) -> tuple[Int64[Tensor, "V"], Int32[Tensor, "R1"], F32[Tensor, "R"]]:
    return tuple(visible_samples(densities, starts, ends, offsets, lengths, torch.ones_like(lengths), min_transmittance=1e-3))


@typed
def drawn_from_knots(
    knots: F32[Tensor, "R K"], densities: F32[Tensor, "R K"], uniforms: F32[Tensor, "R N"]
) -> tuple[F32[Tensor, "R N"], F32[Tensor, "R"], F32[Tensor, "R N"]]:
    return tuple(draw_from_knots(knots, densities, uniforms))


@typed
def drawn_from_samples(
    densities: F32[Tensor, "M"],
    starts: F32[Tensor, "M"],
    ends: F32[Tensor, "M"],
    offsets: Int32[Tensor, "R1"],
    uniforms: F32[Tensor, "R N"],
) -> tuple[F32[Tensor, "R N"], F32[Tensor, "R"], F32[Tensor, "R N"]]:
    return tuple(draw_from_samples(densities, starts, ends, offsets, uniforms))


@typed
def from_histogram(edges: F32[Tensor, "R K"], weights: F32[Tensor, "R B"], uniforms: F32[Tensor, "R N"]) -> F32[Tensor, "R N"]:
    return inverse_cdf(edges, weights, uniforms)


@typed
def dilated(edges: F32[Tensor, "R 5"], weights: F32[Tensor, "R 4"]) -> tuple[F32[Tensor, "R 13"], F32[Tensor, "R 12"]]:
    return dilate(edges, weights, 0.1)


@typed
def bounds_of(edges: F32[Tensor, "R K1"], weights: F32[Tensor, "R K"], field_edges: F32[Tensor, "R N1"]) -> F32[Tensor, "R 6"]:
    return proposal_bound(edges, weights, field_edges)


@typed
def interlevel(
    edges: F32[Tensor, "R K1"], weights: F32[Tensor, "R K"], field_edges: F32[Tensor, "R N1"], field_weights: F32[Tensor, "R N"]
) -> F32[Tensor, "R N"]:
    return interlevel_loss(edges, weights, field_edges, field_weights)


@typed
def grid_features(positions: F32[Tensor, "N 3"], table: F32[Tensor, "T 2"]) -> F32[Tensor, "N 4"]:
    return encode_grid(positions, table, LAYOUT)


@typed
def grid_slopes(positions: F32[Tensor, "N 3"], table: F32[Tensor, "T 2"], weights: F32[Tensor, "N 4"]) -> F32[Tensor, "N 3"]:
    return grid_gradient(positions, table, LAYOUT, weights)


@typed
def reflections(directions: F32[Tensor, "N 3"], roughness: F32[Tensor, "N"]) -> F32[Tensor, "N 38"]:
    return encode_reflections(directions, roughness, 4)


@typed
def frequencies(values: F32[Tensor, "N 3"]) -> F32[Tensor, "N 15"]:
    return encode_frequencies(values, 2)


@typed
def integrated(means: F32[Tensor, "N 3"], variances: F32[Tensor, "N 3"]) -> F32[Tensor, "N 12"]:
    return encode_gaussians(means, variances, 2)


@typed
def harmonics(directions: F32[Tensor, "N 3"]) -> F32[Tensor, "N 16"]:
    return encode_directions(directions)


@typed
def rays_of(cameras: F32[Tensor, "V 16"], pixels: Int32[Tensor, "R 3"]) -> tuple[F32[Tensor, "R 3"], F32[Tensor, "R 3"]]:
    return camera_rays(cameras, pixels)


@typed
def in_box(
    origins: F32[Tensor, "R 3"], directions: F32[Tensor, "R 3"], box: F32[Tensor, "2 3"]
) -> tuple[F32[Tensor, "R"], F32[Tensor, "R"]]:
    return box_intersection(origins, directions, box)


@typed
def normalised(origins: F32[Tensor, "R 3"], directions: F32[Tensor, "R 3"]) -> tuple[F32[Tensor, "R 3"], F32[Tensor, "R 3"]]:
    return to_ndc(origins, directions, 30.0, 30.0, 32, 24)


@typed
def hull(xs: F32[Tensor, "X"], cameras: F32[Tensor, "V 16"], masks: UInt8[Tensor, "V H W"]) -> Int64[Tensor, "M 3"]:
    return carve_hull(xs, xs, xs, cameras, masks)


def camera() -> Tensor:
    return torch.tensor([1.0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 30, 30, 16, 12])


def packed(rays: int = 4, samples: int = 6) -> tuple[Tensor, ...]:
    """Densities, starts, ends and offsets of some rays."""
    starts = torch.arange(samples).repeat(rays) * 0.1
    return torch.rand(rays * samples), starts, starts + 0.1, torch.arange(rays + 1, dtype=torch.int32) * samples


def knots() -> Tensor:
    return torch.linspace(0, 1, 7).expand(4, -1).contiguous()


def uniforms() -> Tensor:
    return torch.linspace(0.1, 0.9, 3).expand(4, -1).contiguous()


CASES = {
    "photometric": lambda: (photometric, torch.rand(24, 32, 3), torch.rand(24, 32, 3)),
    "project": lambda: (project, torch.rand(5, 3), torch.rand(5, 3), torch.rand(5, 9, 3), torch.rand(5), torch.rand(5), camera()),
    "splat_packed": lambda: (splat_rows, 4 + 8 * torch.rand(5, 7), torch.rand(5)),
    "splat": lambda: (splats, 20 * torch.rand(5, 2), torch.rand(5), 1 + torch.rand(5), torch.rand(5, 4)),
    "composite": lambda: (composited, packed()[0], torch.rand(24, 3), *packed()[1:], torch.ones(4)),
    "distortion": lambda: (spread, *packed(), torch.ones(4)),
    "see": lambda: (visible, *packed(), torch.ones(4)),
    "draw_from_knots": lambda: (drawn_from_knots, knots(), torch.rand(4, 7), uniforms()),
    "draw_from_samples": lambda: (drawn_from_samples, *packed(), uniforms()),
    "dilate": lambda: (dilated, knots()[:, :5], torch.rand(4, 4)),
    "inverse_cdf": lambda: (from_histogram, knots(), torch.rand(4, 6), uniforms()),
    "proposal_bound": lambda: (bounds_of, uniforms(), torch.rand(4, 2), knots()),
    "interlevel_loss": lambda: (interlevel, uniforms(), torch.rand(4, 2), knots(), torch.rand(4, 6)),
    "encode_grid": lambda: (grid_features, torch.rand(5, 3), torch.rand(LAYOUT.rows, 2)),
    "grid_gradient": lambda: (grid_slopes, torch.rand(5, 3), torch.rand(LAYOUT.rows, 2), torch.rand(5, 4)),
    "encode_reflections": lambda: (reflections, torch.nn.functional.normalize(torch.rand(5, 3), dim=1), torch.rand(5)),
    "encode_frequencies": lambda: (frequencies, torch.rand(5, 3)),
    "encode_gaussians": lambda: (integrated, torch.rand(5, 3), torch.rand(5, 3)),
    "encode_directions": lambda: (harmonics, torch.nn.functional.normalize(torch.rand(5, 3), dim=1)),
    "camera_rays": lambda: (rays_of, camera()[None], torch.zeros(5, 3, dtype=torch.int32)),
    "box_intersection": lambda: (in_box, torch.rand(5, 3), torch.rand(5, 3), torch.tensor([[-1.0] * 3, [1.0] * 3])),
    "to_ndc": lambda: (normalised, torch.rand(5, 3), -1 - torch.rand(5, 3)),
    "carve_hull": lambda: (hull, torch.linspace(-1, 1, 6), camera()[None], torch.full((1, 24, 32), 255, dtype=torch.uint8)),
}


@pytest.mark.parametrize("name", CASES)
def test_shapes_are_those_that_are_documented(device, name):
    """Another shape or type of a result raises TypeCheckError."""
    op, *given = CASES[name]()
    result = op(*(value.to(device) for value in given))
    for values in result if isinstance(result, tuple) else [result]:
        assert not values.isnan().any()


@pytest.mark.parametrize("name", CASES)
def test_the_check_can_fail(device, name):
    """With a first argument that has one dimension more."""
    op, first, *given = CASES[name]()
    with pytest.raises(TypeCheckError):
        op(first[None].to(device), *(value.to(device) for value in given))
