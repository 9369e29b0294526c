"""Networks from files of nerf-pytorch and of programs that wrap them."""

from dataclasses import replace

import pytest
import torch

from methods.fields.options import FieldOptions
from methods.fields.run import load_field_run
from models.nerf_pytorch import COARSE, FINE
from settings.errors import InputError
from tests.methods.fields.small_fields import NETWORK, run, shown
from tests.reference import nerf_pytorch
from tests.scenes import sphere_scene

MLP = FieldOptions(field="mlp", N_samples=8, N_importance=8, use_viewdirs=True, basedir="unused")


FLAGS = ("field", "N_samples", "N_importance", "use_viewdirs", "multires")


def networks():
    g = torch.Generator().manual_seed(0)
    return [nerf_pytorch.random_state(g, depth=2, width=16, octaves=4, direction_octaves=2) for _ in range(2)]


def under(prefix, state):
    return {f"{prefix}{name}": value for name, value in state.items()}


WRAPPED = {
    "DataParallel": lambda a, b: {COARSE: under("module.", a), FINE: under("module.", b)},
    "compiled": lambda a, b: {COARSE: under("_orig_mod.", a), FINE: under("module._orig_mod.", b)},
    "a part of a module": lambda a, b: {COARSE: under("net.nerf.", a), FINE: under("net.nerf.", b)},
    "parameters": lambda a, b: {COARSE: {k: torch.nn.Parameter(v) for k, v in a.items()}, FINE: b},
    "other precision": lambda a, b: {COARSE: {k: v.double() for k, v in a.items()}, FINE: b},
    "one dict": lambda a, b: {"epoch": 3, "state_dict": under("model.", a) | under("model_fine.", b)},
    "names of its own": lambda a, b: {"coarse": a, "fine": under("module.", b)},
}


def picture(path, **flags):
    options = replace(MLP, ft_path=str(path), **flags).complete()
    scene = sphere_scene("white", views=3, width=16, height=12)
    return load_field_run(scene, options, path.parent).model.render(scene.test.cameras, 0).image


@pytest.mark.parametrize("wrapping", WRAPPED)
def test_wrapped_networks_of_nerf_pytorch_show_the_same_picture(tmp_path, wrapping):
    coarse, fine = networks()
    torch.save({"global_step": 5, COARSE: coarse, FINE: fine, "optimizer_state_dict": {}}, tmp_path / "plain.tar")
    torch.save(WRAPPED[wrapping](coarse, fine), tmp_path / "wrapped.tar")
    assert torch.equal(picture(tmp_path / "wrapped.tar"), picture(tmp_path / "plain.tar"))


def test_a_network_that_was_saved_alone(tmp_path):
    coarse, _ = networks()
    torch.save({COARSE: coarse, FINE: None}, tmp_path / "plain.tar")
    torch.save(under("module.", coarse), tmp_path / "alone.pt")
    assert torch.equal(picture(tmp_path / "alone.pt", N_importance=0), picture(tmp_path / "plain.tar", N_importance=0))
    with pytest.raises(InputError, match=r"alone\.pt: --N_importance 8: a fine network needs weights.*drop the flag"):
        picture(tmp_path / "alone.pt")


def test_weights_alone_are_shown_without_any_flag_of_networks(tmp_path):
    """--render_only --ft_path 200000.tar: --field is still grid. A ray has 64 samples, as in nerf-pytorch."""
    coarse, _ = networks()
    torch.save({COARSE: coarse, FINE: None}, tmp_path / "200000.tar")
    asked = picture(tmp_path / "200000.tar", N_samples=64, N_importance=0)
    for field in ("grid", "voxels"):
        plain = FieldOptions(field=field, basedir="unused")
        assert torch.equal(picture(tmp_path / "200000.tar", **{name: getattr(plain, name) for name in FLAGS}), asked)


def test_networks_that_cannot_be_told_apart_are_reported(tmp_path):
    coarse, fine = networks()
    torch.save({"first": coarse, "second": fine}, tmp_path / "two.pt")
    with pytest.raises(InputError, match=r"two\.pt: it holds 2 networks .*do not say which one is fine"):
        picture(tmp_path / "two.pt")


@pytest.mark.usefixtures("small_steps")
def test_training_goes_on_from_a_checkpoint_of_nerf_pytorch(tmp_path):
    g = torch.Generator().manual_seed(0)
    states = [nerf_pytorch.random_state(g, depth=3, width=32, octaves=4, direction_octaves=2) for _ in range(2)]
    torch.save({"global_step": 5, COARSE: states[0], FINE: states[1], "optimizer_state_dict": {}}, tmp_path / "000005.tar")
    flags = NETWORK | {"ft_path": str(tmp_path / "000005.tar")}
    image = shown(tmp_path, **flags).model.render(sphere_scene().test.cameras, 0).image
    trained = run(tmp_path / "run", **flags)
    assert trained.model.through_corners and not torch.allclose(trained.model.render(sphere_scene().test.cameras, 0).image, image)
    with pytest.raises(InputError, match="without --rvs: drop that flag"):
        run(tmp_path / "rvs", **(flags | {"rvs": True}))
    with pytest.raises(InputError, match="give --field mlp"):
        run(tmp_path / "other", ft_path=flags["ft_path"])
