"""The point cloud's file: standard enough for viewers, exact enough to be read back."""

import math

import numpy as np
import pytest
import torch
from plyfile import PlyData

from reporting.ply import load_ply, ply_settings, save_ply
from settings.errors import InputError


def _cloud(count: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    return {
        "positions": torch.randn(count, 3, generator=generator),
        "base": torch.randn(count, 3, generator=generator),
        "sh": torch.randn(count, 9, 3, generator=generator),
        "opacity": torch.rand(count, generator=generator),
        "radius": torch.rand(count, generator=generator),
    }


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.contiguous().view(torch.int32)


@pytest.mark.parametrize("count", [0, 1, 1000])
def test_round_trip_is_exact_to_the_bit(tmp_path, count):
    cloud = _cloud(count)
    if count == 1000:  # values that a text format or a rounding would lose
        cloud["base"][4, 1] = -0.0
        cloud["opacity"][5] = 1e-42  # subnormal
        cloud["positions"][6, 2] = 3.4e38
    save_ply(tmp_path / "points.ply", **cloud)
    back = load_ply(tmp_path / "points.ply")
    assert back.keys() == cloud.keys()
    for name, tensor in cloud.items():
        assert back[name].shape == tensor.shape
        assert torch.equal(_bits(back[name]), _bits(tensor)), name


def test_opacity_and_radius_are_left_out_where_a_model_has_none(tmp_path):
    cloud = _cloud(4)
    save_ply(tmp_path / "points.ply", cloud["positions"], cloud["base"], cloud["sh"])
    assert load_ply(tmp_path / "points.ply").keys() == {"positions", "base", "sh"}


def test_header_has_the_names_that_viewers_look_for(tmp_path):
    path = tmp_path / "points.ply"
    save_ply(path, **_cloud(3))
    header = path.read_bytes().split(b"end_header\n")[0].decode("ascii").splitlines()
    assert header[:2] == ["ply", "format binary_little_endian 1.0"]
    properties = [line.removeprefix("property ") for line in header if line.startswith("property")]
    assert properties[:6] == ["float x", "float y", "float z", "uchar red", "uchar green", "uchar blue"]
    assert properties[6:9] == ["float base_0", "float base_1", "float base_2"]
    assert properties[9:36] == [f"float sh_{i}" for i in range(27)]
    assert properties[36:] == ["float opacity", "float radius"]
    assert PlyData.read(str(path))["vertex"].count == 3


def test_visible_colour_is_base_plus_the_constant_harmonic(tmp_path):
    base = torch.tensor([[0.5, -1.0, 0.9], [0.1, 0.2, math.nan]])
    sh = torch.zeros(2, 9, 3)
    sh[0, 0] = torch.tensor([0.5, 0.0, 1.0])
    sh[:, 1:] = 100.0  # what depends on the direction is not shown
    save_ply(tmp_path / "points.ply", torch.zeros(2, 3), base, sh)
    data = PlyData.read(str(tmp_path / "points.ply"))["vertex"]
    # 0.5 + 0.28209479 * 0.5 = 0.641047 -> 163; -1 -> 0; 0.9 + 0.282 -> 255
    assert [int(data[c][0]) for c in ("red", "green", "blue")] == [163, 0, 255]
    assert [int(data[c][1]) for c in ("red", "green", "blue")] == [26, 51, 0]


def test_coefficients_are_stored_degree_by_degree(tmp_path):
    sh = torch.arange(27, dtype=torch.float32).reshape(1, 9, 3)
    save_ply(tmp_path / "points.ply", torch.zeros(1, 3), torch.zeros(1, 3), sh)
    data = PlyData.read(str(tmp_path / "points.ply"))["vertex"]
    assert [float(data[f"sh_{i}"][0]) for i in range(27)] == list(np.arange(27.0))


def test_shapes_that_do_not_fit_are_refused_before_anything_is_written(tmp_path):
    cloud = _cloud(4) | {"base": torch.zeros(5, 3)}
    with pytest.raises(ValueError, match="base has shape"):
        save_ply(tmp_path / "points.ply", **cloud)
    assert list(tmp_path.iterdir()) == []


def test_files_that_cannot_be_read_back_are_told_in_a_sentence(tmp_path):
    with pytest.raises(InputError, match=r"missing\.ply is missing"):
        load_ply(tmp_path / "missing.ply")
    (tmp_path / "text.ply").write_text("no cloud at all\n")
    with pytest.raises(InputError, match="not a complete PLY"):
        load_ply(tmp_path / "text.ply")
    save_ply(tmp_path / "whole.ply", **_cloud(50))
    (tmp_path / "cut.ply").write_bytes((tmp_path / "whole.ply").read_bytes()[:-100])
    with pytest.raises(InputError, match="not a complete PLY"):
        load_ply(tmp_path / "cut.ply")
    (tmp_path / "foreign.ply").write_text(
        "ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nproperty float y\nproperty float z\nend_header\n1 2 3\n"
    )
    with pytest.raises(InputError, match="lacks the property base_0"):
        load_ply(tmp_path / "foreign.ply")


@pytest.mark.parametrize(
    ("name", "index", "value", "sentence"),
    [
        ("base", (2, 1), math.nan, r"base\[2, 1\] is nan"),
        ("positions", (3, 0), math.inf, r"positions\[3, 0\] is inf"),
        ("sh", (1, 8, 2), -math.inf, r"sh\[1, 8, 2\] is -inf"),
        ("opacity", (4,), 1.5, r"opacity\[4\] is 1\.5"),
        ("opacity", (0,), -0.1, r"opacity\[0\] is -0\.1"),
        ("radius", (3,), 0.0, r"radius\[3\] is 0"),
        ("radius", (3,), -2.0, r"radius\[3\] is -2"),
        ("radius", (3,), math.nan, r"radius\[3\] is nan"),
    ],
)
def test_values_that_are_not_valid_are_named(tmp_path, name, index, value, sentence):
    cloud = _cloud(5)
    cloud[name][index] = value
    save_ply(tmp_path / "points.ply", **cloud)
    with pytest.raises(InputError, match=sentence):
        load_ply(tmp_path / "points.ply")


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        ("element vertex 5", "element vertex -1", "element vertex -1"),
        ("element vertex 5", "element vertex 1e9", "vertex 1e9"),
        ("element vertex 5", "element vertex 1000000000", "too short"),
        ("float base_1", "float base_0", "two properties 'base_0'"),
        ("element vertex 5", "element face 900000000\nproperty list uchar int v\nelement vertex 5", "too short"),
        ("element vertex 5", "element vertex 5\nproperty list uchar int x2", "not a complete PLY"),
        ("end_header", "end", "no end"),
        ("comment setting", "comment settinh", None),
    ],
)
def test_headers_that_cannot_be_are_told_before_memory_is_taken(tmp_path, before, after, sentence):
    path = tmp_path / "points.ply"
    save_ply(path, **_cloud(5), settings={"radius": 0.1})
    path.write_bytes(path.read_bytes().replace(before.encode(), after.encode(), 1))
    if sentence is None:
        assert len(load_ply(path)["base"]) == 5 and ply_settings(path) == {}
        return
    with pytest.raises(InputError, match=sentence):
        load_ply(path)


@pytest.mark.parametrize("comment", ["setting 5", 'setting [["radius", 2]]', 'setting {"radius"', "setting null", "setting"])
def test_settings_that_are_none_are_told(tmp_path, comment):
    path = tmp_path / "points.ply"
    save_ply(path, **_cloud(5), settings={"radius": 0.1})
    assert ply_settings(path) == {"radius": 0.1}
    path.write_bytes(path.read_bytes().replace(b'setting {"radius": 0.1}', comment.encode()))
    with pytest.raises(InputError, match=r"points\.ply has a setting that cannot be read"):
        ply_settings(path)
