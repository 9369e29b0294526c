"""How often an operation can be differentiated: a second derivative that does not exist raises instead of being 0."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor


def once_differentiable(backward: Callable) -> Callable:
    """Decorate the `backward` of a torch.autograd.Function whose gradient has no derivative, because a kernel computes it.

    Gradients taken with `create_graph=True` then depend on the Function's inputs in the graph, and differentiating them again
    raises RuntimeError, by `torch.autograd.grad` and by `Tensor.backward`. Torch's decorator of this name marks the gradients
    only if a gradient that comes in requires one: for `grad(op(x).sum(), x, create_graph=True)` the second derivative is missing
    without an error. For the graph to reach the inputs, `forward` saves them, or one of its outputs, by `save_for_backward`.
    """

    @wraps(backward)
    def wrapped(ctx: Any, *grads: Tensor | None) -> Any:
        with torch.no_grad():
            results = backward(ctx, *(t.detach() if isinstance(t, Tensor) else t for t in grads))
        if not torch.is_grad_enabled():
            return results
        sources = [t for t in (*grads, *ctx.saved_tensors) if isinstance(t, Tensor) and t.requires_grad]
        results = results if isinstance(results, tuple) else (results,)
        name = type(ctx).__name__.removesuffix("Backward")
        return tuple(t if t is None or not sources else _Once.apply(name, t, *sources) for t in results)

    return wrapped


class _Once(torch.autograd.Function):
    """Passes a gradient on, as a function of the tensors that it depends on; has no derivative."""

    @staticmethod
    def forward(ctx, name, gradient, *sources):
        ctx.name, ctx.count = name, len(sources)
        return gradient.detach()

    @staticmethod
    def backward(ctx, *_):
        raise RuntimeError(f"{ctx.name} can be differentiated once only (docs/derivatives.md lists the order of each operation)")
