"""Reparameterized volume sampling on single rays: approximations of a density, four estimators of a colour, and a density found
again from colours alone. The experiments of the notebook beside Morozov et al. 2023, with the kernels of this program.

    python -m benchmarks.rvs_1d [--out docs/rvs_1d] [--steps 20000] [--repeats 4096]

Writes approximations.png, estimators.png, recovery.png and figures.json; notebooks/1d_experiments.ipynb shows the same.
"""

import argparse
import math
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from models.monte_carlo import estimate
from system.files import write_json
from system.progress import progress
from taichi_kernels import runtime
from taichi_kernels.inverse_transform import draw_from_knots
from taichi_kernels.sampling import stratified

COUNTS = (1, 4, 16, 64, 256)  # samples of an estimate
ESTIMATORS = ("uniform", "stratified uniform", "inverse", "stratified inverse")
_KNOTS = 256
_SCENES = {  # which of 256 knots hold which raw density / 64; -1 elsewhere
    "Foggy": {(32, 234): 0.1},
    "Glass and Wall": {(192, 196): 4.0, (38, 40): 0.2, (44, 46): 0.2},
    "Wall": {(128, 132): 4.0},
}


@dataclass(frozen=True)
class Waves:
    """A random smooth function, sum_i a_i cos(w_i t + b_i)."""

    amplitudes: Tensor  # (n,)
    frequencies: Tensor  # (n,)
    phases: Tensor  # (n,)

    @staticmethod
    def random(count: int, generator: torch.Generator) -> "Waves":
        """count waves: a ~ N(0, 1) / sqrt(count), w ~ 2 pi N(0, 1), b ~ 2 pi U(0, 1)."""
        draw = lambda kind: kind(count, generator=generator, dtype=torch.float64)  # noqa: E731
        return Waves(draw(torch.randn) / math.sqrt(count), 2 * math.pi * draw(torch.randn), 2 * math.pi * draw(torch.rand))

    def __call__(self, t: Tensor) -> Tensor:
        return torch.cos(t[..., None] * self.frequencies + self.phases) @ self.amplitudes


# ---- a density and its approximations


def opacity_curve(knots: Tensor, densities: Tensor, t_values: Tensor) -> Tensor:
    """F at t_values (K,): the opacity of the ray that ends there, of densities at knots (N,), linear, or of its bins (N - 1,)."""
    linear = len(densities) == len(knots)
    bins = (torch.searchsorted(knots, t_values, right=True) - 1).clamp(0, len(knots) - 2)
    left, right = (densities[:-1], densities[1:]) if linear else (densities, densities)
    before = torch.cat([knots.new_zeros(1), ((left + right) / 2 * knots.diff()).cumsum(0)])
    inside = t_values - knots[bins]
    slope = (right - left)[bins] / knots.diff()[bins]
    return -torch.expm1(-(before[bins] + inside * (left[bins] + slope * inside / 2)))


def approximations(seed: int = 112, coarse: int = 8, samples: int = 8) -> dict:
    """A random density on [0, 2], and what few knots make of it: one value a bin, and linear in between.

    For each of the three: knots, densities, the opacity's curve on `t`, and `samples` even numbers with the t at which the
    opacity is that fraction of the whole.
    """
    generator = torch.Generator().manual_seed(seed)
    waves = Waves.random(4, generator)
    density = lambda t: F.softplus(waves(t))  # noqa: E731
    fine, few = (torch.linspace(0, 2, n, dtype=torch.float64) for n in (_KNOTS, coarse))
    t = torch.linspace(0, 2, 1001, dtype=torch.float64)
    made = {
        "density": (fine, density(fine)),
        "one value a bin": (few, density((few[1:] + few[:-1]) / 2)),
        "linear": (few, density(few)),
    }
    uniforms, found = stratified(1, samples, None, "cpu").double(), {}
    for name, (knots, values) in made.items():
        drawn = draw_from_knots(knots[None], values[None], uniforms)
        found[name] = {
            "knots": knots,
            "densities": values,
            "opacity": opacity_curve(knots, values, t),
            "t": drawn.t[0],
            "opacities": uniforms[0] * drawn.opacity,
        }
    return {"t": t, "made": found}


# ---- four estimators of a colour


def scene_density(name: str) -> Tensor:
    """The density of each of 255 bins of [0, 1]: that of their right knots."""
    raw = torch.full((_KNOTS,), -1.0, dtype=torch.float64)
    for (first, last), value in _SCENES[name].items():
        raw[first:last] = value
    return F.softplus(64 * raw)[1:]


def radiance(t: Tensor) -> Tensor:
    """The pinned radiance that estimators are measured on."""
    return 0.5 + 0.5 * torch.cos(2 * math.pi * 1.35 * t - 0.7)


def colour(densities: Tensor) -> float:
    """int c dF over [0, 1], exactly but for the midpoint rule inside 4,000 parts of a bin."""
    knots = torch.linspace(0, 1, len(densities) + 1, dtype=torch.float64)
    fine = torch.linspace(0, 1, 4000 * len(densities) + 1, dtype=torch.float64)
    return float((opacity_curve(knots, densities, fine).diff() * radiance((fine[1:] + fine[:-1]) / 2)).sum())


def estimates(estimator: str, densities: Tensor, count: int, repeats: int, generator: torch.Generator) -> Tensor:
    """(repeats,) estimates of the colour, each from `count` calls of the radiance."""
    if "stratified" in estimator:
        uniforms = stratified(repeats, count, generator, "cpu").double()
    else:
        uniforms = torch.rand(repeats, count, generator=generator).double().sort(1).values
    return contributions(estimator, densities, uniforms).mean(1)


def contributions(estimator: str, densities: Tensor, uniforms: Tensor) -> Tensor:
    """What each of the numbers (R, K) in [0, 1], ascending, says of the colour: an estimate is their mean."""
    knots = torch.linspace(0, 1, len(densities) + 1, dtype=torch.float64)
    if "uniform" in estimator:  # importance weights: the density of the light that ends there
        bins = (uniforms * len(densities)).long().clamp(max=len(densities) - 1)
        clear = 1 - opacity_curve(knots, densities, uniforms.flatten()).view_as(uniforms)
        return densities[bins] * clear * radiance(uniforms)
    drawn = draw_from_knots(knots.expand(len(uniforms), -1), densities.expand(len(uniforms), -1), uniforms)
    return drawn.opacity[:, None] * radiance(drawn.t)


def exact_deviation(estimator: str, densities: Tensor, count: int, parts: int = 2**20) -> float:
    """The standard deviation of `estimates`, by quadrature over `parts` of [0, 1]: sqrt(variance / count), the variance that of
    one contribution over the whole interval, or the mean of those over its `count` equal strata."""
    uniforms = ((torch.arange(parts, dtype=torch.float64) + 0.5) / parts)[None]
    rows = contributions(estimator, densities, uniforms).view(count if "stratified" in estimator else 1, -1)
    return math.sqrt(float(rows.var(1, correction=0).mean()) / count)


def deviations(repeats: int = 4096, counts=COUNTS, seed: int = 111) -> dict:
    """For each scene: optical thickness, opacity, colour, and each estimator's standard deviation with each count of samples."""
    generator, found = torch.Generator().manual_seed(seed), {}
    for name in _SCENES:
        densities = scene_density(name)
        thickness = float(densities.mean())
        spread = {kind: [float(estimates(kind, densities, k, repeats, generator).std()) for k in counts] for kind in ESTIMATORS}
        exact = {kind: [exact_deviation(kind, densities, k) for k in counts if 2**20 % k == 0] for kind in ESTIMATORS}
        found[name] = {
            "thickness": thickness,
            "opacity": -math.expm1(-thickness),
            "colour": colour(densities),
            "deviations": spread,
            "exact": exact,
            "counts": list(counts),
        }
    return found


# ---- a density from colours


def expected_loss(difference: Tensor, t_values: Tensor) -> float:
    """1024 E (int c d(F - F*))^2 over the random radiances c of `recovery`, of which E c(t) c(t') = exp(-2 pi^2 (t - t')^2) / 2.

    difference (n,): of the opacities' increments around t_values (n,).
    """
    covariance = torch.exp(-2 * (math.pi * (t_values[:, None] - t_values)) ** 2) / 2
    return 1024 * float(difference @ covariance @ difference)


def recovery(steps: int = 20_000, seed: int = 100, samples: int = 8, *, independent: bool = True) -> dict:
    """Find 256 densities on [0, 1] by Adam from colours of random radiances alone.

    A step draws a radiance and pulls an estimate's colour to the truth's. With two independent estimates the loss is
    1024 (C1 - C) (C2 - C), whose mean is 1024 (E C1 - C)^2; with one it is 1024 (C1 - C)^2, which has 1024 Var(C1) on top.
    Returns the densities on the way; `errors`, what the mean of 1024 (E C1 - C)^2 over all radiances was at `steps`; and by how
    much the opacity's curve is off at most, before and after.
    """
    generator = torch.Generator().manual_seed(seed)
    knots = torch.linspace(0, 1, _KNOTS, dtype=torch.float64)[None]
    fine = torch.linspace(0, 1, 4 * _KNOTS + 1, dtype=torch.float64)
    middles, true_density = (fine[1:] + fine[:-1]) / 2, F.softplus(Waves.random(32, generator)(knots[0]))
    true_curve = opacity_curve(knots[0], true_density, fine)
    truth = draw_from_knots(knots, true_density[None], stratified(1, 256, None, "cpu").double())
    raw = torch.full((_KNOTS,), -1.0, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([raw], lr=1e-3)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, max(steps // 4, 1), 0.9)
    snapshots, off, errors, at = [], [], [], []
    for step in progress(range(steps + 1), desc="recovery", leave=False):
        if step % max(steps // 200, 1) == 0:
            curve = opacity_curve(knots[0], F.softplus(raw.detach()), fine)
            off.append(float((curve - true_curve).abs().max()))
            errors.append(expected_loss((curve - true_curve).diff(), middles))
            at.append(step)
        if step % max(steps // 10, 1) == 0:
            snapshots.append(F.softplus(raw.detach()))
        wave = Waves.random(32, generator)
        wanted = estimate(truth, wave(truth.t)[..., None])[0, 0]
        uniforms = stratified(2, samples, generator, "cpu").double()
        drawn = draw_from_knots(knots.expand(2, -1), F.softplus(raw).expand(2, -1), uniforms)
        one, two = estimate(drawn, wave(drawn.t)[..., None])[:, 0] - wanted
        optimizer.zero_grad(set_to_none=True)
        (1024 * one * (two if independent else one)).backward()
        optimizer.step()
        schedule.step()
    return {
        "knots": knots[0],
        "truth": true_density,
        "snapshots": snapshots,
        "steps": at,
        "errors": errors,
        "error": [errors[0], sum(errors[-10:]) / len(errors[-10:])],
        "opacity off by": [off[0], off[-1]],
    }


# ---- figures


def draw_approximations(found: dict):
    """The figure of `approximations`: densities left, opacities with inverted samples right."""
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.5), layout="constrained")
    for number, (name, one) in enumerate(found["made"].items()):
        shade = {"color": f"C{number}"}
        if len(one["densities"]) == len(one["knots"]):
            left.plot(one["knots"], one["densities"], label=name, **shade)
        else:
            left.stairs(one["densities"], one["knots"], label=name, baseline=None, **shade)
        right.plot(found["t"], one["opacity"], label=name, **shade)
        right.plot(one["t"], one["opacities"], "o", markersize=4, **shade)
        right.vlines(one["t"], 0, one["opacities"], linewidth=0.5, **shade)
    left.set(xlabel="t", ylabel="density", title="a density and two approximations")
    right.set(xlabel="t", ylabel="opacity F(t)", title="their opacities, and samples at even fractions")
    left.legend()
    return figure


def draw_deviations(found: dict):
    """The figure of `deviations`."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(found), figsize=(12, 3.5), layout="constrained", sharex=True)
    for axis, (name, scene) in zip(axes, found.items(), strict=True):
        for kind, values in scene["deviations"].items():
            axis.loglog(scene["counts"], values, label=kind)
        axis.set(title=f"{name}: colour {scene['colour']:.3f}", xlabel="calls of the radiance")
    axes[0].set_ylabel("standard deviation of the estimate")
    axes[0].legend()
    return figure


def draw_recovery(found: dict):
    """The figure of `recovery`: error on the way, and densities."""
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.5), layout="constrained")
    left.semilogy(found["steps"], found["errors"])
    left.set(xlabel="step", ylabel="1024 (mean colour - truth)\u00b2", title="error, mean over all radiances")
    for number, values in enumerate(found["snapshots"]):
        right.plot(found["knots"], values, color="tab:blue", alpha=0.1 + 0.05 * number, linewidth=1)
    right.plot(found["knots"], found["snapshots"][-1], color="tab:blue", label="found")
    right.plot(found["knots"], found["truth"], color="black", label="truth")
    right.set(xlabel="t", ylabel="density", title="densities on the way")
    right.legend()
    return figure


def main() -> None:
    """Run the three experiments; write figures and numbers."""
    import matplotlib

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("docs/rvs_1d"))
    parser.add_argument("--steps", type=int, default=20_000, help="of the recovery")
    parser.add_argument("--repeats", type=int, default=4096, help="estimates that a deviation is measured on")
    options = parser.parse_args()
    matplotlib.use("Agg")
    runtime.init("cpu")
    options.out.mkdir(parents=True, exist_ok=True)
    table = deviations(options.repeats)
    curves = deviations(max(options.repeats // 8, 64), counts=sorted({round(2 ** (i / 3)) for i in range(25)}))
    found = recovery(options.steps)
    biased = recovery(options.steps, independent=False)
    for name, figure in (
        ("approximations", draw_approximations(approximations())),
        ("estimators", draw_deviations(curves)),
        ("recovery", draw_recovery(found)),
    ):
        figure.savefig(options.out / f"{name}.png", dpi=110)
    kept = ("error", "opacity off by")
    numbers = {
        "deviations": table,
        "recovery": {key: found[key] for key in kept},
        "recovery, one estimate": {key: biased[key] for key in kept},
    }
    write_json(options.out / "figures.json", numbers)
    for scene, values in table.items():
        print(f"{scene}: thickness {values['thickness']:.4f}, opacity {values['opacity']:.5f}, colour {values['colour']:.5f}")
        for kind, row in values["deviations"].items():
            print(f"  {kind:20}" + "".join(f"{value:12.3g}" for value in row))
            print(f"  {'exactly':>20}" + "".join(f"{value:12.3g}" for value in values["exact"][kind]))
    for name in ("recovery", "recovery, one estimate"):
        (start, end), (wide, close) = (numbers[name][key] for key in kept)
        print(f"{name}: error {start:.3g} -> {end:.3g}, opacity off by {wide:.3f} -> {close:.3f} at most")
    print(f"figures in {options.out}")


if __name__ == "__main__":
    main()
