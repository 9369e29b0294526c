"""Speed of the splatting op over points, sizes and threads, beside its peers in the same run.

    python -m benchmarks.splatting [--threads 1,2] [--out docs/splatting]

Medians of several runs after a warm-up, with binning; the clouds are random discs over the picture's middle. Peers: the same loop
in C with bins ready-made (where a compiler is installed) is the limit; PyTorch3D's renderer (where it is installed) visits every
point for every pixel on a CPU, and so does the plain-torch twin: ratios against those two flatter any tiled rasterizer.
--out writes <out>.json and <out>.png.
"""

import argparse
import statistics
import time
from pathlib import Path

import torch

from benchmarks import peers
from reporting.environment import environment
from system.files import write_json
from taichi_kernels import runtime
from taichi_kernels.splatting import splat
from tests.reference import splatting as twin

POINTS = [(n, 400, 2.0) for n in (10_000, 30_000, 100_000, 300_000, 1_000_000)]
SIZES = [(100_000, size, size / 200) for size in (200, 400, 800, 1600)]  # radius .01 NDC
LIMIT = (61_000, 800, 6.0)
_TWIN = (300, 64, 4.0)


def cloud(points: int, size: int, radius: float) -> list[torch.Tensor]:
    """centers, depths, radii, opacities and features of random discs."""
    g = torch.Generator().manual_seed(0)
    rand = lambda *shape: torch.rand(*shape, generator=g)  # noqa: E731
    where = runtime.torch_device()
    values = [
        rand(points, 2) * size * 0.75 + size / 8,
        rand(points) + 2,
        torch.full((points,), radius),
        torch.ones(points),
        rand(points, 3),
    ]
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


def measure(op, case: tuple[int, int, float], runs: int) -> dict:
    """Milliseconds of the forward pass, and of forward and backward."""
    points, size, radius = case
    values = cloud(*case)
    leaves = [v.clone().requires_grad_(i != 1) for i, v in enumerate(values)]  # depths have no gradient

    def both():
        image, alpha, _ = op(*leaves, size, size)
        (image.sum() + alpha.sum()).backward()

    with torch.no_grad():
        forward = milliseconds(lambda: op(*values, size, size), runs)
    return {"points": points, "size": size, "radius": radius, "forward": forward, "both": milliseconds(both, runs)}


def against_c(runs: int = 15) -> dict | None:
    """The C loop over ready-made bins and the whole op, in turns, on one cloud."""
    points, size, radius = LIMIT
    centers, depths, radii, opacities, features = cloud(*LIMIT)
    rows = torch.cat([centers, radii[:, None], opacities[:, None], features], 1)
    loop = peers.c_loop(rows, depths, size, size)
    if loop is None:
        return None
    op = lambda: splat(centers, depths, radii, opacities, features, size, size, min_transmittance=0.0)  # noqa: E731
    difference = (op().image - loop()).abs().max().item()
    times = [(milliseconds(loop, 3), milliseconds(op, 3)) for _ in range(runs)]
    c, ours = (statistics.median(t[i] for t in times) for i in (0, 1))
    return {"points": points, "size": size, "radius": radius, "c_loop": c, "forward": ours, "largest_difference": difference}


def against_pytorch3d(points: int = 100_000, size: int = 400, radius: float = 0.01) -> dict | None:
    """Its renderer and ours behind the same call, forward and with gradients."""
    found = peers.pytorch3d_renderers(points, size, radius)
    if found is None:
        return None
    theirs, ours, make = found
    row = {"points": points, "size": size, "radius_ndc": radius}
    for name, renderer, runs in (("theirs", theirs, 1), ("ours", ours, 15)):

        def both(renderer=renderer):
            renderer(make(True)).sum().backward()

        with torch.no_grad():
            fixed = make(False)
            row[f"{name}_forward"] = milliseconds(lambda renderer=renderer, fixed=fixed: renderer(fixed), runs)
        row[f"{name}_both"] = milliseconds(both, runs)
    return row


def plot(results: dict, path: Path) -> None:
    """Time over points and over pixels, a line for each number of threads."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for axis, key, cases, label in (
        (axes[0], "points", POINTS, "points (400 px, radius 2 px)"),
        (axes[1], "size", SIZES, "image size, px (100,000 points, radius .01 NDC)"),
    ):
        for threads, rows in results["by_threads"].items():
            chosen = [row for row in rows if (row["points"], row["size"], row["radius"]) in cases]
            chosen.sort(key=lambda row: row[key])
            for what, style in (("forward", "-o"), ("both", "--s")):
                name = "forward" if what == "forward" else "forward + backward"
                line = [row[key] for row in chosen], [row[what] for row in chosen]
                axis.loglog(*line, style, label=f"{name}, threads: {threads}")
        axis.set(xlabel=label, ylabel="milliseconds")
        values = [case[0 if key == "points" else 1] for case in cases]
        axis.set_xticks(values, [f"{value:,}" for value in values])
        axis.tick_params(axis="x", which="minor", bottom=False, labelbottom=False)
        axis.grid(alpha=0.3)
    axes[0].legend()
    figure.savefig(path, dpi=100)


def main() -> None:
    """Print the tables; write them where --out says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="auto", choices=runtime.DEVICES)
    parser.add_argument("--threads", default="0", help="comma-separated numbers to compare; 0 = all available")
    parser.add_argument("--out", type=Path, help="write OUT.json and OUT.png")
    options = parser.parse_args()
    results = {"environment": environment(), "by_threads": {}}
    for wanted in options.threads.split(","):
        results["device"] = runtime.init(options.device, int(wanted))
        where = f"{results['device']}, {runtime.workers()} threads, {results['environment']['cpu']}"
        print(f"{where}; milliseconds, medians, with binning")
        rows = results["by_threads"][runtime.workers()] = []
        for case in dict.fromkeys([*POINTS, *SIZES]):
            rows.append(measure(splat, case, 9))
            line = "{points:10,} points {size:5} px  radius {radius:4.1f}  forward {forward:8.2f}  both {both:8.2f}"
            print(line.format(**rows[-1]), flush=True)
    results["twin"] = {"theirs": measure(twin.splat, _TWIN, 3), "ours": measure(splat, _TWIN, 15)}
    results["c_loop"], results["pytorch3d"] = against_c(), against_pytorch3d()
    for name in ("twin", "c_loop", "pytorch3d"):
        print(f"{name}: {results[name] or 'not available here'}")
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        write_json(options.out.with_suffix(".json"), results)
        plot(results, options.out.with_suffix(".png"))


if __name__ == "__main__":
    main()
