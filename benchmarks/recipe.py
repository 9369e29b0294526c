"""What each part of the default recipe brings: the recipe with one part changed, on one scene.

    python -m benchmarks.recipe --datadir nerf_synthetic/lego --img_s 200 --basedir runs/ablation

Takes the program's own flags; prints a table (PSNR by the protocol, training seconds, points) and writes it to
<basedir>/ablation.json after every row. Rows that are there already are not run again.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

import datasets
from datasets.protocols import evaluation_views
from settings.files import write_json
from settings.flags import parse
from taichi_kernels import runtime
from training import fit
from training.default import Method

VARIANTS = {
    "the recipe": Method(),
    "opacity fixed at 1": Method(opacity=1 - 1e-6, opacity_rate=0.0),
    "radius fixed": Method(radius_rate=0.0),
    "no splits": Method(growth=0.0),
    "halves of a split in one place": Method(spread=0.0),
    "no pruning": Method(least_shown=0.0),
    "2.5 times the splits": Method(growth=0.5),
    "no gradient loss": Method(gradient_weight=0.0),
    "no alpha loss": Method(alpha_weight=0.0),
    "radius 2 px at the start": Method(radius_pixels=2.0),
    "5 points a pixel at the start": Method(points_per_pixel=5.0),
    "twice the position rate": Method(position_rate=2.4e-3),
    "rates fall to 1 %": Method(last_rate=0.01),
    "half the steps": Method(steps=2000),
    "twice the steps": Method(steps=8000),
}


def measure(name: str, method: Method, options, scene, evaluation, folder: Path) -> dict:
    """Train one variant; its figures."""
    options = method.settings(options, scene)
    run = fit(scene, evaluation, replace(options, no_reload=True), method.recipe(options, scene), folder)
    last = run.history[-1]
    return {
        "variant": name, "psnr_db": last["validation_psnr"], "training_seconds": last["seconds"], "points": last["points"],
        "seed": options.seed,
    }


def _known_rows(table: Path, scene: str, protocol: str) -> list[dict]:
    """The rows of an earlier call on the same scene by the same protocol; ends the program where they are of another."""
    if not table.is_file():
        return []
    known = json.loads(table.read_text(encoding="utf-8"))
    if (known["scene"], known["protocol"]) != (scene, protocol):
        sys.exit(f"{table} holds figures of {known['scene']}, protocol {known['protocol']}: choose another --basedir")
    return known["rows"]


def main(argv: list[str]) -> None:
    """Run the variants that <basedir>/ablation.json does not have yet, and print the table."""
    options = parse(argv)
    runtime.keep_freed_memory()
    runtime.init(options.device, options.threads)
    scene = datasets.load(options)
    evaluation, protocol = evaluation_views(scene, options.protocol)
    folder = Path(options.basedir)
    table = folder / "ablation.json"
    rows = _known_rows(table, scene.name, protocol)
    for name, method in VARIANTS.items():
        if any(row["variant"] == name and row["seed"] == options.seed for row in rows):
            continue
        rows.append(measure(name, method, options, scene, evaluation, folder))
        write_json(table, {"scene": scene.name, "protocol": protocol, "threads": runtime.workers(), "rows": rows})
    print(f"{scene.name}, protocol {protocol}, {runtime.workers()} threads")
    for row in rows:
        print(f"{row['variant']:36} {row['psnr_db']:6.2f} dB {row['training_seconds']:7.1f} s {row['points']:8,} points")


if __name__ == "__main__":
    main(sys.argv[1:])
