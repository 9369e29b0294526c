"""Do two versions of the program learn the same bits? Short runs of every method, and a digest of the results of each.

    python -m tests.same_bits run --program ../before --out before.json      (in turn for both versions)
    python -m tests.same_bits run --out after.json
    python -m tests.same_bits compare before.json after.json

A digest covers the tensors of weights.pt, the pixels of the pictures, and the PSNR of every epoch. Both versions have to run
on the same machine. Some runs are stopped by SIGUSR1 at a random moment and resumed: they must agree too.
"""

import argparse
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

ROOT = Path(__file__).parents[1]
_POINTS = ["--method", "points", "--epochs", "6", "--testskip", "20", "--max_points", "6000"]
_PAPER = [*_POINTS, "--recipe", "paper", "--data_r", "0.004"]
_FIELD = ["--method", "nerf", "--N_iters", "60", "--testskip", "40"]
_MLP = [
    *_FIELD,
    "--field",
    "mlp",
    "--N_rand",
    "64",
    "--N_samples",
    "24",
    "--netdepth",
    "3",
    "--netwidth",
    "32",
    "--netdepth_fine",
    "3",
    "--netwidth_fine",
    "32",
    "--use_viewdirs",
]
LEGO, FERN = ["--datadir", "nerf_synthetic/lego_100"], ["--datadir", "nerf_llff_data/fern"]
RUNS = {  # name: (scene, flags)
    "points default": (LEGO, _POINTS),
    "points paper": (LEGO, _PAPER),
    "points, damaged masks": (LEGO, [*_POINTS, "--mask_corruption", "affine:0.08"]),
    "points paper, damaged masks": (
        LEGO,
        [
            *_PAPER,
            "--mask_corruption",
            "erode:4",
            "--posFirst",
            "YES",
            "--ridgePosition",
            "1",
            "--shAlone",
            "YES",
            "--filter_consistency_ratio",
            "0.9",
        ],
    ),
    "points, no masks": (LEGO, [*_POINTS, "--no_masks", "--white_bkgd"]),
    "grid": (LEGO, _FIELD),
    "voxels": (LEGO, [*_FIELD, "--field", "voxels", "--two_estimates"]),
    "mlp": (LEGO, [*_MLP, "--N_importance", "24", "--raw_noise_std", "1"]),
    "mlp, rvs": (LEGO, [*_MLP, "--N_importance", "24", "--rvs"]),
    "mlp, rvs as published": (LEGO, [*_MLP, "--N_importance", "24", "--rvs", "--fine_density", "own"]),
    "mlp, rvs by few calls": (LEGO, [*_MLP, "--rvs", "--radiance_calls", "8"]),
    "fern, grid": (FERN, [*_FIELD, "--img_s", "126"]),
    "fern, mlp": (FERN, [*_MLP, "--img_s", "126", "--N_importance", "12", "--lindisp", "--no_ndc"]),
    "fern, points": (FERN, [*_POINTS, "--img_s", "126", "--no_masks", "--no_ndc"]),
}
RESUMED = ("points default", "points paper", "grid", "mlp, rvs")  # are run a second time, and stopped and resumed


def digest(folder: Path) -> dict[str, Any]:
    """The results of a run: checksums of its weights and pictures, and the PSNR of its epochs."""
    weights = torch.load(folder / "weights.pt", weights_only=True)
    pictures = [
        path.name.rpartition("_")[0].encode() + np.asarray(Image.open(path)).tobytes()
        for path in sorted((folder / "pictures").glob("*.png"))
    ]
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    history = [[row[key] for key in ("epoch", "step", "stage", "train_psnr", "validation_psnr")] for row in report["history"]]
    return {
        "weights": _sum(*_leaves(weights)),
        "pictures": _sum(*pictures),
        "history": history,
        "psnr": report["figures"]["psnr_db"],
    }


def _sum(*parts: bytes) -> str:
    found = hashlib.sha256()
    for part in parts:
        found.update(part)
    return found.hexdigest()[:16]


def _leaves(value: Any, name: str = "") -> list[bytes]:
    """The tensors of a nest of dicts with their names; plain settings may be renamed between versions."""
    if isinstance(value, dict):
        return [leaf for key in sorted(value) for leaf in _leaves(value[key], f"{name}/{key}")]
    return [name.rpartition("/")[2].encode() + value.numpy().tobytes()] if isinstance(value, torch.Tensor) else []


def run_all(program: Path, data: Path, threads: int, chosen: str) -> dict[str, Any]:
    """The digests of all runs whose name holds `chosen`, by their names."""
    found: dict[str, Any] = {}
    for name, (scene, flags) in RUNS.items():
        where = [scene[0], str(data / scene[1])]
        for resumed in (False, True) if name in RESUMED else (False,):
            label = f"{name}, resumed" if resumed else name
            if chosen not in label:
                continue
            with tempfile.TemporaryDirectory() as folder:
                words = [sys.executable, "main.py", *where, *flags, "--threads", str(threads), "--basedir", folder]
                began, stops = time.perf_counter(), 0
                while _ended(words, program, stop=resumed and stops < 3) == 75:
                    stops += 1
                found[label] = digest(Path(folder)) | {"stops": stops}
                print(f"{label}: {found[label]['psnr']:.4f} dB, {stops} stops, {time.perf_counter() - began:.0f} s", flush=True)
    return found


def _ended(words: list[str], program: Path, *, stop: bool) -> int:
    """The exit code of a run, which is told to stop once in the middle of its training."""
    environment = os.environ | {"PYTHONPATH": str(program)}
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(words, cwd=program, env=environment, stdout=output, stderr=output)
        config, began = Path(words[-1]) / "config.txt", time.time()
        while stop and process.poll() is None:  # config.txt is written right before the first step
            if config.exists() and config.stat().st_mtime > began - 1:
                time.sleep(0.2 + 1.5 * float(torch.rand(())))
                process.send_signal(signal.SIGUSR1)
                break
            time.sleep(0.02)
        code = process.wait()
        if code not in (0, 75):
            output.seek(0)
            raise SystemExit(f"{' '.join(words)}\n{output.read()}")
    return code


def compare(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """The differences, a sentence each."""
    lines = [f"{name}: only one of the versions ran it" for name in sorted(before.keys() ^ after.keys())]
    for name in before.keys() & after.keys():
        other = [key for key in ("weights", "pictures", "history", "psnr") if before[name][key] != after[name][key]]
        lines += [f"{name}: {', '.join(other)} differ, PSNR {before[name]['psnr']} and {after[name]['psnr']} dB"] if other else []
    for found in (before, after):
        for name in found:
            plain = name.removesuffix(", resumed")
            if plain != name and plain in found and found[name]["weights"] != found[plain]["weights"]:
                lines.append(f"{name}: its weights differ from those of the run that was not stopped")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    runs = commands.add_parser("run")
    runs.add_argument("--program", type=Path, default=ROOT, help="folder of the version that runs")
    runs.add_argument("--data", type=Path, default=Path(os.environ.get("RADIANCE_DATA", ROOT.parent / "shared" / "data")))
    runs.add_argument("--threads", type=int, default=1)
    runs.add_argument("--only", default="", help="runs whose name holds this word")
    runs.add_argument("--out", type=Path, required=True)
    both = commands.add_parser("compare")
    both.add_argument("before", type=Path)
    both.add_argument("after", type=Path)
    given = parser.parse_args()
    if given.command == "run":
        found = run_all(given.program.resolve(), given.data.resolve(), given.threads, given.only)
        given.out.write_text(json.dumps(found, indent=1), encoding="utf-8")
        return 0
    before, after = (json.loads(path.read_text(encoding="utf-8")) for path in (given.before, given.after))
    lines = compare(before, after)
    print("\n".join(lines) or f"{len(before)} runs: the same bits")
    return bool(lines)


if __name__ == "__main__":
    sys.exit(main())
