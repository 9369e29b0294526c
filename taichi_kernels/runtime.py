"""Starting Taichi: one architecture and one thread count a process, chosen by name and checked."""

import contextlib
import ctypes
import io
import os
import platform
from collections.abc import Iterator

import taichi as ti
import torch

DEVICES = ("auto", "cpu", "cuda", "vulkan")
# Taichi cuts a CPU loop in blocks of at least 512 iterations. A kernel that wants one block per worker loops over
# `workers * WORKER_STRIDE` and acts where the index is a multiple of it.
WORKER_STRIDE = 512

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # malloc.h

_state = {"device": None, "threads": 0}


def available_threads() -> int:
    """Threads this process may use: SLURM's count if set, else the affinity mask's, shared with the other processes that torchrun
    started on this machine (LOCAL_WORLD_SIZE)."""
    slurm, beside = (os.environ.get(name, "") for name in ("SLURM_CPUS_PER_TASK", "LOCAL_WORLD_SIZE"))
    if slurm.isdigit() and int(slurm) > 0:
        count = int(slurm)
    elif hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    return max(count // int(beside), 1) if beside.isdigit() and int(beside) > 0 else count


def init(device: str = "auto", threads: int = 0, debug: bool = False) -> str:
    """Start Taichi on a device and give Torch the same number of threads; returns the device's name.

    device: `auto` (CUDA if Torch sees one, else the CPU), `cpu`, `cuda` or `vulkan`; threads: 0 = all available.
    Calling it again with the same choice does nothing. Raises ValueError for an unknown name and RuntimeError where the
    device is not there (Taichi itself would fall back silently).
    """
    if device not in DEVICES:
        raise ValueError(f"unknown device {device!r}: choose one of {', '.join(DEVICES)}")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    threads = threads or available_threads()
    if (device, threads) == (_state["device"], _state["threads"]):
        return device
    if device == "cuda" and not torch.cuda.is_available():
        raise RuntimeError("device cuda was asked for, but this Torch build sees no CUDA GPU")
    arch = {"cpu": ti.cpu, "cuda": ti.cuda, "vulkan": ti.vulkan}[device]
    memory = {"device_memory_GB": 0.3} if device == "cuda" else {}  # tensors are Torch's; Taichi needs little
    with contextlib.redirect_stdout(io.StringIO()):  # Taichi prints its architecture, whatever its log level
        ti.init(arch=arch, cpu_max_num_threads=threads, offline_cache=True, log_level=ti.ERROR, debug=debug, **memory)
    actual = ti.lang.impl.current_cfg().arch
    if (device == "cpu") != (actual in (ti.x64, ti.arm64)) or (device != "cpu" and actual != arch):
        ti.reset()
        _state["device"] = None
        raise RuntimeError(f"device {device} was asked for, but Taichi could only start {actual.name}")
    torch.set_num_threads(threads)
    _state.update(device=device, threads=threads)
    return device


def ensure_init() -> None:
    """Start Taichi with the defaults if nobody has: lets a library user call an op without ceremony."""
    if _state["device"] is None:
        init()


def device() -> str:
    """The device Taichi runs on (`cpu`, `cuda`, `vulkan`), starting it if needed."""
    ensure_init()
    return _state["device"]


def keep_freed_memory() -> None:
    """Ask the C library (glibc) not to hand large blocks back to the system when they are freed.

    Gradients of some 30 MB are made anew in every training step; mapping and zeroing their pages each time costs a quarter of the
    step. For the whole process, so a program calls it, not a library. Does nothing elsewhere.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


@contextlib.contextmanager
def flushed_denormals() -> Iterator[None]:
    """In here, numbers that are too small to be normal count as 0: arithmetic with them is up to a hundred times slower.

    It is a mode of this thread, which threads that start in here keep. For one's own arithmetic alone: libraries may need these
    numbers (SciPy's k-d tree of some points ends in a segmentation fault without them). Not to be nested.
    """
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def start_threads() -> None:
    """Start the threads that Torch shares a CPU operation out to, which it does at the first that is large enough: in
    `flushed_denormals` they keep that mode, however the process goes on."""
    torch.ones(torch.get_num_threads() << 16).sqrt_()


def workers() -> int:
    """How many workers a CPU kernel should cut its work in (the thread count)."""
    ensure_init()
    return _state["threads"]


def chunking(count: int, chunk: int) -> tuple[int, int, int]:
    """How a kernel walks through `count` rows: (rows at a time, loop iterations per worker, workers).

    On a CPU each worker takes every so many-th chunk of rows; on a GPU each row has a worker of its own.
    """
    return (1, 1, count) if is_gpu() else (chunk, WORKER_STRIDE, workers())


def torch_device() -> torch.device:
    """Where tensors must live to be passed to the kernels without a copy."""
    return torch.device("cuda" if device() == "cuda" else "cpu")


def is_gpu() -> bool:
    """True where the GPU schedules run (CUDA and Vulkan)."""
    return device() != "cpu"


def has_bfloat16() -> bool:
    """Whether the device multiplies in bfloat16 by instructions of its own, faster than in single precision."""
    if device() == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()  # newer versions of Torch have it
    return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
