"""Whether a checkpoint's entries about a run, other than its model, are as a run writes them.

Every function raises ValueError with a sentence that names the first part that is wrong.
"""

import math
from typing import Any

import torch
from torch import Tensor

from models.checks import check_finite, check_mapping, check_number, check_range, check_truth, is_finite
from settings.options import Options
from training.run import SECONDS

_PLAIN = (bool, int, float, str, type(None))


def check_run(state: dict, options: type[Options]) -> None:
    """The parts that every method's run has. options: the class of the options that it was started with."""
    for name, value in check_mapping("its options", state["options"]).items():
        known = getattr(options, name, None)
        if not isinstance(value, _PLAIN) or (known is not None and value is not None and not _alike(value, known)):
            raise ValueError(f"its option {name} is {value!r:.60}")
    for name in ("history", "seconds", "finished"):
        if name not in state:
            raise ValueError(f"the entry {name!r} is missing")
    check_truth("its entry finished", state["finished"])
    for name, value in check_mapping("its seconds", state["seconds"], SECONDS).items():
        check_number(f"its seconds of {name}", value, 0)
    _check_history(state["history"])


def _alike(value: Any, known: Any) -> bool:
    number = isinstance(value, (int, float)) and isinstance(known, (int, float))
    return type(value) is type(known) or (number and not isinstance(value, bool) and not isinstance(known, bool))


def _check_history(history: Any) -> None:
    if not isinstance(history, list):
        raise ValueError(f"its history is {type(history).__name__} instead of a list")
    for number, epoch in enumerate(history, 1):
        name = f"its history, epoch {number}"
        check_mapping(name, epoch, ("epoch", "step", "seconds", "train_psnr", "validation_psnr", "stage"))
        if epoch["epoch"] != number or type(epoch["epoch"]) is not int:
            raise ValueError(f"{name} has the number {epoch['epoch']!r:.60}")
        check_number(f"{name}, step", epoch["step"], 0, whole=True)
        check_number(f"{name}, seconds", epoch["seconds"], 0)
        check_number(f"{name}, train_psnr", epoch["train_psnr"])
        validation = epoch["validation_psnr"]
        if validation is not None and validation != math.inf:
            check_number(f"{name}, validation_psnr", validation)
        for key in {"points", "rays"} & epoch.keys():
            check_number(f"{name}, {key}", epoch[key], 0, whole=True)
        if not isinstance(epoch["stage"], str):
            raise ValueError(f"{name} has no name of a stage")


def squares_are_finite(optimizer: torch.optim.Optimizer) -> bool:
    """Whether an Adam's squared gradients are finite numbers; if the other moments are not, the parameters are not either."""
    return all(is_finite(moments["exp_avg_sq"]) for moments in optimizer.state.values())


def check_optimizer(saved: Any, optimizer: torch.optim.Optimizer) -> None:
    """An optimizer's `state_dict` fits another one, new: groups, shapes, and values that are finite."""
    check_mapping("its optimizer", saved, ("state", "param_groups"))
    groups, new = saved["param_groups"], optimizer.state_dict()["param_groups"]
    if not isinstance(groups, list) or not isinstance(saved["state"], dict):
        raise ValueError("its optimizer has no groups, or no state")
    lengths = [len(check_mapping("its optimizer's group", group, ("params",))["params"]) for group in groups]
    if lengths != [len(group["params"]) for group in new]:
        raise ValueError("its optimizer is of an earlier version, and has other groups of parameters")
    numbers = [number for group in groups for number in group["params"]]
    parameters = [value for group in optimizer.param_groups for value in group["params"]]
    if numbers != list(range(len(parameters))) or not {*saved["state"]} <= {*numbers}:
        raise ValueError("its optimizer's parameters are not numbered one after the other")
    for group, fresh in zip(groups, new, strict=True):
        _check_settings(group, fresh)
    for number, moments in saved["state"].items():
        _check_moments(f"its optimizer, parameter {number}", moments, parameters[number])


def _check_settings(group: dict, fresh: dict) -> None:
    for name in fresh.keys() - {"params"}:
        if name not in group:
            if name == "rate":
                raise ValueError("its optimizer's group has no step size")
            continue  # a later version's
        values = group[name] if isinstance(group[name], tuple) else (group[name],)
        wanted = fresh[name] if isinstance(fresh[name], tuple) else (fresh[name],)
        if len(values) != len(wanted):
            raise ValueError(f"its optimizer's setting {name} is {group[name]!r:.60}")
        for value, like in zip(values, wanted, strict=True):
            if isinstance(like, (int, float)) and not isinstance(like, bool):
                check_number(f"its optimizer's setting {name}", value, 0, 1e6)
            elif not isinstance(value, (bool, type(None))):
                raise ValueError(f"its optimizer's setting {name} is {value!r:.60}")


def _check_moments(name: str, moments: Any, parameter: Tensor) -> None:
    check_mapping(name, moments)
    if {*moments} != {"step", "exp_avg", "exp_avg_sq"}:
        raise ValueError(f"{name}: its moments are other ones than Adam's")
    for key, values in moments.items():
        shape = () if key == "step" else tuple(parameter.shape)
        if not isinstance(values, Tensor) or tuple(values.shape) != shape or values.dtype != torch.float32:
            raise ValueError(f"{name}: {key} has another shape or type than its parameter")
        check_finite(f"{name}, {key}", values)
    for key in ("step", "exp_avg_sq"):
        check_range(f"{name}, {key}", moments[key], 0, math.inf, "below 0")
