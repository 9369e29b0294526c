"""The environment of a run: versions, machine, git commit and peak memory, so that its figures can be reproduced."""

import platform
import subprocess
import sys
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil
import torch

PACKAGES = ("torch", "taichi", "numpy", "scipy", "scikit-image", "imageio-ffmpeg", "matplotlib", "plyfile")
MEBIBYTE = 1024 * 1024


def environment() -> dict[str, Any]:
    """Facts about the program and the machine, for report.json: plain values, None if unknown."""
    return {
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "git_commit": git_commit(Path(__file__).resolve().parent.parent),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpu": cpu_model(),
        "cpu_cores": psutil.cpu_count(logical=True),
        "memory_mib": round(psutil.virtual_memory().total / MEBIBYTE),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def peak_memory_mib() -> float:
    """The peak of this process's main memory so far, in MiB (2^20 bytes)."""
    try:
        import resource
    except ImportError:  # Windows
        return psutil.Process().memory_info().peak_wset / MEBIBYTE
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / MEBIBYTE if sys.platform == "darwin" else peak / 1024  # bytes there, KiB on Linux


def gpu_peak_memory_mib() -> float | None:
    """The peak of Torch's GPU memory so far, in MiB; None without a GPU."""
    return torch.cuda.max_memory_allocated() / MEBIBYTE if torch.cuda.is_available() else None


def git_commit(folder: Path) -> str | None:
    """The commit checked out in `folder`, with `-dirty` if files differ from it; None if it is not a repository's root."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")).resolve() != folder.resolve():
            return None  # another repository, which the program lies in
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "HEAD") + ("-dirty" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return None


def cpu_model() -> str | None:
    """The processor's name, as the system reports it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
