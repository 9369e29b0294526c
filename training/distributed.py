"""One run in several processes, the ranks: each learns from a part of every step's views or rays.

Every rank holds the whole model. Its random numbers come from the first rank and gradients are summed over all ranks, so that
every rank takes the same steps. On one rank all of this does nothing, to the bit.
"""

import io
import os
import socket
import time
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.nn  # now: if loaded after the ranks have met, defaults of its functions would keep their group alive
from torch import Tensor, nn
from torch.distributed import PrefixStore, Store, TCPStore  # pyright: ignore[reportPrivateImportUsage]

from settings.errors import InputError
from system import ranks, signals

_MEETING = 1800.0  # seconds until all ranks have come
_PATIENCE = timedelta(days=1)  # how long to wait for a rank that does not answer: the first one may be making pictures
_state = {"stop": ""}  # the signal by which all ranks stop


@contextmanager
def joined(device: str, *, alone: bool = False) -> Iterator[None]:
    """Meet the other ranks, and leave them at the end; alone: do neither. Raises InputError if the ranks' devices do not fit
    together. In this block, `ranks.Lost` is raised if one of them ends or does not come."""
    _state["stop"] = ""
    if alone or ranks.count() == 1:
        yield
        return
    own = f"{socket.gethostname()} {torch.cuda.get_device_properties(0).uuid}" if device == "cuda" else ""
    store = _rendezvous()
    _check_devices(store, own)
    backend = "cpu:gloo,cuda:nccl" if device == "cuda" else "gloo"
    with _lost_rank():
        dist.init_process_group(backend, store=store, rank=ranks.number(), world_size=ranks.count(), timeout=_PATIENCE)
    try:
        yield
    finally:
        dist.destroy_process_group()  # also ends its threads, which would abort the program if they still ran at its end


def _rendezvous() -> Store:
    """The store for messages between the ranks, once all are there. Signals are answered while it waits."""
    (host, port), until = ranks.address(), time.monotonic() + _MEETING
    serves = ranks.first() and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"  # else torchrun does
    lost = f"the ranks did not meet at {host}, port {port}"
    while not serves and not _is_listening(host, port):
        _wait_a_moment(until, f"{lost}: nothing answered there")
    try:
        store = TCPStore(host, port, ranks.count(), serves, timeout=timedelta(seconds=_MEETING), wait_for_workers=False)
    except RuntimeError as problem:
        raise ranks.Lost(f"{lost}: {'the port is taken' if serves else 'nothing answered there'}") from problem
    store = PrefixStore(f"radiance_{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)
    here = [f"here_{rank}" for rank in range(ranks.count())]
    store.set(here[ranks.number()], "")
    while not store.check(here):
        _wait_a_moment(until, f"{lost}: some did not come")
    return store


def _is_listening(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


def _wait_a_moment(until: float, lost: str) -> None:
    if time.monotonic() > until:
        raise ranks.Lost(lost)
    signals.check()
    time.sleep(0.2)


def _check_devices(store: Store, own: str) -> None:
    """own: the name of this rank's GPU, which no other has; empty for none."""
    with _lost_rank():
        store.set(f"device_{ranks.number()}", own)
        found = [store.get(f"device_{rank}").decode() for rank in range(ranks.count())]
    if "" in found and any(found):
        raise InputError(
            "some ranks found a GPU and others did not: start as many on a machine as it has GPUs, or give --device cpu"
        )
    if own and len(set(found)) < len(found):
        raise InputError("some ranks share a GPU: start as many on a machine as it has GPUs")


def shard(items: list | Tensor) -> Any:
    """This rank's part of a step's items: every W-th of them, from its own number."""
    return items[ranks.number() :: ranks.count()]


def shard_generator(shared: torch.Generator, seed: int, step: int) -> torch.Generator:
    """A generator for this rank's part of a step; `shared` draws the same numbers on every rank."""
    if ranks.count() == 1:
        return shared
    return torch.Generator().manual_seed(((seed * 1_000_003 + step) * 4099 + 1 + ranks.number()) % 2**63)


def broadcast(value: Any) -> Any:
    """The first rank's value, on every rank: tensors and plain values. Other ranks may pass None."""
    if ranks.count() == 1:
        return value
    buffer = io.BytesIO()
    if ranks.first():
        torch.save(value, buffer)
    size = torch.tensor([buffer.tell()])
    with _lost_rank():
        dist.broadcast(size, 0)
        content = torch.frombuffer(bytearray(buffer.getvalue() or bytes(int(size))), dtype=torch.uint8)
        dist.broadcast(content, 0)
    return value if ranks.first() else torch.load(io.BytesIO(content.numpy().tobytes()), weights_only=True)


@torch.no_grad()
def all_reduce(parameters: list[nn.Parameter], values: list[float]) -> list[float]:
    """Sum the gradients over the ranks, in place, and some numbers; returns the numbers' sums.

    A parameter has a gradient on all ranks or on none. If one of the ranks was told to stop, all know it now, see
    `stop_if_requested`.
    """
    if ranks.count() == 1:
        return values
    signal = signals.requested()
    numbers = torch.tensor([*values, signal not in ("", "SIGINT"), signal == "SIGINT"], dtype=torch.float64)
    gradients = [value.grad for value in parameters if value.grad is not None]
    message = torch.cat([gradient.reshape(-1) for gradient in gradients])
    with _lost_rank():
        dist.all_reduce(numbers)  # first, and between CPUs: a lost rank is noticed here
        dist.all_reduce(message)
    sums = message.split([gradient.numel() for gradient in gradients])
    for gradient, total in zip(gradients, sums, strict=True):
        gradient.copy_(total.view_as(gradient))
    *totals, told, interrupted = numbers.tolist()
    _state["stop"] = "another rank's signal" if told else "SIGINT" if interrupted else ""
    return totals


def stop_if_requested() -> None:
    """Raise StopRequested if the run was told to stop. All ranks do so between the same two steps."""
    if ranks.count() == 1:
        signals.check()
    elif _state["stop"]:
        signals.stop_together(_state["stop"])


def coordinated_stop() -> AbstractContextManager:
    """A block in which one of several ranks does not stop alone: in it only `stop_if_requested` reacts to signals."""
    return nullcontext() if ranks.count() == 1 else signals.deferred()


@torch.no_grad()
def synchronize(model: nn.Module, optimizer: torch.optim.Optimizer | None = None) -> bool:
    """Give every rank the first one's parameters and buffers, and its optimizer's state, if any of the former differ in a bit;
    returns whether they were the same.

    Ranks on different processors may round differently, and then decisions by a threshold could differ too.
    """
    if ranks.count() == 1:
        return True
    state = model.state_dict()
    bits = [zlib.crc32(value.detach().cpu().contiguous().numpy().tobytes()) for value in state.values()]
    low, high = torch.tensor(bits), torch.tensor(bits)
    with _lost_rank():
        dist.all_reduce(low, dist.ReduceOp.MIN)
        dist.all_reduce(high, dist.ReduceOp.MAX)
    if torch.equal(low, high):
        return True
    model.load_state_dict(broadcast({name: value.cpu() for name, value in state.items()}))
    if optimizer is not None:
        optimizer.load_state_dict(broadcast(optimizer.state_dict()))
    return False


def barrier() -> None:
    """Wait until every rank has come here: then the first one has saved its files."""
    if ranks.count() > 1:
        with _lost_rank():
            dist.all_reduce(torch.zeros(1))


@contextmanager
def _lost_rank() -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as problem:  # raised by torch.distributed, also for timeouts
        if os.environ.get("TORCH_DISTRIBUTED_DEBUG", "OFF") != "OFF":
            raise
        raise ranks.Lost("another rank ended, or does not answer: what it printed says why") from problem
