"""The order to which each operation can be differentiated in each input, as docs/derivatives.md lists it."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from taichi_kernels.compositing import composite
from taichi_kernels.directions import encode_directions
from taichi_kernels.distortion import distortion
from taichi_kernels.frequencies import encode_frequencies
from taichi_kernels.grid_encoding import GridLayout, grid_gradient
from taichi_kernels.integrated_frequencies import encode_gaussians
from taichi_kernels.inverse_transform import draw_from_knots, draw_from_samples
from taichi_kernels.photometric import photometric_loss
from taichi_kernels.projection import pack_camera, project_points
from taichi_kernels.proposals import proposal_bound
from taichi_kernels.reflections import encode_reflections
from taichi_kernels.splatting import splat, splat_packed

LAYOUT = GridLayout.hashed(2, 4, 8, 8)
RAYS, SAMPLES = 4, 6


def rand(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def knots() -> Tensor:
    return torch.arange(SAMPLES + 1.0).expand(RAYS, -1) + 0.5 * rand(RAYS, SAMPLES + 1)


def packed(*tensors: Tensor) -> list[Tensor]:
    return [t.reshape(-1) for t in tensors]


def offsets(like: Tensor) -> Tensor:
    return torch.arange(RAYS + 1, dtype=torch.int32, device=like.device) * SAMPLES


def uniforms(like: Tensor) -> Tensor:
    return rand(RAYS, 5, seed=4).sort(1).values.to(like)


def project(positions, base, sh, radii, opacities):
    pose = torch.tensor([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 3]])
    camera = pack_camera(torch.tensor([[50.0, 0, 20], [0, 50, 20], [0, 0, 1]]), pose).to(positions)
    return project_points(positions, base, sh, radii, opacities, camera, world_radii=True)


def intervals() -> dict[str, Tensor]:
    return {"t_starts": knots()[:, :-1], "t_ends": knots()[:, 1:]}


CENTERS = {"centers": 9 * rand(20, 2), "depths": 1 + rand(20, seed=1), "radii": 2 + rand(20, seed=2)}
OPS: dict[str, tuple[Callable, dict[str, Tensor]]] = {
    "splat": (
        lambda *inputs: splat(*inputs, 9, 9, with_depth=True),
        CENTERS | {"opacities": 0.9 * rand(20, seed=3), "features": rand(20, 3, seed=4)},
    ),
    "splat_packed": (
        lambda splats: splat_packed(splats, CENTERS["depths"].to(splats), 9, 9),
        {"splats": torch.cat([CENTERS["centers"], CENTERS["radii"][:, None], rand(20, 4)], 1)},
    ),
    "project_points": (
        project,
        {"positions": rand(8, 3), "base": rand(8, 3), "sh": rand(8, 4, 3), "radii": rand(8), "opacities": rand(8)},
    ),
    "composite": (
        lambda d, c, *ends: composite(d, c, *ends),
        {"densities": rand(RAYS, SAMPLES), "colours": rand(RAYS, SAMPLES, 3)} | intervals(),
    ),
    "distortion": (lambda w, *ends: distortion(w, *ends), {"weights": rand(RAYS, SAMPLES)} | intervals()),
    "draw_from_knots": (
        lambda t, d: draw_from_knots(t, d, uniforms(d)),
        {"knots": knots(), "densities": rand(RAYS, SAMPLES + 1)},
    ),
    "draw_from_samples": (
        lambda d, *ends: draw_from_samples(*packed(d, *ends), offsets(d), uniforms(d)),
        {"densities": rand(RAYS, SAMPLES)} | intervals(),
    ),
    "grid_gradient": (
        lambda p, table, weights: grid_gradient(p, table, LAYOUT, weights),
        {"positions": rand(9, 3), "table": rand(LAYOUT.rows, 2), "weights": rand(9, 4, seed=1)},
    ),
    "encode_frequencies": (lambda x: encode_frequencies(x, 4), {"values": rand(9, 3)}),
    "encode_gaussians": (lambda m, v: encode_gaussians(m, v, 4), {"means": rand(9, 3), "variances": rand(9, 3, seed=1)}),
    "encode_reflections": (
        lambda d, roughness: encode_reflections(d, roughness, 3),
        {"directions": torch.nn.functional.normalize(rand(9, 3), dim=1), "roughness": rand(9, seed=1)},
    ),
    "proposal_bound": (lambda w: proposal_bound(knots().to(w), w, knots().to(w)), {"weights": rand(RAYS, SAMPLES)}),
    "encode_directions": (lambda d: encode_directions(d, 3), {"directions": torch.nn.functional.normalize(rand(9, 3), dim=1)}),
    "photometric_loss": (lambda image: photometric_loss(image, rand(7, 8, 3, seed=5).to(image)), {"image": rand(7, 8, 3)}),
}
PAIRS = [(op, name) for op, (_, inputs) in OPS.items() for name in inputs]


def gradient(device, op: str, name: str) -> tuple[Tensor, Tensor]:
    """An input and the gradient to it, in the graph, of the sum of all that an operation gives."""
    function, inputs = OPS[op]
    leaf = inputs[name].to(device).clone().requires_grad_()
    out = function(*(leaf if key == name else values.to(device) for key, values in inputs.items()))
    outputs = [t for t in ([out] if isinstance(out, Tensor) else out) if t is not None and t.requires_grad]
    # the gradients that come in are constants, for which torch's own decorator would say nothing
    return leaf, torch.autograd.grad(sum(t[t.isfinite()].sum() for t in outputs), leaf, create_graph=True)[0]


@pytest.mark.parametrize("op, name", PAIRS)
def test_a_second_derivative_raises(device, op, name):
    leaf, grad = gradient(device, op, name)
    assert grad.isfinite().all() and grad.abs().max() > 0
    with pytest.raises(RuntimeError, match="can be differentiated once only"):
        torch.autograd.grad(grad.square().sum(), leaf)


@pytest.mark.parametrize("op, name", PAIRS)
def test_it_raises_as_a_part_of_another_loss(device, op, name):
    """The other loss alone has a gradient, so that a part without one would go unnoticed."""
    leaf, grad = gradient(device, op, name)
    loss = leaf.sum() + grad.square().sum()
    with pytest.raises(RuntimeError, match="can be differentiated once only"):
        torch.autograd.grad(loss, leaf, retain_graph=True)
    with pytest.raises(RuntimeError, match="can be differentiated once only"):
        loss.backward()


def test_one_derivative_in_a_graph_is_the_derivative(device):
    """`create_graph` alone changes nothing."""
    leaf, grad = gradient(device, "composite", "densities")
    function, inputs = OPS["composite"]
    function(leaf, *(t.to(device) for t in list(inputs.values())[1:])).colour.sum().backward()
    colour_only = leaf.grad.clone()
    leaf.grad = None
    out = function(leaf, *(t.to(device) for t in list(inputs.values())[1:]))
    assert torch.equal(torch.autograd.grad(out.colour.sum(), leaf, create_graph=True)[0], colour_only)
    assert grad.requires_grad and not colour_only.requires_grad
