"""Networks from the checkpoints of nerf-pytorch, rendered as that program renders them."""

from typing import Any

import torch
from torch import Tensor

from models.checks import check_tensors
from models.network_field import NetworkField, NetworkShape, network_tensors
from models.rays import Ndc
from models.sampled_field import SampledField, Sampling

COARSE, FINE = "network_fn_state_dict", "network_fine_state_dict"
_FIRST = "pts_linears.0.weight"  # the tensor by which a network is found


def networks_in(content: Any) -> dict | None:
    """{COARSE: state, FINE: state or None} of a checkpoint of nerf-pytorch, however its networks were wrapped; None for a file
    without a network.

    Names may begin with any prefix common to a network, such as `module.` (DataParallel), `_orig_mod.` (torch.compile) or the
    name of a part of a larger module; a network may be saved alone. Raises ValueError for more networks than two, or if they
    do not say which is the fine one.
    """
    if not isinstance(content, dict):
        return None
    if COARSE in content:
        parts = {COARSE: content[COARSE], FINE: content.get(FINE) or None}
        return {key: state and _only(key, _unwrapped(state)) for key, state in parts.items()}
    found = _unwrapped(content)
    for key, inner in content.items():
        if isinstance(inner, dict):
            found |= {f"{key}.{prefix}": state for prefix, state in _unwrapped(inner).items()}
    if not found:
        return None
    fine = [prefix for prefix in found if "fine" in prefix.lower()]
    coarse = [prefix for prefix in found if prefix not in fine]
    if len(coarse) != 1 or len(fine) > 1:
        raise ValueError(
            f"it holds {len(found)} networks of nerf-pytorch ({', '.join(found)}), and their names do not say which "
            f"one is fine: save them as {COARSE} and {FINE}"
        )
    return {COARSE: found[coarse[0]], FINE: found[fine[0]] if fine else None}


def _unwrapped(state: Any) -> dict[str, dict]:
    """The networks in a state, {prefix of their tensors' names: the network's own names}."""
    if not isinstance(state, dict):
        return {}
    names = [name for name in state if isinstance(name, str)]
    prefixes = [name.removesuffix(_FIRST) for name in names if name.endswith(_FIRST)]
    return {prefix: {name.removeprefix(prefix): state[name] for name in names if name.startswith(prefix)} for prefix in prefixes}


def _only(key: str, found: dict[str, dict]) -> dict:
    if len(found) != 1:
        raise ValueError(f"not a network of nerf-pytorch: {key} holds {len(found) or 'no'} tensors {_FIRST}")
    return next(iter(found.values()))


def from_nerf_pytorch(content: dict, sampling: Sampling, ndc: Ndc | None) -> SampledField:
    """The model of a checkpoint's content, see `networks_in`, sampled as `sampling` says.

    As there, densities are relu(raw), the last sample of a ray is endless, and pixels stand for their corners: `sampling` is to
    be endless. Raises ValueError if the networks are not laid out as there, or the fine one is missing.
    """
    networks = networks_in(content)
    if networks is None:
        raise ValueError("it holds no network of nerf-pytorch")
    if sampling.importance and networks[FINE] is None:
        raise ValueError(
            f"--N_importance {sampling.importance}: a fine network needs weights, and this file holds none for it: drop the flag"
        )
    coarse = _network(networks[COARSE])
    fine = _network(networks[FINE]) if sampling.importance else None
    return SampledField(coarse, fine, sampling, ndc, through_corners=True)


def _network(state: dict[str, Tensor]) -> NetworkField:
    tensors = {name: value for name, value in state.items() if isinstance(value, Tensor) and value.is_floating_point()}
    try:
        directed = "alpha_linear.weight" in tensors
        depth = sum(name.startswith("pts_linears.") and name.endswith(".weight") for name in tensors)
        width, inputs = tensors["pts_linears.0.weight"].shape
        directions = tensors["views_linears.0.weight"].shape[1] - width if directed else 3
        octaves, direction_octaves = (_octaves(numbers) for numbers in (inputs, directions))
        shape = NetworkShape(depth, width, octaves, direction_octaves, directed)
        renamed = check_tensors(_renamed(tensors, depth, directed), network_tensors(shape))
    except KeyError as problem:
        raise ValueError(f"not a network of nerf-pytorch: its tensor {problem.args[0]} is missing") from problem
    except ValueError as problem:
        raise ValueError(f"not a network of nerf-pytorch: {problem}") from problem
    field = NetworkField(shape, torch.Generator())
    field.load_state_dict(renamed)
    return field


def _octaves(numbers: int) -> int:
    octaves, rest = divmod(numbers - 3, 6)
    if rest or octaves < 0:
        raise ValueError(f"an encoding of {numbers} numbers is not that of three coordinates")
    return octaves


def _renamed(state: dict[str, Tensor], depth: int, directed: bool) -> dict[str, Tensor]:
    """The tensors under `NetworkField`'s names; with more than 4 outputs, only the first 4 are ever used."""
    names = {f"pts_linears.{i}": f"layers.{i}" for i in range(depth)}
    if directed:
        names |= {"alpha_linear": "density", "feature_linear": "feature", "views_linears.0": "mixed", "rgb_linear": "colour"}
    else:
        names |= {"output_linear": "both"}
    found = {f"{ours}.{part}": state[f"{theirs}.{part}"] for theirs, ours in names.items() for part in ("weight", "bias")}
    return {name: (value[:4] if name.startswith("both") else value).detach().float() for name, value in found.items()}
