"""The options of --ref_nerf: surfaces that reflect."""

from dataclasses import dataclass

from settings.options import Options
from settings.setting import REFNERF, setting

_VERBIN = "Verbin et al. 2022 (Ref-NeRF)"


@dataclass(frozen=True)
class ReflectiveOptions(Options):
    """Whether a grid field's surfaces reflect, and how normals are learned then."""

    ref_nerf: bool = setting(
        "reflections",
        False,
        "--field grid learns surfaces: a normal, a roughness and a tint at each point, and what each ray's surface reflects",
        source=f"{_VERBIN}, shaded once a ray",
        also=("-t",),
    )
    use_srgb: bool = setting(
        "reflections",
        False,
        "colours are linear light, which pictures show through the sRGB curve",
        source=REFNERF,
        also=("-u",),
        needs=("ref_nerf", (True,)),
    )
    ide_level: int = setting(
        "reflections",
        4,
        "degrees of the reflected directions' encoding: 1, 2, 4, ..., 2^(N-1)",
        source=REFNERF,
        low=1,
        high=5,
        needs=("ref_nerf", (True,)),
    )
    normal_loss: float = setting(
        "reflections",
        0.01,
        "weight of the difference between predicted normals and those of the density",
        source=_VERBIN,
        low=0,
        high=1e3,
        needs=("ref_nerf", (True,)),
    )
    orientation_loss: float = setting(
        "reflections",
        0.03,
        "weight of visible normals that are turned away from the camera",
        source=_VERBIN,
        low=0,
        high=1e3,
        needs=("ref_nerf", (True,)),
    )
    normal_guide: float = setting(
        "reflections",
        0.3,
        "weight at the start of the difference between predicted normals and those of a blurred density, which falls to 0 after "
        "80 % of the steps",
        low=0,
        high=1e3,
        needs=("ref_nerf", (True,)),
    )
