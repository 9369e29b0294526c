"""What each part of the default recipe brings: the recipe with one part changed, on one scene.

    python -m benchmarks.recipe --datadir nerf_synthetic/lego --img_s 200 --basedir runs/ablation

Takes the program's own flags, damage to masks among them, and --variants "NAME; NAME" for some variants only. Prints a table
(PSNR by the protocol, training seconds, points) and writes it to <basedir>/ablation.json after every row. Rows that are there
already are not run again.
"""

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

import datasets
from datasets.protocols import evaluation_views
from methods.command_line import parse
from methods.points.default import DefaultRecipe
from methods.points.learn import fit_cloud
from system.files import write_json
from taichi_kernels import runtime

VARIANTS = {
    "the recipe": DefaultRecipe(),
    "opacity fixed at 1": DefaultRecipe(opacity=1 - 1e-6, opacity_rate=0.0),
    "radius fixed": DefaultRecipe(radius_rate=0.0),
    "no splits": DefaultRecipe(growth=0.0),
    "halves of a split in one place": DefaultRecipe(spread=0.0),
    "no pruning": DefaultRecipe(least_shown=0.0),
    "2.5 times the splits": DefaultRecipe(growth=0.5),
    "no gradient loss": DefaultRecipe(gradient_weight=0.0),
    "no alpha loss": DefaultRecipe(alpha_weight=0.0),
    "no price on alpha": DefaultRecipe(alpha_penalty=0.0),  # which views without a trusted mask pay
    "radius 2 px at the start": DefaultRecipe(radius_pixels=2.0),
    "5 points a pixel at the start": DefaultRecipe(points_per_pixel=5.0),
    "twice the position rate": DefaultRecipe(position_rate=2.4e-3),
    "rates fall to 1 %": DefaultRecipe(last_rate=0.01),
    "half the steps": DefaultRecipe(steps=2000),
    "twice the steps": DefaultRecipe(steps=8000),
}


def measure(name: str, method: DefaultRecipe, options, scene, evaluation, folder: Path) -> dict:
    """Train one variant; its figures."""
    options = method.settings(options, scene)
    run = fit_cloud(scene, evaluation, replace(options, no_reload=True), method.recipe(options, scene), folder)
    last = run.history[-1]
    return {
        "variant": name,
        "psnr_db": last["validation_psnr"],
        "training_seconds": last["seconds"],
        "points": run.cloud.point_count(),
        "seed": options.seed,
    }


def _damage(options) -> str:
    """What was done to the masks, in a word."""
    if options.no_masks:
        return "none"
    damage = [f"affine:{options.pc_jitter_amount:g}"] if options.pc_jitter_amount else []
    return ",".join([*damage, options.mask_corruption or ""]).strip(",") or "as they are"


def _known_rows(table: Path, about: dict) -> list[dict]:
    """The rows of an earlier call about the same scene, protocol and masks; ends the program where they are of another."""
    if not table.is_file():
        return []
    known = json.loads(table.read_text(encoding="utf-8"))
    if any(known[key] != value for key, value in about.items()):
        of = ", ".join(f"{key} {known[key]}" for key in about)
        sys.exit(f"{table} holds figures of {of}: choose another --basedir")
    return known["rows"]


def _chosen_variants(argv: list[str]) -> tuple[list[str], list[str]]:
    """(the variants' names, the other flags); ends the program for a name that is not known."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recipe", add_help=False, allow_abbrev=False)
    parser.add_argument("--variants", default="; ".join(VARIANTS))
    chosen, flags = parser.parse_known_args(argv)
    names = [name.strip() for name in chosen.variants.split(";")]
    if unknown := set(names) - set(VARIANTS):
        sys.exit(f"--variants: {unknown.pop()!r} is not one of {'; '.join(VARIANTS)}")
    return names, flags


def main(argv: list[str]) -> None:
    """Run the variants that <basedir>/ablation.json does not have yet, and print the table."""
    variants, flags = _chosen_variants(argv)
    options = parse(flags)
    runtime.keep_freed_memory()
    runtime.init(options.device, options.threads)
    scene = datasets.load(options)
    evaluation, protocol = evaluation_views(scene, options.protocol)
    folder = Path(options.basedir or "")
    table = folder / "ablation.json"
    about = {"scene": scene.name, "protocol": protocol, "masks": _damage(options)}
    rows = _known_rows(table, about)
    for name in variants:
        if any(row["variant"] == name and row["seed"] == options.seed for row in rows):
            continue
        rows.append(measure(name, VARIANTS[name], options, scene, evaluation, folder))
        write_json(table, {**about, "threads": runtime.workers(), "rows": rows})
    print(", ".join(f"{key} {value}" for key, value in about.items()) + f", {runtime.workers()} threads")
    for row in rows:
        print(f"{row['variant']:36} {row['psnr_db']:6.2f} dB {row['training_seconds']:7.1f} s {row['points']:8,} points")


if __name__ == "__main__":
    main(sys.argv[1:])
