"""The slow steps before a run: loading libraries, and starting the device."""

import importlib
import os
import tempfile

from settings.errors import InputError
from system import signals


def import_libraries() -> None:
    """Load the slow libraries, after the flags are read, so that --help and errors in flags appear at once. Raises StopRequested
    if a signal came, and InputError if the current or the temporary folder does not exist."""
    try:
        os.getcwd()
    except FileNotFoundError as problem:
        raise InputError("the current folder does not exist any more: change to another one") from problem
    try:
        tempfile.gettempdir()
    except FileNotFoundError as problem:
        raise InputError("there is no folder for temporary files that can be written to: set TMPDIR to one") from problem
    os.environ |= {"MPLBACKEND": "agg", "MATPLOTLIBRC": os.devnull}  # so that a user's settings do not change the reports' plots
    for library in ("torch", "taichi", "scipy.spatial", "imageio", "skimage.metrics"):
        importlib.import_module(library)
        signals.check()


def start_device(device: str, threads: int) -> str:
    """Start Taichi on a device of `--device` with `threads` CPU threads; returns the device's name. Raises InputError."""
    from taichi_kernels import runtime

    runtime.keep_freed_memory()
    try:
        # For threads of Torch and Taichi: the moments of points that are never visible decay to denormals.
        with runtime.flushed_denormals():
            started = runtime.init(device, threads)
            runtime.start_threads()
    except RuntimeError as problem:
        raise InputError(f"--device {device}: {problem}; choose another device, or auto") from problem
    return started
