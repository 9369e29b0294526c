"""One run in several processes, the ranks: each learns from a part of every step's views or rays.

Every rank holds the whole model. What is random about it comes from the first rank, gradients are summed over all ranks, and so
every rank takes the same steps. On one rank all of this does nothing, to the bit.
"""

import io
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from settings import cut_off, ranks
from settings.errors import InputError

_PATIENCE = timedelta(minutes=30)  # with the other ranks, longer than the first one's pictures take
_state = {"stop": False}


@contextmanager
def joined(device: str, *, alone: bool = False) -> Iterator[None]:
    """Meet the other ranks, and leave them at the end; not at all where nothing is shared out (alone). Raises InputError where
    their devices differ. In here, `ranks.Lost` is raised where one of them ends or does not come."""
    _state["stop"] = False
    if alone or ranks.count() == 1:
        yield
        return
    with _answered("they did not meet"):
        dist.init_process_group("cpu:gloo,cuda:nccl" if device == "cuda" else "gloo", timeout=_PATIENCE)
    try:
        kinds = [torch.zeros(1, dtype=torch.int64) for _ in range(ranks.count())]
        with _answered():
            dist.all_gather(kinds, torch.tensor([int(device == "cuda")]))
        if len({int(kind) for kind in kinds}) > 1:
            raise InputError("some ranks found a GPU and others did not: start as many on a machine as it has GPUs, or give "
                             "--device cpu")
        yield
    finally:
        dist.destroy_process_group()


def own_part(items: list | Tensor) -> Any:
    """This rank's part of a step's items: every W-th of them, from its own number."""
    return items[ranks.number() :: ranks.count()]


def own_generator(shared: torch.Generator, seed: int, step: int) -> torch.Generator:
    """What draws numbers for this rank's part of a step alone; the shared one draws the same on every rank."""
    if ranks.count() == 1:
        return shared
    return torch.Generator().manual_seed(((seed * 1_000_003 + step) * 4099 + 1 + ranks.number()) % 2**63)


def from_first(value: Any) -> Any:
    """What the first rank has, on every rank: tensors and plain values. Others may come with None."""
    if ranks.count() == 1:
        return value
    buffer = io.BytesIO()
    if ranks.first():
        torch.save(value, buffer)
    size = torch.tensor([buffer.tell()])
    with _answered():
        dist.broadcast(size, 0)
        content = torch.frombuffer(bytearray(buffer.getvalue() or bytes(int(size))), dtype=torch.uint8)
        dist.broadcast(content, 0)
    return value if ranks.first() else torch.load(io.BytesIO(content.numpy().tobytes()), weights_only=True)


@torch.no_grad()
def sum_up(parameters: list[nn.Parameter], values: list[float]) -> list[float]:
    """Sum the gradients over the ranks, in place, and some numbers beside them, in one message; returns the numbers' sums.

    A parameter has a gradient on all ranks or on none. Where one of the ranks was told to stop, all know it now, see `asked`.
    """
    if ranks.count() == 1:
        return values
    gradients = [value.grad for value in parameters if value.grad is not None]
    beside = gradients[0].new_tensor([*values, float(bool(cut_off.asked()))])
    message = torch.cat([*(gradient.reshape(-1) for gradient in gradients), beside])
    with _answered():
        dist.all_reduce(message)
    *sums, beside = message.split([*(gradient.numel() for gradient in gradients), len(beside)])
    for gradient, total in zip(gradients, sums, strict=True):
        gradient.copy_(total.view_as(gradient))
    *totals, stop = beside.tolist()
    _state["stop"] = stop > 0
    return totals


def asked() -> bool:
    """Whether the run was told to stop, which every rank learns between the same two steps."""
    if ranks.count() == 1:
        return bool(cut_off.asked())
    if _state["stop"]:
        cut_off.ask("another rank's signal")
    return _state["stop"]


@torch.no_grad()
def keep_same(model: nn.Module) -> bool:
    """Give every rank the first one's parameters and buffers where any differ in a bit; returns whether they were the same.

    Ranks on unlike processors may round differently, and what a threshold decides could then differ too.
    """
    if ranks.count() == 1:
        return True
    state = model.state_dict()
    bits = [zlib.crc32(value.detach().cpu().contiguous().numpy().tobytes()) for value in state.values()]
    low, high = torch.tensor(bits), torch.tensor(bits)
    with _answered():
        dist.all_reduce(low, dist.ReduceOp.MIN)
        dist.all_reduce(high, dist.ReduceOp.MAX)
    if torch.equal(low, high):
        return True
    model.load_state_dict(from_first({name: value.cpu() for name, value in state.items()}))
    return False


def wait() -> None:
    """Until every rank has come here: what the first one had to save is saved."""
    if ranks.count() > 1:
        with _answered():
            dist.all_reduce(torch.zeros(1))


@contextmanager
def _answered(what: str = "it was lost on the way") -> Iterator[None]:
    try:
        yield
    except RuntimeError as problem:  # what torch.distributed raises, timeouts among it
        if os.environ.get("TORCH_DISTRIBUTED_DEBUG", "OFF") != "OFF":
            raise
        raise ranks.Lost(f"{what}: {type(problem).__name__}") from problem
