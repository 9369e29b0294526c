"""mip-NeRF 360's model: what it is made of, the files it is kept in, and that turning the world changes nothing."""

from dataclasses import replace

import pytest
import torch

from models.cones import frustum_gaussians
from models.contracted_gaussians import Ball
from models.fields import field_from_state
from models.network_field import NetworkShape
from models.proposed_cones import ConeNetwork, ConeSpan, ProposedCones
from models.rays import Ndc, pack_cameras, pixel_rays, view_pixels
from taichi_kernels.compositing import composite
from tests.models.test_mip_field import cameras

FIELD = NetworkShape(depth=6, width=24, octaves=5, direction_octaves=2, density_shift=0.5, integrated=True)
PROPOSAL = replace(FIELD, depth=2, width=16, colours=False)
BALL = Ball((0.1, 0.2, -0.3), 2.0)


def small_model(ball=None, ndc=None, counts=(16, 12, 8), span=None):
    axes = 3 if ball is None else 21
    shapes = (replace(shape, axes=axes) for shape in (FIELD, PROPOSAL))
    span = span or ConeSpan(0.5, 40.0, disparity=True) if ball else span or ConeSpan(2.0, 6.0)
    model = ProposedCones(*shapes, counts, span, torch.Generator().manual_seed(0), ball, ndc)
    with torch.no_grad():
        for part in (model.field, *model.sampler.fields):
            part.network.density.weight *= 8  # of things, not of fog
        model.field.network.colour.weight *= 8
    return model


def rays_of(view, device):
    return pixel_rays(pack_cameras(view).to(device), view_pixels(0, *view.size(0), device))


def test_a_picture_is_the_fields_at_the_intervals_that_proposals_choose(device):
    model, rays = small_model().to(device), rays_of(cameras(), device)
    found, intervals, proposals = model.trace(rays)
    assert [proposal.intervals.size[1] for proposal in proposals] == [16, 12] and intervals.size[1] == 8
    seen = frustum_gaussians(rays.origins, rays.directions, rays.radii, intervals.t)
    raw, colours = model.field.network.raw(seen.means, rays.view_directions, seen.variances)
    densities = torch.nn.functional.softplus(raw + 0.5)
    expected = composite(densities, colours * 1.002 - 0.001, *intervals.ends(), lengths=rays.direction_norms)
    torch.testing.assert_close(found.colour, expected.colour, atol=1e-5, rtol=0)
    heavy = proposals[0].weights.sum(1) > 0.5
    assert heavy.any()  # the field's intervals gather where a proposal has its weight
    middle = (proposals[0].intervals.s[:, 1:] + proposals[0].intervals.s[:, :-1]) / 2
    expected_middle = (proposals[0].weights * middle).sum(1) / proposals[0].weights.sum(1)
    next_middle = proposals[1].intervals.s.mean(1)
    apart = (next_middle - expected_middle)[heavy].abs().mean()
    assert apart < (0.5 - expected_middle)[heavy].abs().mean(), apart


@pytest.mark.parametrize("kind", ["object", "contracted", "ndc"])
def test_state_round_trip_and_chunks(device, kind):
    ndc = Ndc(9.0, 9.0, 8, 8) if kind == "ndc" else None
    span = ConeSpan(0.0, 1.0) if ndc else None
    model, view = small_model(BALL if kind == "contracted" else None, ndc, span=span).to(device), cameras()
    whole = model.render(view, 0, "white")
    again = field_from_state(model.state()).to(device)
    assert torch.equal(again.render(view, 0, "white").image, whole.image) and whole.image.std() > 0.01
    assert again.contracted == (kind == "contracted") and "16 + 12 samples" in again.describe()
    again.chunk, again.points = 33, 100
    assert again.sampler.fields[1].points == 100
    assert torch.allclose(whole.image, again.render(view, 0, "white").image, atol=1e-5)


def test_contracted_space_has_no_scale(device):
    """A world that is three times as large, with its ball and cameras, has the same picture."""
    view, model = cameras(), small_model(BALL).to(device)
    larger = replace(view, camera_to_world=view.camera_to_world * torch.tensor([1.0, 1, 1, 3]))
    ball = Ball((0.3, 0.6, -0.9), 6.0)
    other = small_model(ball, span=ConeSpan(1.5, 120.0, disparity=True)).to(device)
    torch.testing.assert_close(other.render(larger, 0).image, model.render(view, 0).image, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda s: s["settings"].pop("network"),
        lambda s: s["settings"]["span"].update(near=70.0),
        lambda s: s["settings"]["span"].update(near=0.0),
        lambda s: s["settings"]["span"].update(near=1e-50),
        lambda s: s["settings"]["span"].update(far=1e300),
        lambda s: s["settings"].update(ndc=(9.0, 9.0, 8, 8)),
        lambda s: s["settings"].update(counts=(16, 12)),
        lambda s: s["settings"].update(counts=(16, 12, 1)),
        lambda s: s["settings"].update(counts=8),
        lambda s: s["settings"].update(ball=None),
        lambda s: s["settings"].update(ball=((0.0, 0.0, 0.0), 0.0)),
        lambda s: s["settings"].update(ball=((0.0, float("nan"), 0.0), 1.0)),
        lambda s: s["settings"].update(ball=3),
        lambda s: s["settings"]["proposal"].update(colours=True),
        lambda s: s["settings"]["network"].update(integrated=False),
        lambda s: s["settings"]["network"].update(axes=0),
        lambda s: s["tensors"].pop("sampler.fields.1.network.density.bias"),
        lambda s: s["tensors"]["field.network.colour.bias"].fill_(float("nan")),
    ],
)
def test_damaged_states_are_refused(spoil):
    state = small_model(BALL).state()
    spoil(state)
    with pytest.raises(ValueError):
        field_from_state(state)


def test_networks_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="does not see its Gaussians"):
        ConeNetwork(FIELD, torch.Generator(), BALL)
    with pytest.raises(ValueError, match="its proposals must not"):
        ProposedCones(FIELD, FIELD, (8, 8), ConeSpan(1.0, 2.0), torch.Generator())
    with pytest.raises(ValueError, match="at every sample"):
        small_model().radiance_samples = 3
