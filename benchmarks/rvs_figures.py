"""The table and the figure of benchmarks.rvs."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path


def grouped(results: list[dict]) -> dict[tuple, list[dict]]:
    """Runs by scene, method, calls and steps along the diagonal: those of a group differ in the seed alone."""
    groups = defaultdict(list)
    for one in results:
        groups[one["scene"], one["method"], one.get("calls", 0), one.get("divisions", 0)].append(one)
    return dict(groups)


def table(results: list[dict], middle: Callable) -> Iterator[str]:
    """Lines of a Markdown table, medians over seeds; calls of marching are those of a ray that meets anything, hidden or not."""
    yield "| scene | method | calls a ray | PSNR, dB (seeds) | training, s | ms a step |"
    yield "|-|-|-|-|-|-|"
    for (scene, method, calls, divisions), runs in grouped(results).items():
        values = sorted(one["psnr"] for one in runs)
        if method == "marching":
            occupied, seen = (middle(one["samples"][kind] for one in runs) for kind in ("occupied", "seen"))
            calls = f"{seen:.1f} of {occupied:.1f}"
        where = f", {divisions} steps" if divisions else ""
        spread = ", ".join(f"{value:.2f}" for value in values)
        yield (
            f"| {scene} | {method}{where} | {calls} | {middle(values):.2f} ({spread}) | "
            f"{middle(one['seconds'] for one in runs):.0f} | {middle(one['step_ms'] for one in runs):.0f} |"
        )


def draw(results: list[dict], out: Path) -> None:
    """A row a scene: PSNR against calls of the radiance, and against seconds of training (the first seed's curves)."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    scenes = list(dict.fromkeys(one["scene"] for one in results))
    figure, axes = plt.subplots(len(scenes), 2, figsize=(11, 4 * len(scenes)), layout="constrained", squeeze=False)
    for (left, right), scene in zip(axes, scenes, strict=True):
        own = [one for one in results if one["scene"] == scene]
        for method, style in {"estimate": "o-", "marching": "s-"}.items():
            points = defaultdict(list)
            for one in own:
                if one["method"] == method:
                    points[one.get("calls") or one["divisions"]].append(one)
            runs = [points[key] for key in sorted(points)]
            calls = [group[0].get("calls") or sum(one["samples"]["occupied"] for one in group) / len(group) for group in runs]
            left.plot(calls, [sum(one["psnr"] for one in group) / len(group) for group in runs], style, label=method)
        for one in own:
            if one["method"].startswith("hierarchy") and one["seed"] == 0:
                left.plot([int(k) for k in one["psnr_by_calls"]], list(one["psnr_by_calls"].values()), ":", label=one["method"])
            chosen = (
                one["method"].startswith(("hierarchy", "estimate fine"))
                or one.get("divisions") in (128, 1024)
                or one.get("calls") in (1, 8)
            )
            if one["seed"] == 0 and chosen:
                name = one["method"] + (f", {one['divisions']} steps" if "divisions" in one else "")
                name += f", {one['calls']} calls" if one["method"] == "estimate" else ""
                right.plot([point[1] for point in one["curve"]], [point[2] for point in one["curve"]], label=name)
        left.set(title=scene, xlabel="calls of the radiance for a ray", ylabel="PSNR, dB", xscale="log")
        right.set(title=scene, xlabel="seconds of training", ylabel="PSNR, dB", xscale="log")
        left.legend(fontsize=7)
        right.legend(fontsize=7)
    figure.savefig(out / "study.png", dpi=110)
