"""Point splatting: screen-tile binning, then front-to-back compositing, forward and backward."""

from taichi_kernels.splatting.op import MIN_TRANSMITTANCE, Splatted, splat, splat_packed
from taichi_kernels.splatting.profiles import PROFILES

__all__ = ["MIN_TRANSMITTANCE", "PROFILES", "Splatted", "splat", "splat_packed"]
