"""What takes seconds before a run: libraries are loaded, and the device is started."""

import importlib
import os
import tempfile

from settings.errors import InputError
from system import signals


def import_libraries() -> None:
    """Load what takes seconds, after the flags, so that --help and a mistyped flag answer at once. Raises StopRequested in
    between, and InputError for a machine on which they do not load."""
    try:
        os.getcwd()
    except FileNotFoundError as problem:
        raise InputError("the current folder does not exist any more: change to another one") from problem
    try:
        tempfile.gettempdir()
    except FileNotFoundError as problem:
        raise InputError("there is no folder for temporary files that can be written to: set TMPDIR to one") from problem
    os.environ |= {"MPLBACKEND": "agg", "MATPLOTLIBRC": os.devnull}  # reports look the same, whatever a user has set for plots
    for library in ("torch", "taichi", "scipy.spatial", "imageio", "skimage.metrics"):
        importlib.import_module(library)
        signals.check()


def start_device(device: str, threads: int) -> str:
    """Start Taichi on a device of `--device` with some CPU threads; returns its name. Raises InputError."""
    from taichi_kernels import runtime

    runtime.keep_freed_memory()
    try:
        with runtime.flushed_denormals():  # for threads of Torch and Taichi; the moments of points that are never visible decay
            started = runtime.init(device, threads)
            runtime.start_threads()
    except RuntimeError as problem:
        raise InputError(f"--device {device}: {problem}; choose another device, or auto") from problem
    return started
