"""Speed of the volume kernels beside plain-torch formulations of the same thing, in the same run and in turns.

    python -m benchmarks.volume [--threads 2] [--out docs/volume]

Medians of several runs after a warm-up, forward and backward unless it says otherwise. Peers: nerf-pytorch's compositing and its
`sample_pdf` as formulas, and the kernels' plain-torch twins. --out writes <out>.json.
"""

import argparse
import math
import statistics
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.splatting import milliseconds
from reporting.environment import environment
from system.files import write_json
from taichi_kernels import runtime
from taichi_kernels.compositing import composite
from taichi_kernels.dilation import dilate
from taichi_kernels.directions import encode_directions
from taichi_kernels.distortion import distortion
from taichi_kernels.frequencies import encode_frequencies
from taichi_kernels.grid_encoding import GridLayout, encode_grid, grid_gradient
from taichi_kernels.integrated_frequencies import encode_gaussians
from taichi_kernels.inverse_transform import draw_from_knots
from taichi_kernels.marching import march, pack_occupancy
from taichi_kernels.proposals import interlevel_loss
from taichi_kernels.rays import box_intersection, camera_rays
from taichi_kernels.reflections import encode_reflections
from taichi_kernels.sampling import inverse_cdf
from taichi_kernels.visibility import visible_samples
from tests.reference import grid_encoding as grid_twin
from tests.reference import integrated_frequencies as integrated_twin
from tests.reference import inverse_transform as inverse_twin
from tests.reference import nerf_pytorch
from tests.reference import reflections as reflections_twin

RAYS, SAMPLES = 4096, 128
POINTS = 65_536
TURNS = 7  # in which ours and a peer are timed one after the other


def rand(*shape: int, seed: int = 0) -> Tensor:
    """Uniform numbers in [0, 1) on the device."""
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)).to(runtime.torch_device())


def backward(function: Callable[..., Tensor], *leaves: Tensor) -> Callable[[], None]:
    """A call that runs the function forward on fresh leaves and backward from a fixed random gradient."""
    grads: list[Tensor] = []

    def call() -> None:
        out = function(*(leaf.detach().requires_grad_() for leaf in leaves))
        if not grads:
            grads.append(torch.rand_like(out))
        out.backward(grads[0])

    return call


def compositing() -> dict[str, tuple]:
    """4,096 rays of 128 samples: colour over black, gradients to densities and colours."""
    densities, colours = 3 * rand(RAYS, SAMPLES), rand(RAYS, SAMPLES, 3, seed=1)
    z = (2 + 4 * rand(RAYS, SAMPLES, seed=2)).sort(1).values
    directions = rand(RAYS, 3, seed=3) + 0.1
    ends, lengths = torch.cat([z[:, 1:], z[:, -1:] + 1e10], 1), directions.norm(dim=1)

    def theirs(s: Tensor, c: Tensor) -> Tensor:
        distances = torch.cat([z[:, 1:] - z[:, :-1], torch.full_like(z[:, :1], 1e10)], -1) * directions.norm(dim=-1, keepdim=True)
        alpha = 1 - torch.exp(-s * distances)
        clear = torch.cumprod(torch.cat([torch.ones_like(alpha[:, :1]), 1 - alpha + 1e-10], -1), -1)[:, :-1]
        return ((alpha * clear)[..., None] * c).sum(1)

    ours = backward(lambda s, c: composite(s, c, z, ends, lengths=lengths, depth=False).colour, densities, colours)
    return {f"compositing, {RAYS:,} x {SAMPLES}": (ours, backward(theirs, densities, colours))}


def weights_along_rays() -> dict[str, tuple]:
    """Of 4,096 rays of 128 samples: the distortion of their weights, and which samples are seen."""
    z = (2 + 4 * rand(RAYS, SAMPLES + 1, seed=2)).sort(1).values
    starts, ends, weights = z[:, :-1].contiguous(), z[:, 1:].contiguous(), rand(RAYS, SAMPLES) / SAMPLES
    middles, lengths = (starts + ends) / 2, torch.ones(RAYS, device=z.device)
    offsets = torch.arange(RAYS + 1, dtype=torch.int32, device=z.device) * SAMPLES
    flat = [t.reshape(-1) for t in (4 * rand(RAYS, SAMPLES, seed=3), starts, ends)]

    def theirs(w: Tensor) -> Tensor:
        before, moment = w.cumsum(1) - w, (w * middles).cumsum(1) - w * middles
        return (2 * w * (middles * before - moment)).sum(1) + (w * w * (ends - starts)).sum(1) / 3

    def by_cumsum() -> Tensor:
        thickness = flat[0].view(RAYS, SAMPLES) * (ends - starts)
        return torch.nonzero(torch.exp(thickness - thickness.cumsum(1)) > 1e-3)

    return {
        "distortion": (backward(lambda w: distortion(w, starts, ends), weights), backward(theirs, weights)),
        "visibility": (
            lambda: visible_samples(flat[0], flat[1], flat[2], offsets, lengths, lengths, min_transmittance=1e-3),
            by_cumsum,
        ),
    }


def proposals() -> dict[str, tuple]:
    """Of 4,096 rays: the loss of 64 bins for 32 intervals, with its gradient; the peer finds bins by bisection."""
    edges, weights = rand(RAYS, 65).sort(1).values, rand(RAYS, 64, seed=1) / 64
    field_edges, wanted = rand(RAYS, 33, seed=2).sort(1).values, rand(RAYS, 32, seed=3) / 16

    def theirs(w: Tensor) -> Tensor:
        first = (torch.searchsorted(edges, field_edges[:, :-1].contiguous(), right=True) - 1).clamp(0, 64)
        last = torch.searchsorted(edges, field_edges[:, 1:].contiguous(), right=True).clamp(0, 64)
        sums = torch.nn.functional.pad(w.cumsum(1), (1, 0))
        excess = (wanted - sums.gather(1, last) + sums.gather(1, first)).clamp_min(0)
        return excess.square() / (wanted + 1e-7)

    ours = backward(lambda w: interlevel_loss(edges, w, field_edges, wanted), weights)
    return {f"interlevel loss, {RAYS:,} x 64 -> 32": (ours, backward(theirs, weights))}


def grid() -> dict[str, tuple]:
    """65,536 points on 8 levels of 4 features, 2^17 rows: forward, with the table's gradient, and with the positions' too; the
    gradient to positions, with its own gradients to all that it depends on."""
    layout = GridLayout.hashed(8, 16, 1024, 17)
    points, table = rand(POINTS, 3), rand(layout.rows, 4, seed=1)
    ours, theirs = (lambda p, t, f=f: f(p, t, layout) for f in (encode_grid, grid_twin.encode_grid))
    weights = rand(POINTS, 4 * layout.levels, seed=2)

    def twin_slope(p: Tensor, t: Tensor, w: Tensor) -> Tensor:
        return torch.autograd.grad((grid_twin.encode_grid(p, t, layout) * w).sum(), p, create_graph=True)[0]

    none = torch.no_grad()
    return {
        "hash grid, forward": tuple(none(lambda f=f: f(points, table)) for f in (ours, theirs)),
        "hash grid, forward and table": tuple(backward(lambda t, f=f: f(points, t), table) for f in (ours, theirs)),
        "hash grid, forward, table and positions": tuple(backward(f, points, table) for f in (ours, theirs)),
        "hash grid, gradient and its gradients": tuple(
            backward(f, points, table, weights) for f in (lambda p, t, w: grid_gradient(p, t, layout, w), twin_slope)
        ),
    }


def encodings() -> dict[str, tuple]:
    """Of 65,536 positions or directions: frequencies, plain and integrated, harmonics, and harmonics over lobes."""
    points = 4 * rand(POINTS, 3) - 2
    directions, spread = torch.nn.functional.normalize(points, dim=1), 1e-3 * rand(POINTS, 3, seed=1)
    return {
        "frequencies, 10 octaves": (
            backward(lambda x: encode_frequencies(x, 10), points),
            backward(lambda x: nerf_pytorch.encode(x, 10), points),
        ),
        "integrated frequencies, 16 octaves": tuple(
            backward(lambda m, f=f: f(m, spread, 16), points) for f in (encode_gaussians, integrated_twin.encode_gaussians)
        ),
        "reflections, 5 levels": tuple(
            backward(lambda d, r, f=f: f(d, r, 5), directions, rand(POINTS, seed=3))
            for f in (encode_reflections, reflections_twin.encode_reflections)
        ),
        "spherical harmonics, degree 3, forward": (lambda: encode_directions(directions, 3), None),
    }


def sampling() -> dict[str, tuple]:
    """128 samples a ray by the weights of 62 bins, and these bins widened, without gradients."""
    edges, weights = (2 + 4 * rand(RAYS, 63)).sort(1).values, rand(RAYS, 62, seed=1) ** 8
    even = torch.linspace(0, 1, 128, device=edges.device).expand(RAYS, 128).contiguous()
    return {
        f"inverse CDF, {RAYS:,} x 62 -> 128": (
            lambda: inverse_cdf(edges, weights + 1e-5, even),
            lambda: nerf_pytorch.sample_pdf(edges, weights, 128),
        ),
        f"dilation of histograms, {RAYS:,} x 62": (lambda: dilate(edges, weights, 0.05), lambda: by_pairs(edges, weights, 0.05)),
    }


def by_pairs(edges: Tensor, weights: Tensor, radius: float) -> Tensor:
    """Dilated weights as multinerf has them: all points against all bins."""
    low, high, density = edges[:, :-1] - radius, edges[:, 1:] + radius, weights / edges.diff()
    points = torch.cat([edges, low, high], 1).sort(1).values.clamp(edges[:, :1], edges[:, -1:])
    reached = (low[:, None] <= points[:, :-1, None]) & (points[:, :-1, None] < high[:, None])
    return torch.where(reached, density[:, None], 0).amax(2) * points.diff()


def reparameterized() -> dict[str, tuple]:
    """64 samples a ray by the inverse of its opacity, of densities at 64 knots, with their gradient."""
    knots, uniforms = (2 + 4 * rand(RAYS, 64)).sort(1).values, (torch.arange(64) + rand(RAYS, 64, seed=1).cpu()) / 64
    uniforms, densities = uniforms.to(knots), 3 * rand(RAYS, 64, seed=2)
    ours, theirs = (
        backward(lambda s, f=f: f(knots, s, uniforms)[0], densities) for f in (draw_from_knots, inverse_twin.draw_from_knots)
    )
    return {f"inverse opacity, {RAYS:,} x 64 -> 64": (ours, theirs)}


def marching() -> dict[str, tuple]:
    """Rays of one camera through 128^3 cells of which a thick sphere's shell is occupied, in steps of 1/1024 of the diagonal."""
    axis = (torch.arange(128) + 0.5) / 64 - 1
    distance = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1).norm(dim=-1)
    where = runtime.torch_device()
    occupancy = pack_occupancy(((distance > 0.6) & (distance < 0.7))[None].to(where))
    box = torch.tensor([[-1.0] * 3, [1.0] * 3], device=where)
    camera = torch.tensor([[1.0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 4, 100, 100, 50, 50]], device=where)
    pixels = torch.cat([torch.zeros(RAYS, 1), 100 * rand(RAYS, 2).cpu()], 1).int().to(where)
    origins, directions = camera_rays(camera, pixels)
    near, far = box_intersection(origins, directions, box)
    run = lambda: march(origins, directions, near, far, near * 0, occupancy, box, step=3.46 / 1024)  # noqa: E731
    return {f"marching, {RAYS:,} rays, {len(run().rays):,} samples": (run, None)}


def measure(ours: Callable, theirs: Callable | None) -> dict:
    """Median milliseconds of both, timed in turns, and the median of the turns' ratios."""
    pairs = [(milliseconds(ours, 3), milliseconds(theirs, 1) if theirs else math.nan) for _ in range(TURNS)]
    row = {"ours": statistics.median(a for a, _ in pairs)}
    if theirs:
        row |= {"torch": statistics.median(b for _, b in pairs), "ratio": statistics.median(b / a for a, b in pairs)}
    return row


def main() -> None:
    """Print the table; write it where --out says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="auto", choices=runtime.DEVICES)
    parser.add_argument("--threads", type=int, default=0, help="0 = all available")
    parser.add_argument("--out", type=Path, help="write OUT.json")
    options = parser.parse_args()
    runtime.keep_freed_memory()  # as the program does
    device = runtime.init(options.device, options.threads)
    results = {"environment": environment(), "device": device, "threads": runtime.workers(), "milliseconds": {}}
    print(f"{device}, {runtime.workers()} threads, {results['environment']['cpu']}; milliseconds, medians")
    for cases in (compositing, weights_along_rays, proposals, grid, encodings, sampling, reparameterized, marching):
        for name, pair in cases().items():
            row = results["milliseconds"][name] = measure(*pair)
            peer = f"torch {row['torch']:9.2f}   ratio {row['ratio']:6.1f}" if "ratio" in row else ""
            print(f"{name:45} {row['ours']:8.2f}   {peer}", flush=True)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        write_json(options.out.with_suffix(".json"), results)


if __name__ == "__main__":
    main()
