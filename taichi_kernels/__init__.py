"""Differentiable kernels in Taichi, called with Torch tensors. Installs and imports on its own.

Import it before torch: after each operation Torch's OpenMP threads may spin, on the very cores that Taichi's threads then need,
unless OMP_WAIT_POLICY is `passive` when Torch is loaded.
"""

import os
import tempfile

for _name, _value in {"OMP_WAIT_POLICY": "passive", "ENABLE_TAICHI_HEADER_PRINT": "False", "TI_SKIP_VERSION_CHECK": "ON"}.items():
    os.environ.setdefault(_name, _value)


def _choose_caches() -> None:
    """Name a folder for compiled kernels that can be written to, where the user's own is missing: Taichi ends the process where
    there is no HOME. Matplotlib gets one beside them: it would make and fill a new one each time, or fail."""
    home = os.environ.get("HOME", "")
    folder = os.environ.get("XDG_CACHE_HOME") or os.path.join(home, ".cache")
    found = os.path.isabs(folder) and _is_writable(folder)
    os.environ["XDG_CACHE_HOME"] = folder = folder if found else _temporary()
    if not (found and home):
        os.environ.setdefault("MPLCONFIGDIR", os.path.join(folder, "matplotlib"))


def _is_writable(folder: str) -> bool:
    """Whether files can be made in a folder, which is made where it is missing."""
    try:
        os.makedirs(folder, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True


def _temporary() -> str:
    """The user's own folder for caches beside other temporary files, the same each time; others cannot write to it."""
    try:
        folder = os.path.join(tempfile.gettempdir(), f"taichi_caches_{os.getuid()}")
        os.makedirs(folder, mode=0o700, exist_ok=True)
        known = os.lstat(folder)
        return folder if (known.st_uid, known.st_mode & 0o777) == (os.getuid(), 0o700) else tempfile.mkdtemp()
    except OSError:
        return os.path.join(os.sep, "nonexistent")  # kernels are compiled each time


if os.name == "posix":
    _choose_caches()
