"""One rank against two on the same threads and the same steps: quality, time, and what the message of a step costs.

    python -m benchmarks.ranks --threads 2 --out docs/ranks -- --datadir nerf_synthetic/lego --batch_views 2 [flags of main.py]

Trains with main.py as one process with all threads, then as two with half of them each; --batch_views 2 gives a cloud's steps two
views in both. Seconds are those of training alone, as in the report. The message is timed alone, by two processes that sum
gradients of 1 to 64 MB.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

import taichi_kernels  # noqa: F401  before torch
from reporting.environment import environment
from system import ranks
from system.files import write_json
from training import distributed

MEGABYTES = (1, 4, 16, 64)
_ROUNDS = 20


def started(count: int, threads: int, words: list[str]) -> list[subprocess.Popen]:
    """`count` processes of Python with these words, as torchrun would start them, with this many threads each."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    common = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "SLURM_CPUS_PER_TASK": str(threads)}
    return [
        subprocess.Popen(
            [sys.executable, *words],
            env=os.environ | common | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.DEVNULL if rank else None,
        )
        for rank in range(count)
    ]


def train(count: int, threads: int, flags: list[str], folder: Path) -> dict:
    """Train with `count` ranks; returns figures of the report."""
    words = ["main.py", *flags, "--basedir", str(folder), "--no_reload"]
    codes = [process.wait() for process in started(count, threads // count, words)]
    if any(codes):
        raise SystemExit(f"a rank ended with exit code {max(codes)}")
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    last, figures = report["history"][-1], report["figures"]
    return {
        "ranks": count,
        "threads_each": threads // count,
        "steps": last["step"],
        "seconds": figures["training_seconds"],
        "step_ms": 1e3 * figures["training_seconds"] / last["step"],
        "psnr": figures["psnr_db"],
        "model_bytes": figures["model_bytes"],
    }


def messages(out: Path) -> None:
    """One rank of timing the sum of gradients: writes {megabytes: milliseconds}, medians."""
    torch.set_num_threads(1)
    found = {}
    with distributed.joined("cpu"):
        for size in MEGABYTES:
            value = torch.nn.Parameter(torch.zeros(size << 18))
            value.grad = torch.ones_like(value)
            times = []
            for _ in range(_ROUNDS):
                distributed.barrier()
                began = time.perf_counter()
                distributed.all_reduce([value], [0.0])
                times.append(1e3 * (time.perf_counter() - began))
            found[size] = statistics.median(times)
    if ranks.first():
        write_json(out, found)


def main() -> None:
    """Run both, print a table, write <out>.json."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--messages", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("flags", nargs="*", help="of main.py, after --")
    options = parser.parse_args()
    if options.messages:
        return messages(options.messages)
    if options.threads < 2:
        parser.error("--threads: each of two ranks needs one")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "messages.json")
        for process in started(2, 1, ["-m", "benchmarks.ranks", "--messages", str(file)]):
            process.wait()
        sums = json.loads(file.read_text(encoding="utf-8"))
        runs = [train(count, options.threads, options.flags, Path(folder, str(count))) for count in (1, 2)]
    print("| ranks x threads | steps | ms a step | training, s | PSNR, dB |\n|-|-|-|-|-|")
    for run in runs:
        print(
            f"| {run['ranks']} x {run['threads_each']} | {run['steps']} | {run['step_ms']:.1f} | {run['seconds']:.1f} | "
            f"{run['psnr']:.2f} |"
        )
    print(
        f"two ranks take {runs[1]['seconds'] / runs[0]['seconds']:.2f} times as long as one; a message of "
        + ", ".join(f"{size} MB takes {ms:.1f} ms" for size, ms in sums.items())
    )
    if options.out:
        write_json(options.out.with_suffix(".json"), {"flags": options.flags, "runs": runs, "message_ms": sums} | environment())


if __name__ == "__main__":
    main()
