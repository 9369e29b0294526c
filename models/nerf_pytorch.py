"""Networks from the checkpoints of nerf-pytorch, with which its pictures are rendered as it renders them."""

import torch
from torch import Tensor

from models.network_field import NetworkField, NetworkShape
from models.rays import Ndc
from models.sampled_field import SampledField, Sampling

COARSE, FINE = "network_fn_state_dict", "network_fine_state_dict"


def from_nerf_pytorch(content: dict, sampling: Sampling, ndc: Ndc | None) -> SampledField:
    """The model of a checkpoint's content, {COARSE: state, FINE: state or None, ...}, sampled as `sampling` says.

    As there, densities are relu(raw), the last sample of a ray is endless, and pixels stand for their corners: `sampling` is to
    be endless. Raises ValueError where the networks are not laid out as there, or the fine one is missing.
    """
    coarse = _network(content[COARSE])
    fine = _network(content[FINE]) if sampling.importance and content.get(FINE) else None
    return SampledField(coarse, fine, sampling, ndc, through_corners=True)


def _network(state: dict[str, Tensor]) -> NetworkField:
    try:
        directed = "alpha_linear.weight" in state
        depth = sum(name.startswith("pts_linears.") and name.endswith(".weight") for name in state)
        width, inputs = state["pts_linears.0.weight"].shape
        directions = state["views_linears.0.weight"].shape[1] - width if directed else 3
        octaves, direction_octaves = (_octaves(numbers) for numbers in (inputs, directions))
        field = NetworkField(NetworkShape(depth, width, octaves, direction_octaves, directed), torch.Generator())
        field.load_state_dict(_renamed(state, depth, directed))
    except (KeyError, RuntimeError) as problem:
        raise ValueError(f"not a network of nerf-pytorch: {str(problem).splitlines()[0]}") from problem
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
    return {name: value[:4] if name.startswith("both") else value for name, value in found.items()}
