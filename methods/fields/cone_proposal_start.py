"""mip-NeRF 360 before training: its networks, its samples, and the ball that is not contracted."""

import math

import torch

from datasets.scene import Scene
from methods.fields.network_start import asked_range, clear_density, sampling, scene_ndc, shift_of
from methods.fields.options import FieldOptions
from methods.fields.unbounded_start import LEVELS, NEAR, contracted, inner_box
from models.contracted_gaussians import Ball, icosahedron_directions
from models.network_field import NetworkShape
from models.proposed_cones import ConeSpan, ProposedCones
from settings.errors import InputError

_PROPOSAL_DEPTH, _PROPOSAL_WIDTH = 4, 256  # at most: no more than the field has
_NEAREST = 1e-6  # radii at which rays may begin in contracted space
_FOG = math.log1p(math.exp(-1))  # the first density of contracted space, a radius: rays end in it, as in the original


def initial_proposed_cones(scene: Scene, options: FieldOptions, generator: torch.Generator) -> ProposedCones:
    """Untrained networks, nearly clear; in contracted space a fog, and rays are cut evenly in 1 / t.

    Raises InputError for pictures that do not allow --contract, and for ranges of rays that make no sense.
    """
    ball = None
    if contracted(scene, options):
        box = inner_box(scene.train.cameras).double()
        center, radius = [float(value) for value in box.mean(0)], float(box[1, 0] - box[0, 0]) / 2
        ball = Ball((center[0], center[1], center[2]), radius)
        near, far = NEAR * radius, 2.0 ** (LEVELS - 1) * radius
        if (options.near, options.far) != (None, None):
            near, far = asked_range(scene, options, near, far)
            if near < _NEAREST * radius:
                raise InputError(
                    f"--near {near:g} has no useful inverse depth, which contracted space is sampled in: give a larger one"
                )
        span = ConeSpan(near, far, disparity=True)
    else:
        chosen = sampling(scene, options, endless=False)
        span = ConeSpan(chosen.near, chosen.far, chosen.disparity)
    shift = shift_of(_FOG if ball else clear_density(scene, span.near, span.far))
    axes = 3 if ball is None else len(icosahedron_directions())

    def network(depth: int, width: int, *, colours: bool) -> NetworkShape:
        octaves = options.multires, options.multires_views
        return NetworkShape(depth, width, *octaves, True, shift, colours, integrated=True, axes=axes)

    proposal = network(min(_PROPOSAL_DEPTH, options.netdepth), min(_PROPOSAL_WIDTH, options.netwidth), colours=False)
    field = network(options.netdepth, options.netwidth, colours=True)
    return ProposedCones(field, proposal, options.proposal_samples, span, generator, ball, scene_ndc(scene))
