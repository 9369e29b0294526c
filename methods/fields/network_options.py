"""The options of --field mlp and mip: networks, and their samples."""

from dataclasses import dataclass
from typing import Any

from settings.options import Options
from settings.setting import NERF, REFNERF, setting

RVS = "Morozov et al. 2023 (reparameterized volume sampling), and its program"


def _network(default: Any, help_text: str, **story) -> Any:
    return setting("network", default, help_text, needs=("field", ("mlp", "mip")), **story)


def _mlp(default: Any, help_text: str, **story) -> Any:
    return setting("network", default, help_text, needs=("field", ("mlp",)), **story)


@dataclass(frozen=True)
class NetworkOptions(Options):
    """How large networks are, and where they are evaluated."""

    N_samples: int = _network(
        None,
        "samples of a ray for the coarse network; mip: intervals of each of its two passes",
        source=NERF,
        also=("--coarse_sample_pnum",),
        low=3,
        high=65536,
        absent="64; 128 for mip",
    )
    N_importance: int = _mlp(
        0,
        "additional samples of a ray for a fine network, drawn by the coarse network's weights; 0 = no fine network",
        source=NERF,
        also=("--fine_sample_pnum",),
        low=0,
        high=65536,
    )
    rvs: bool = _mlp(
        False,
        "the coarse network is density alone, without a loss of its own: the fine network's samples are drawn where "
        "its density absorbs light; see --fine_density",
        source=RVS,
    )
    samples_union: bool | None = _mlp(
        None, "the fine network is evaluated at the coarse samples too", source=RVS, absent="True; False with --fine_density own"
    )
    fine_density: str = _mlp(
        "corrected",
        "with --rvs: the fine network corrects the coarse density, from which that one learns "
        "fast (corrected), or has its own, as published (own)",
        choices=("corrected", "own"),
    )
    place_gradients: bool | None = _mlp(
        None,
        "with --rvs: gradients reach the coarse network through the positions of the fine samples",
        source=RVS,
        absent="False with --fine_density corrected, True with own",
    )
    lrate_coarse: float | None = _mlp(
        None, "learning rate of the coarse network at the start", source=RVS, above=0, high=10, absent="--lrate"
    )
    netdepth: int = _network(8, "layers", source=NERF, low=1, high=64)
    netwidth: int = _network(256, "units of a layer", source=NERF, also=("--nerf_net_width",), low=2, high=16384)
    netdepth_fine: int = _mlp(8, "layers of the fine network", source=NERF, low=1, high=64)
    netwidth_fine: int = _mlp(256, "units of a layer of the fine network", source=NERF, low=2, high=16384)
    multires: int = _network(None, "octaves of the encoding of positions", source=NERF, low=0, high=24, absent="10; 16 for mip")
    multires_views: int = _network(4, "octaves of the encoding of directions", source=NERF, low=0, high=24)
    i_embed: int = _mlp(0, "0 = encode positions and directions, -1 = use them unencoded", source=NERF, low=-1, high=0)
    use_viewdirs: bool = _mlp(False, "colours depend on the view direction", source=NERF)
    lindisp: bool = _network(
        False, "samples are evenly spaced in inverse depth, not in depth; always in contracted space", source=NERF
    )
    near: float | None = _network(
        None,
        "where rays begin, as a depth along the camera's axis; not in normalised device coordinates",
        source=REFNERF,
        unit="world units",
        low=0,
        high=1e6,
        absent="the scene's nearest content",
    )
    far: float | None = _network(
        None,
        "where rays end, as a depth along the camera's axis; not in normalised device coordinates",
        source=REFNERF,
        unit="world units",
        above=0,
        high=1e6,
        absent="the scene's farthest content",
    )
    raw_noise_std: float = _network(
        0.0, "standard deviation of the noise on raw densities in training", source=NERF, low=0, high=1e3
    )
    lrate_decay: float = _mlp(
        250, "steps, in thousands, in which the learning rate falls to 10 %", unit="1000 steps", source=NERF, above=0, high=1e6
    )
    netchunk: int | None = _network(
        None,
        "samples evaluated by a network at a time in rendering",
        source=NERF,
        low=1,
        high=1 << 26,
        about="run",
        absent="16384 on a CPU, 262144 on a GPU",
    )
