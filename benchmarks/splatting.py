"""Speed of the splatting op over points, sizes and threads, beside its plain-torch twin in the same run.

    python -m benchmarks.splatting [--threads N]

Medians of several runs after a warm-up, with binning; the clouds are random discs over the picture's middle. The twin visits
every pixel for every point, so it is measured on the smallest cloud only, and the ratio flatters any tiled rasterizer.
"""

import argparse
import statistics
import time

import torch

from taichi_kernels import runtime
from taichi_kernels.splatting import splat
from tests.reference import splatting as twin

CASES = [(300, 64, 4.0), (10_000, 400, 4.0), (61_000, 800, 6.0), (100_000, 400, 2.0), (100_000, 800, 4.0), (300_000, 400, 2.0)]
_TWIN_POINTS = 300


def cloud(points: int, size: int, radius: float) -> list[torch.Tensor]:
    """centers, depths, radii, opacities and features of random discs."""
    g = torch.Generator().manual_seed(0)
    rand = lambda *shape: torch.rand(*shape, generator=g)  # noqa: E731
    where = runtime.torch_device()
    values = [rand(points, 2) * size * 0.75 + size / 8, rand(points) + 2, torch.full((points,), radius), torch.ones(points),
              rand(points, 3)]
    return [v.to(where) for v in values]


def milliseconds(function, runs: int) -> float:
    """Median wall-clock time of a call after one warm-up."""
    function()
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        function()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    return 1e3 * statistics.median(times)


def measure(op, values: list[torch.Tensor], size: int, runs: int) -> tuple[float, float]:
    """(forward, forward and backward) in milliseconds."""
    leaves = [v.clone().requires_grad_(i != 1) for i, v in enumerate(values)]  # depths have no gradient

    def both():
        image, alpha, _ = op(*leaves, size, size)
        (image.sum() + alpha.sum()).backward()

    with torch.no_grad():
        forward = milliseconds(lambda: op(*values, size, size), runs)
    return forward, milliseconds(both, runs)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="auto", choices=runtime.DEVICES)
    parser.add_argument("--threads", type=int, default=0, help="0 = all available")
    options = parser.parse_args()
    runtime.init(options.device, options.threads)
    print(f"device {runtime.device()}, {runtime.workers()} threads; milliseconds, medians, binning included")
    print(f"{'points':>8} {'size':>5} {'radius':>6} {'forward':>9} {'fwd+bwd':>9}   the twin's, and ratios")
    for points, size, radius in CASES:
        values = cloud(points, size, radius)
        ours = measure(splat, values, size, 15)
        line = f"{points:8,} {size:5} {radius:6.1f} {ours[0]:9.2f} {ours[1]:9.2f}"
        if points <= _TWIN_POINTS:
            slow = measure(twin.splat, [v.cpu() for v in values], size, 3)
            line += f"   {slow[0]:9.1f} {slow[1]:9.1f}   {slow[0] / ours[0]:6.0f}x {slow[1] / ours[1]:6.0f}x"
        print(line, flush=True)


if __name__ == "__main__":
    main()
