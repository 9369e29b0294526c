"""Which of the processes of a run this one is, by the variables that torchrun sets: RANK, WORLD_SIZE, LOCAL_RANK.

Without them a run is one process.
"""

import os

from settings.errors import InputError


class Lost(Exception):
    """Another rank ended, or does not answer. TORCH_DISTRIBUTED_DEBUG=INFO shows what Torch says of it instead."""


def number() -> int:
    """This process's, from 0."""
    return _variable("RANK", 0)


def count() -> int:
    """How many there are."""
    return _variable("WORLD_SIZE", 1)


def first() -> bool:
    """Whether this is the process that writes files and speaks for all."""
    return number() == 0


def check() -> None:
    """Raises InputError where the variables do not fit together."""
    if count() > 1 and not os.environ.get("MASTER_ADDR"):
        raise InputError("WORLD_SIZE says that there are several ranks, and MASTER_ADDR is not set: start them by torchrun, by "
                         "jobs/multi_gpu.sbatch, or unset WORLD_SIZE")
    if not 0 <= number() < count():
        raise InputError(f"RANK {number()} is not below WORLD_SIZE {count()}: start the ranks by torchrun")


def keep_own_gpu() -> None:
    """Leave this process one of the GPUs that its machine's ranks share; where it sees one alone, that is its own already."""
    seen = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    own = _variable("LOCAL_RANK", 0)
    if count() == 1 or len(seen) == 1:
        return
    if seen and own >= len(seen):
        raise InputError(f"this machine runs more ranks than the {len(seen)} GPUs of CUDA_VISIBLE_DEVICES: start as many ranks, "
                         "or give --device cpu")
    os.environ["CUDA_VISIBLE_DEVICES"] = seen[own] if seen else str(own)


def _variable(name: str, otherwise: int) -> int:
    text = os.environ.get(name, "")
    return int(text) if text.isdigit() else otherwise
