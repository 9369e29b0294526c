"""Files that are damaged, or hold something else: a reader gives a sound model, or one sentence. RADIANCE_EXAMPLES: how many."""

import shutil
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from methods.fields.network_start import initial_cones, initial_networks
from methods.fields.options import FieldOptions
from methods.fields.run import FieldRun, load_field_run
from methods.fields.task import FieldTask
from methods.points.learn import _start_cloud, choose_recipe
from methods.points.options import PointOptions
from methods.points.recipe import MaskFacts
from methods.points.run import PointRun, load_run, load_weights
from methods.points.task import PointTask
from models.grid_field import GridField, GridShape
from models.marched_field import MarchedField
from models.nerf_pytorch import COARSE, FINE
from models.occupancy import OccupancyGrid
from models.points import PointCloud
from models.reflective_field import ReflectiveField, ReflectiveShape
from models.voxel_field import VoxelField, VoxelShape
from reporting.ply import save_ply
from settings.errors import InputError
from system.reading import reading
from tests.damage import MANY, damaged_bytes, damaged_content, invalid_values, read_or_told
from tests.reference import nerf_pytorch
from tests.scenes import sphere_scene
from training.checkpoint import load_checkpoint, save_checkpoint, save_weights
from training.learned_from import learned_from

SCENE = sphere_scene(views=3, width=16, height=12)
NAMES = SCENE.train.names
RECIPE, POINTS = choose_recipe(PointOptions(recipe="paper", epochs=8, basedir="unused"), SCENE)
MLP = FieldOptions(field="mlp", N_samples=8, netdepth=2, netwidth=8, multires=2, basedir="unused").complete()
MIP = FieldOptions(field="mip", N_samples=8, netdepth=2, netwidth=8, multires=2, basedir="unused").complete()
FIELDS = {"mlp": MLP, "mip": MIP} | {
    field: FieldOptions(field=field, basedir="unused").complete() for field in ("grid", "voxels")
}
FIELDS["reflective"] = FieldOptions(ref_nerf=True, basedir="unused").complete()


def cloud() -> PointCloud:
    g = torch.Generator().manual_seed(0)
    return PointCloud(
        torch.randn(5, 3, generator=g),
        torch.rand(5, 3, generator=g),
        torch.randn(5, 9, 3, generator=g),
        0.1,
        opacity_logits=torch.randn(5, generator=g),
        log_radii=-torch.rand(5, generator=g),
    )


def field(word: str):
    g, box = torch.Generator().manual_seed(0), torch.tensor([[-1.0] * 3, [1.0] * 3])
    if word == "mlp":
        return initial_networks(SCENE, MLP, g)
    if word == "mip":
        return initial_cones(SCENE, MIP, g)
    small = {"levels": 2, "features": 2, "coarsest": 2, "finest": 4, "log2_rows": 4, "hidden": 4}
    shapes = {
        "grid": (GridField, GridShape(**small, code=3)),
        "reflective": (ReflectiveField, ReflectiveShape(**small, code=8, ide_levels=2)),
        "voxels": (VoxelField, VoxelShape(**small, density_log2_rows=6)),
    }
    made, shape = shapes[word]
    return MarchedField(made(box, shape, g), OccupancyGrid(box, cells=8, step=0.1), radiance_samples=0)


def history() -> list[dict]:
    return [{"epoch": 1, "step": 3, "seconds": 1.0, "train_psnr": 20.0, "validation_psnr": None, "stage": "s", "rays": 64}]


def moved(model, optimizer):
    """The optimizer after a step, with moments."""
    for value in model.parameters():
        value.grad = torch.full_like(value, 0.1)
    optimizer.step()
    return optimizer


def save_points(folder):
    task = PointTask(SCENE, SCENE.test, POINTS, RECIPE)
    task.run = PointRun(model=cloud(), masks=MaskFacts([True] * 3), epoch=1)
    task._begin_stage()
    save(folder, task, POINTS)


def save_field(folder, word):
    task = FieldTask(SCENE, SCENE.test, FIELDS[word])
    task._begin(field(word), False)
    task.run.step, task.epoch_squares = 250, [0.1]
    save(folder, task, FIELDS[word])


def save(folder, task, options):
    """As the loop does, after a step."""
    optimizer = moved(task.model, task.optimizer)
    save_checkpoint(
        folder,
        task.state()
        | {
            "optimizer": optimizer.state_dict(),
            "history": history(),
            "seconds": task.run.seconds,
            "finished": False,
            "learned_from": learned_from(SCENE, options),
        },
        options,
    )


def resume(folder, task, options):
    """As the loop does, up to the first step."""
    state = load_checkpoint(folder, options, learned_from(SCENE, options), NAMES)
    with reading(folder / "checkpoint.pt"):
        task.restore(state)
    return task.model


def resume_points(folder):
    return resume(folder, PointTask(SCENE, SCENE.test, POINTS, RECIPE), POINTS)


def resume_field(folder, word):
    return resume(folder, FieldTask(SCENE, SCENE.test, FIELDS[word]), FIELDS[word])


def look(folder, word):
    return load_field_run(SCENE, FIELDS[word], folder).model


def nerf_pytorch_file(path):
    g = torch.Generator().manual_seed(0)
    states = [nerf_pytorch.random_state(g, depth=2, width=8, octaves=2, direction_octaves=1) for _ in range(2)]
    torch.save({"global_step": 5, COARSE: states[0], FINE: states[1], "optimizer_state_dict": {}}, path)


def show_nerf_pytorch(path):
    return load_field_run(SCENE, replace(MLP, ft_path=str(path), N_importance=8, use_viewdirs=True), path.parent).model


READERS = {  # name of the file, how it is written, and the ways in which it is read
    "points": ("checkpoint.pt", save_points, [resume_points, lambda folder: load_run(folder, None).model]),
    **{
        f"{word} field": (
            "checkpoint.pt",
            lambda folder, word=word: save_field(folder, word),
            [lambda folder, word=word: resume_field(folder, word), lambda folder, word=word: look(folder, word)],
        )
        for word in FIELDS
    },
    "cloud's weights": (
        "weights.pt",
        lambda folder: save_weights(folder, PointRun(model=cloud()).weights()),
        [lambda folder: load_weights(folder / "weights.pt", "cpu"), lambda folder: load_run(folder, None).model],
    ),
    **{
        f"{word} weights": (
            "weights.pt",
            lambda folder, word=word: save_weights(folder, FieldRun(model=field(word)).weights()),
            [lambda folder, word=word: look(folder, word)],
        )
        for word in FIELDS
    },
    "nerf-pytorch": (
        "000005.tar",
        lambda folder: nerf_pytorch_file(folder / "000005.tar"),
        [lambda folder: show_nerf_pytorch(folder / "000005.tar")],
    ),
}


@pytest.fixture(scope="module", params=READERS)
def written(request, tmp_path_factory, device):
    """A folder, the path in it, its content and the readers."""
    folder = tmp_path_factory.mktemp("written")
    name, write, readers = READERS[request.param]
    write(folder)
    return folder, folder / name, (folder / name).read_bytes(), torch.load(folder / name, weights_only=True), readers


@MANY
@given(data=st.data())
def test_damaged_bytes(written, data):
    folder, path, content, _, readers = written
    path.write_bytes(data.draw(damaged_bytes(content)))
    for read in readers:
        assert not invalid_values(read_or_told(path, lambda read=read: read(folder)))


@MANY
@given(data=st.data())
def test_other_content(written, data):
    folder, path, _, content, readers = written
    torch.save(data.draw(damaged_content(content)), path)
    for read in readers:
        assert not invalid_values(read_or_told(path, lambda read=read: read(folder)))


def test_undamaged_files_are_read(written):
    folder, path, content, _, readers = written
    path.write_bytes(content)
    for read in readers:
        assert read(folder).state_dict()


def test_one_flipped_bit_is_reported(written):
    """In the values, where torch alone would not notice it."""
    folder, path, content, _, readers = written
    path.write_bytes(content)
    middle = content.index(b"archive/data/0") + 100 if b"archive/data/0" in content else content.index(b"/data/0") + 100
    spoiled = bytearray(content)
    spoiled[middle] ^= 1
    path.write_bytes(bytes(spoiled))
    for read in readers:
        with pytest.raises(InputError, match=f"{path.name}: it is damaged: the checksum of its part"):
            read(folder)


@MANY
@given(data=st.data())
def test_a_damaged_ply(tmp_path_factory, device, data):
    folder = tmp_path_factory.getbasetemp() / "ply"
    path = folder / "points.ply"
    if not (folder / "whole.ply").exists():
        folder.mkdir()
        own = cloud()
        tensors = own.tensors()
        save_ply(
            folder / "whole.ply",
            tensors["positions"],
            tensors["base"],
            tensors["sh"],
            own.opacities().detach(),
            tensors["log_radii"].exp(),
            own.settings(),
        )
    whole = (folder / "whole.ply").read_bytes()
    header = whole.index(b"end_header")
    if data.draw(st.booleans()):
        path.write_bytes(data.draw(damaged_bytes(whole)))
    else:  # the header's words
        lines = whole[:header].decode().splitlines()
        at = data.draw(st.integers(0, len(lines) - 1))
        line = data.draw(
            st.sampled_from(
                [
                    "",
                    lines[at - 1],
                    "element vertex -1",
                    "element vertex 1000000000",
                    "element face 1000000000",
                    "format ascii 1.0",
                    "format binary_big_endian 1.0",
                    "property list uchar int x",
                    "property float",
                    'comment setting {"radius": NaN}',
                    'comment setting {"radius": -1}',
                    'comment setting {"max_layers": "3"}',
                    'comment setting {"use_sh": 3}',
                    'comment setting {"profile": ["parabola"]}',
                    "comment setting []",
                    "element vertex 4",
                    "property double radius",
                ]
            )
        )
        path.write_bytes("\n".join([*lines[:at], line, *lines[at + 1 :], ""]).encode() + whole[header:])
    assert not invalid_values(read_or_told(path, lambda: _start_cloud(replace(POINTS, ft_path=str(path)))))
    shutil.copy(folder / "whole.ply", path)
    assert _start_cloud(replace(POINTS, ft_path=str(path))).point_count() == 5
