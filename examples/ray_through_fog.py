"""Rays through fog: the volume-rendering quadrature beside the formula that it approximates, and its gradient.

    python -m examples.ray_through_fog

Fog of density s(t) = a exp(-t / h) lies between the eye and a wall at the distance D. The transmittance to the wall is

    T = exp(-x),    x = integral of s from 0 to D = a h (1 - exp(-D / h)),    dT/da = -T x / a

and a pixel is T wall + (1 - T) fog. `composite` takes the fog as N intervals of constant density. Each ray of the picture has
a fog of its own, thicker from left to right.
"""

from taichi_kernels.compositing import composite  # before torch: see the package's docstring

# isort: split
import imageio.v3 as imageio
import torch
from torch import Tensor

DISTANCE, HEIGHT = 4.0, 1.5  # of the wall, and h of the formula above, in world units
FOG = torch.tensor([0.85, 0.88, 0.92])


def closed_form(a: Tensor) -> tuple[Tensor, Tensor]:
    """T and dT/da for densities `a` (R,) at the eye, in double precision."""
    path = HEIGHT * -torch.expm1(torch.tensor(-DISTANCE / HEIGHT, dtype=torch.float64))  # x / a
    transmittance = torch.exp(-a.double() * path)
    return transmittance, -path * transmittance


def render(a: Tensor, samples: int) -> tuple[Tensor, Tensor]:
    """The fog's colour (R, 3), premultiplied, and the transmittance (R,) behind it, by `samples` intervals a ray."""
    edges = torch.linspace(0, DISTANCE, samples + 1)
    t_starts, t_ends = (t.expand(len(a), samples) for t in (edges[:-1], edges[1:]))
    densities = a[:, None] * torch.exp(-(t_starts + t_ends) / 2 / HEIGHT)  # at the middles of the intervals
    result = composite(densities, FOG.expand(len(a), samples, 3), t_starts, t_ends)
    return result.colour, result.transmittance


def errors(a: Tensor, samples: int) -> tuple[float, float]:
    """The largest errors of T and of dT/da over rays with densities `a` (R,)."""
    a = a.clone().requires_grad_()
    _, transmittance = render(a, samples)
    (gradient,) = torch.autograd.grad(transmittance.sum(), a)
    true, true_gradient = closed_form(a.detach())
    return (transmittance.detach() - true).abs().max().item(), (gradient - true_gradient).abs().max().item()


def picture(width: int = 256, height: int = 128, samples: int = 64) -> Tensor:
    """A chequered wall behind fog whose density at the eye grows from 0 to 3 over the columns, (height, width, 3)."""
    row, column = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    red, blue = torch.tensor([0.8, 0.25, 0.1]), torch.tensor([0.1, 0.2, 0.5])
    wall = torch.where((row // 16 + column // 16)[..., None] % 2 == 0, red, blue)
    colour, transmittance = render(torch.linspace(0, 3, width), samples)
    return colour + transmittance[:, None] * wall


def main(out: str = "fog.png") -> list[tuple[int, float, float]]:
    """Print and return (samples, error of T, error of dT/da) for ever more samples, and save the picture."""
    rows = [(samples, *errors(torch.linspace(0.1, 3, 30), samples)) for samples in (4, 8, 16, 32, 64)]
    for samples, error, gradient_error in rows:
        print(f"{samples:3d} samples: error of T {error:.1e}, of dT/da {gradient_error:.1e}")
    imageio.imwrite(out, (picture() * 255).round().byte().numpy())
    print(f"{out}: fog that grows from left to right")
    return rows


if __name__ == "__main__":
    main()
