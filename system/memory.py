"""The memory that this process may still use."""

from contextlib import suppress
from pathlib import Path

import psutil

_CGROUPS = Path("/sys/fs/cgroup")  # version 2
_OWN_CGROUP = Path("/proc/self/cgroup")


def available() -> int:
    """Bytes that are free on this machine or, if that is less, below the limits of a container or a job (cgroups).

    Caches of files count as free, because the system drops them when memory is short.
    """
    return min([psutil.virtual_memory().available, *_below_limits()])


def _below_limits() -> list[int]:
    """Free bytes below the limit of each of this process's cgroups that has a limit, from its own to the root."""
    own = ""
    with suppress(OSError):
        lines = _OWN_CGROUP.read_text().splitlines()
        own = next((line[3:] for line in lines if line.startswith("0::")), "").strip("/")
    found = []
    for group in (_CGROUPS / own, *(_CGROUPS / own).parents):
        if group.is_relative_to(_CGROUPS):
            with suppress(OSError, ValueError):  # no cgroup, or "max": no limit
                limit, used = (int((group / f"memory.{name}").read_text()) for name in ("max", "current"))
                found.append(max(0, limit - used + _cache(group)))
    return found


def _cache(group: Path) -> int:
    stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    return int(stat.get("inactive_file", 0)) + int(stat.get("active_file", 0))
