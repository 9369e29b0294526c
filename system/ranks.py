"""The ranks of a run, from the variables that torchrun sets: RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT. Without them
a run is one process.
"""

import os

from settings.errors import InputError


class Lost(Exception):
    """Another rank ended, or does not answer. TORCH_DISTRIBUTED_DEBUG=INFO shows Torch's own message instead."""


def number() -> int:
    """The number of this process, from 0."""
    return _variable("RANK", 0)


def count() -> int:
    """The number of ranks."""
    return _variable("WORLD_SIZE", 1)


def first() -> bool:
    """Whether this is rank 0, the one that writes files and prints."""
    return number() == 0


def address() -> tuple[str, int]:
    """(host, port) at which the ranks connect."""
    return os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])


def check() -> None:
    """Raises InputError if the variables do not fit together."""
    if count() == 1:
        return
    wrong = [name for name in ("RANK", "MASTER_PORT") if not os.environ.get(name, "").isdigit()]
    wrong += [] if os.environ.get("MASTER_ADDR") else ["MASTER_ADDR"]
    if wrong:
        raise InputError(
            f"WORLD_SIZE says that there are {count()} ranks, but these variables are missing or not valid: "
            f"{', '.join(wrong)}; start the ranks by torchrun or jobs/multi_gpu.sbatch, or unset WORLD_SIZE"
        )
    if not 0 < address()[1] < 1 << 16:
        raise InputError(f"MASTER_PORT {address()[1]} is not a port: give a number below 65536")
    if number() >= count():
        raise InputError(f"RANK {number()} is not below WORLD_SIZE {count()}: start the ranks by torchrun")


def keep_own_gpu() -> None:
    """Restrict this process to its own GPU of the machine, by CUDA_VISIBLE_DEVICES. If it sees only one or none, nothing changes.

    Raises InputError if CUDA_VISIBLE_DEVICES lists fewer GPUs than the machine has ranks.
    """
    listed, own = os.environ.get("CUDA_VISIBLE_DEVICES"), _variable("LOCAL_RANK", 0)
    seen = None if listed is None else [name for name in listed.split(",") if name]
    if count() == 1 or (seen is not None and len(seen) < 2):
        return
    if seen and own >= len(seen):
        raise InputError(
            f"this machine runs more ranks than the {len(seen)} GPUs of CUDA_VISIBLE_DEVICES: start one rank for each GPU, "
            "or give --device cpu"
        )
    os.environ["CUDA_VISIBLE_DEVICES"] = seen[own] if seen else str(own)


def _variable(name: str, otherwise: int) -> int:
    text = os.environ.get(name, "")
    return int(text) if text.isdigit() else otherwise
