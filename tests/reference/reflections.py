"""Plain-torch twin of taichi_kernels.reflections: polynomials of z by their coefficients, autograd for the rest.

Y_lm = sqrt((2 l + 1) (l - m)! / (4 pi (l + m)!)) P_lm(z) / (1 - z^2)^(m/2) (x + i y)^m with the associated Legendre functions,
whose polynomial is (-1)^m d^m/dz^m of the Legendre polynomial of degree l.
"""

import math

import numpy as np
import torch


def polynomial(degree: int, order: int) -> list[float]:
    """Coefficients of 1, z, z^2, ... of Y_lm / (x + i y)^m."""
    legendre = np.polynomial.legendre.leg2poly([0.0] * degree + [1.0])
    derived = np.polynomial.polynomial.polyder(legendre, order) if order else legendre
    scale = math.sqrt((2 * degree + 1) * math.factorial(degree - order) / (4 * math.pi * math.factorial(degree + order)))
    return [(-1) ** order * scale * float(value) for value in derived]


def encode_reflections(directions, roughness, levels):
    x, y, z = directions.unbind(1)
    real, imaginary = [], []
    for level in range(levels):
        degree = 2**level
        fade = torch.exp(-roughness * degree * (degree + 1) / 2)
        re, im = torch.ones_like(x), torch.zeros_like(x)
        for order in range(degree + 1):
            value = torch.zeros_like(z)
            for coefficient in reversed(polynomial(degree, order)):
                value = value * z + coefficient
            real.append(fade * value * re)
            imaginary.append(fade * value * im)
            re, im = re * x - im * y, re * y + im * x
    return torch.stack(real + imaginary, 1)
