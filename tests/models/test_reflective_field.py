"""The field of surfaces that reflect: shading, levels that are shown one after the other, turned worlds, saved states."""

import pytest
import torch

from datasets.cameras import Cameras
from models.fields import field_from_state
from models.marched_field import MarchedField
from models.occupancy import OccupancyGrid
from models.proposal_field import ProposalField, ProposalShape
from models.proposal_sampler import ProposalSampler
from models.proposed_field import ProposedField
from models.reflective_field import LIGHT, NORMAL, TINT, ReflectiveField, ReflectiveShape, from_srgb, to_srgb
from taichi_kernels import runtime
from taichi_kernels.directions import encode_directions
from taichi_kernels.reflections import encode_reflections
from tests.reference import deferred_shading
from tests.scenes import look_at_origin

BOX = torch.tensor([[-1.0] * 3, [1.0] * 3])
SMALL = ReflectiveShape(levels=4, features=2, coarsest=4, finest=32, log2_rows=10, hidden=16, ide_levels=3)


def field(shape=SMALL, seed=0, made=ReflectiveField):
    g = torch.Generator().manual_seed(seed)
    new = made(BOX, shape, g)
    new.table.data = torch.randn(new.table.shape, generator=g) * 0.5
    return new.to(runtime.torch_device())


def unit(count, seed, dtype=torch.float32):
    directions = torch.randn(count, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.nn.functional.normalize(directions, dim=1).to(dtype)


def materials(made, count, seed=1):
    """Composited materials (R, C) as the field makes them, and alpha (R,)."""
    g = torch.Generator().manual_seed(seed)
    where = runtime.torch_device()
    code = torch.randn(count, made.shape.code, generator=g).to(where)
    alpha = torch.rand(count, generator=g).to(where)
    return made.radiance(code, encode_directions(unit(count, seed).to(where), 3)) * alpha[:, None], alpha


@pytest.mark.parametrize("srgb", [True, False])
def test_shading_agrees_with_its_twin(srgb):
    made = field(ReflectiveShape(**vars(SMALL) | {"srgb": srgb}))
    values, alpha = materials(made, 300)
    values[:3, LIGHT], values[3:6, TINT] = 5.0, 0.0  # brighter than a picture shows, and without a reflection
    values, views = values.detach().requires_grad_(), unit(300, 2).to(values.device)
    seen = made.shade(values, alpha, views)
    weights = torch.linspace(-1, 1, seen.numel(), device=seen.device).view_as(seen)
    (grad,) = torch.autograd.grad((seen * weights).sum(), values)
    layers = [w.detach().cpu().double() for w in (made.specular_hidden, made.specular_middle, made.specular_out)]
    for i in range(0, 300, 7):
        leaf = values[i].detach().cpu().double().requires_grad_()
        twin = deferred_shading.shade(leaf, alpha[i].cpu().double(), views[i].cpu().double(), *layers, 3, srgb)
        (twin_grad,) = torch.autograd.grad(twin @ weights[i].cpu().double(), leaf)
        assert (seen[i].cpu() - twin).abs().max() < 1e-5
        assert (grad[i].cpu() - twin_grad).abs().max() < 1e-4 * twin_grad.abs().max().clamp_min(1)


def test_a_ray_that_meets_nothing_has_no_colour():
    made = field()
    values, views = torch.zeros(4, made.channels, device=made.box.device), unit(4, 0).to(made.box.device)
    values.requires_grad_()
    seen = made.shade(values, torch.zeros(4, device=values.device), views)
    (grad,) = torch.autograd.grad(seen.sum(), values)
    assert (seen == 0).all() and grad.isfinite().all()
    assert made.shade(values[:0], torch.zeros(0, device=values.device), views[:0]).shape == (0, 3)


def test_srgb_and_its_inverse():
    shown = torch.linspace(0, 1, 1001, dtype=torch.float64)
    assert (to_srgb(from_srgb(shown)) - shown).abs().max() < 1e-9
    assert from_srgb(torch.tensor([0.5])).item() == pytest.approx(0.2140411, abs=1e-6)  # of the standard's curve
    assert to_srgb(torch.tensor([-1.0, 7.0])).tolist() == [0, 1]


def test_levels_that_are_not_shown_change_nothing_and_learn_nothing():
    made = field()
    positions = (torch.rand(200, 3, generator=torch.Generator().manual_seed(3)) * 2 - 1).to(made.box.device)

    def all_of_it():
        return [*made.density_and_code(positions), made.density(positions), made.log_density_gradient(positions)]

    made.show_levels(2.5)
    assert made.level_weights.tolist() == [1, 1, 0.5, 0]
    found = all_of_it()
    torch.stack([each.square().sum() for each in found]).sum().backward()
    rows = made.table.grad.abs().sum(1).nonzero()[:, 0]
    last = made.layout.rows - 1024  # the finest level's table comes last
    assert len(rows) and int(rows.max()) < last
    with torch.no_grad():
        made.table[last:] += 1
        assert all(torch.equal(one, other) for one, other in zip(found, all_of_it(), strict=True))
        made.show_levels(4)
        assert not torch.allclose(made.density(positions), found[2])


def test_gradient_of_the_density_with_some_levels():
    """Against differences, in cells of the coarsest grid alone."""
    made = field()
    made.show_levels(1)
    positions = (torch.rand(100, 3, generator=torch.Generator().manual_seed(4)) * 1.6 - 0.8).to(made.box.device)
    inside = ((positions + 1) / 2 * 4 % 1 - 0.5).abs().amax(1) < 0.45
    positions, step = positions[inside], 1e-3
    with torch.no_grad():
        found = made.log_density_gradient(positions)
        axes = step * torch.eye(3, device=positions.device)
        ends = [(made.density(positions + axis).log(), made.density(positions - axis).log()) for axis in axes]
    expected = torch.stack([(a - b) / (2 * step) for a, b in ends], 1)
    wrong = (found - expected).abs().amax(1) > 0.02 * expected.abs().max()
    assert wrong.float().mean() < 0.05  # differences across a unit's edge


class Turned(ReflectiveField):
    """Waves of density and material in a ball, turned by `turn` (3, 3)."""

    turn = torch.eye(3)

    def _waves(self, positions):
        own = positions @ self.turn.to(positions)
        code = torch.stack([torch.sin((i % 4 + 1) * own[:, i % 3] + i) for i in range(self.shape.code)], 1)
        normal = (own + 0.3 * torch.sin(4 * own.flip(1))) @ self.turn.T.to(positions)
        code = torch.cat([code[:, :3], code[:, 3:4] - 3, normal, code[:, 7:]], 1)
        return 30 * torch.sigmoid(40 * (0.7 - own.norm(dim=1) + 0.05 * torch.sin(5 * own[:, 0]))), code

    def density_and_code(self, positions, features=None):
        return self._waves(positions)

    def density(self, positions, features=None):
        return self._waves(positions)[0]


def turned_encoding(encode, turn):
    """The matrix D with encode(turn x) = D encode(x), by least squares over many x: the degrees stay apart and it is exact."""
    x = unit(2000, 9, torch.float64)
    before, after = encode(x.float()).cpu().double(), encode((x @ turn.double().T).float()).cpu().double()
    found = torch.linalg.lstsq(before, after, driver="gelsd").solution.T
    assert (before @ found.T - after).abs().max() < 1e-4
    return found


def mirrored(directions):
    where = runtime.torch_device()
    return encode_reflections(directions.to(where), torch.zeros(len(directions), device=where), 3)


def test_turning_the_world_and_the_cameras_changes_no_picture():
    """A density in a ball, with the networks' inputs of directions turned along."""
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(5)))[0]
    turn = turn * torch.linalg.det(turn).sign()
    where = runtime.torch_device()
    pose = look_at_origin(torch.tensor([1.5, -2.0, 1.8]))
    k = torch.tensor([[70.0, 0, 24], [0, 70, 20], [0, 0, 1]])
    pictures = []
    for rotation in (torch.eye(3), turn):
        made = field(made=Turned)
        made.turn = rotation
        g, others = torch.Generator().manual_seed(6), made.shape.code - 7
        for weights in made.parameters():
            weights.data = torch.randn(weights.shape, generator=g).to(where) * (2 / max(weights.shape[1], 1)) ** 0.5
        if rotation is turn:
            harmonics = turned_encoding(lambda x: encode_directions(x.to(where), 3), turn).to(where)
            made.colour_hidden.data[:, others:] @= torch.linalg.pinv(harmonics).float()
            of_reflections = turned_encoding(mirrored, turn).to(where)
            made.specular_hidden.data[:, others:-1] @= torch.linalg.pinv(of_reflections).float()
        model = MarchedField(made, OccupancyGrid(BOX.to(where), cells=8, step=0.004)).to(where)
        posed = torch.cat([rotation @ pose[:, :3], rotation @ pose[:, 3:]], 1)
        pictures.append(model.render(Cameras(k[None], posed[None], 48, 40), 0, "white", with_normal=True))
    straight, along = pictures
    assert 0.2 < straight.alpha.mean() < 0.8 and straight.image.std() > 0.1
    assert (straight.image - along.image).abs().max() < 1e-4
    wanted = straight.normal @ turn.T.to(where)
    assert ((wanted - along.normal).norm(dim=-1) * straight.alpha).max() < 1e-3


def marched(made):
    return MarchedField(made, OccupancyGrid(made.box, cells=8, step=0.05)).to(made.box.device)


def proposed(made):
    proposals = [ProposalField(made.box, ProposalShape(levels=1, coarsest=4, finest=4, log2_rows=8))]
    return ProposedField(made, ProposalSampler(proposals, (16, 8))).to(made.box.device)


@pytest.mark.parametrize("model_of", [marched, proposed])
def test_saved_and_loaded_again_it_shows_the_same(model_of):
    made = field()
    made.show_levels(2.5)
    model = model_of(made)
    again = field_from_state(model.state(training=False)).to(made.box.device)
    assert again.field_word == "reflective" and isinstance(again.field, ReflectiveField)
    cameras = Cameras(
        torch.tensor([[[30.0, 0, 10], [0, 30, 8], [0, 0, 1]]]), look_at_origin(torch.tensor([2.0, 2, 1]))[None], 20, 16
    )
    seen, seen_again = (each.render(cameras, 0, "black", with_normal=True) for each in (model, again))
    assert torch.equal(seen.image, seen_again.image) and torch.equal(seen.normal, seen_again.normal)
    assert seen.image.std() > 0.01


def test_normals_that_are_shown_are_the_predicted_ones():
    made = field()
    made.out.data[5:8] = 0  # rows of the network that give the normal, after the density, the tint and the roughness
    model = marched(made)
    cameras = Cameras(
        torch.tensor([[[30.0, 0, 10], [0, 30, 8], [0, 0, 1]]]), look_at_origin(torch.tensor([2.0, 2, 1]))[None], 20, 16
    )
    assert not model.render(cameras, 0, "black", with_normal=True).normal.any()
    assert slice(7, 10) == NORMAL


def test_sizes_that_make_no_field_are_refused():
    for wrong in ({"code": 6}, {"ide_levels": 6}, {"ide_levels": 0}):
        with pytest.raises(ValueError, match=r"its material's channels|its levels of directions"):
            ReflectiveField.sizes(ReflectiveShape(**vars(SMALL) | wrong))
