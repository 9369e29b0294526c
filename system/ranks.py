"""Which of the processes of a run this one is, by the variables that torchrun sets: RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR,
MASTER_PORT. Without them a run is one process.
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


def meeting() -> tuple[str, int]:
    """The host and the port where they meet."""
    return os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])


def check() -> None:
    """Raises InputError where the variables do not fit together."""
    if count() == 1:
        return
    wrong = [name for name in ("RANK", "MASTER_PORT") if not os.environ.get(name, "").isdigit()]
    wrong += [] if os.environ.get("MASTER_ADDR") else ["MASTER_ADDR"]
    if wrong:
        raise InputError(
            f"WORLD_SIZE says that there are {count()} ranks, but missing, or not as it must be: "
            f"{', '.join(wrong)}; start them by torchrun, by jobs/multi_gpu.sbatch, or unset WORLD_SIZE"
        )
    if not 0 < meeting()[1] < 1 << 16:
        raise InputError(f"MASTER_PORT {meeting()[1]} is not a port: give a number below 65536")
    if number() >= count():
        raise InputError(f"RANK {number()} is not below WORLD_SIZE {count()}: start the ranks by torchrun")


def keep_own_gpu() -> None:
    """Leave this process one of the GPUs that its machine's ranks share; where it sees one alone, or none, that is as it is.

    Raises InputError where there are fewer than ranks.
    """
    listed, own = os.environ.get("CUDA_VISIBLE_DEVICES"), _variable("LOCAL_RANK", 0)
    seen = None if listed is None else [name for name in listed.split(",") if name]
    if count() == 1 or (seen is not None and len(seen) < 2):
        return
    if seen and own >= len(seen):
        raise InputError(
            f"this machine runs more ranks than the {len(seen)} GPUs of CUDA_VISIBLE_DEVICES: start as many ranks, "
            "or give --device cpu"
        )
    os.environ["CUDA_VISIBLE_DEVICES"] = seen[own] if seen else str(own)


def _variable(name: str, otherwise: int) -> int:
    text = os.environ.get(name, "")
    return int(text) if text.isdigit() else otherwise
