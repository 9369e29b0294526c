"""From any damaged file a reader gets a valid scene, or raises an error of one sentence."""

import io
import tempfile
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms

import datasets
from datasets.colours import D65, DISPLAY_P3, SRGB_CURVE, matrix_profile
from datasets.pictures import PictureFile, read_header, read_masks, read_picture
from methods.command_line import parse, to_config_text
from methods.fields.options import FieldOptions
from methods.points.options import PointOptions
from settings.options import Options
from tests.damage import MANY, damaged_bytes, damaged_text, sound_or_told
from tests.datasets.written_photos import around, facing, write_colmap, write_llff, write_transforms
from tests.datasets.written_pictures import png, tiff
from tests.datasets.written_scene import write_multiscale, write_scene

SIZE = 12, 9
LENS = {"fl_x": 26.0, "fl_y": 25.0, "cx": 16.6, "cy": 10.5}
pytestmark = pytest.mark.filterwarnings("ignore")  # Pillow's, which main.py does not show; numpy's, about absurd numbers


@lru_cache(maxsize=1)
def sound_pictures() -> dict[str, bytes]:
    """Small pictures of each format and kind of pixels, by name."""
    rows, columns = np.mgrid[: SIZE[1], : SIZE[0]]
    rgba = np.stack([20 * columns, 25 * rows, 9 * rows + columns, np.where(columns < 6, 255, 9)], -1).astype(np.uint8)
    wide = Image.fromarray((4000 * columns + rows).astype(np.uint16))
    rgb, exif = Image.fromarray(rgba[..., :3]), Image.Exif()
    exif[0x0112] = 6
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    formats = {
        "rgba.png": (Image.fromarray(rgba), {"exif": exif}),
        "profile.png": (rgb, {"icc_profile": profile}),
        "p3.png": (rgb, {"icc_profile": matrix_profile(DISPLAY_P3, D65, SRGB_CURVE)}),
        "grey16.png": (wide, {}),
        "palette.png": (rgb.quantize(7), {"transparency": 2}),
        "bits.png": (rgb.convert("1"), {}),
        "photo.jpg": (rgb, {"exif": exif, "icc_profile": profile}),
        "grey.jpg": (rgb.convert("L"), {"progressive": True}),
        "inks.jpg": (rgb.convert("CMYK"), {}),
        "lossy.webp": (rgb, {"exif": exif}),
        "exact.webp": (Image.fromarray(rgba), {"lossless": True}),
        "raw.tif": (Image.fromarray(rgba), {}),
        "packed.tif": (rgb, {"compression": "tiff_lzw"}),
        "grey16.tif": (wide, {"compression": "tiff_adobe_deflate"}),
        "plain.bmp": (rgb, {}),
    }
    found = {}
    for name, (image, options) in formats.items():
        file = io.BytesIO()
        form = {"jpg": "JPEG", "tif": "TIFF"}.get(name.split(".")[1], name.split(".")[1])
        image.save(file, form, **options)
        found[name] = file.getvalue()
    with tempfile.TemporaryDirectory() as folder:
        colours = 257 * rgba.astype(np.uint16)
        for name, write in {"colours16.png": png, "grey_alpha16.png": png, "colours16.tif": tiff}.items():
            values = colours[..., 2:] if name.startswith("grey") else colours
            found[name] = write(Path(folder) / name, values).read_bytes()
    return found


@pytest.mark.parametrize("name", sound_pictures())
def test_pictures(tmp_path_factory, name):
    folder = tmp_path_factory.mktemp("picture")
    whole = sound_pictures()[name]

    def read(file):
        header = read_header(file)
        size = max(1, min(header.width, 8)), max(1, min(header.height, 8))
        return read_picture(PictureFile(file, *size), "RGBA")[0], read_masks([PictureFile(file, *size)]), size

    @MANY
    @given(damaged_bytes(whole))
    def check(content):
        file = folder / f"damaged.{name.split('.')[1]}"
        file.write_bytes(content)
        if found := sound_or_told(lambda: read(file)):
            picture, masks, (width, height) = found
            assert picture.shape == (height, width, 4) and masks[0].shape == (height, width)

    file = folder / name
    file.write_bytes(whole)
    assert read(file)[0].shape == (8, 8, 4)
    check()


SCENES = {
    "blender": (write_scene, ["transforms_train.json", "transforms_test.json"], {}),
    "multiscale": (write_multiscale, ["metadata.json"], {}),
    "nerfstudio": (
        lambda folder: write_transforms(folder, around(3), size=(32, 22), lens=LENS, aabb_scale=2, k1=0.01),
        ["transforms.json"],
        {"factor": 1, "llffhold": 2},
    ),
    "llff": (lambda folder: write_llff(folder, facing(3), (32, 22), 26.0), ["poses_bounds.npy"], {"factor": 1, "llffhold": 2}),
    "colmap_bin": (
        lambda folder: write_colmap(folder, "bin", motions=around(3)),
        [f"sparse/0/{part}.bin" for part in ("cameras", "images", "points3D")],
        {"img_s": 16, "llffhold": 2},
    ),
    "colmap_txt": (
        lambda folder: write_colmap(folder, "txt", motions=around(3)),
        [f"sparse/0/{part}.txt" for part in ("cameras", "images", "points3D")],
        {"img_s": 16, "llffhold": 2},
    ),
}


@pytest.mark.parametrize("scene", SCENES)
def test_scenes(tmp_path_factory, scene):
    write, names, flags = SCENES[scene]
    folder = tmp_path_factory.mktemp("scene") / "scene"
    write(folder)
    wholes = {name: (folder / name).read_bytes() for name in names}
    options = PointOptions(datadir=str(folder), dataset_type=scene.split("_")[0], no_masks=True, threads=1, **flags)
    check_scene(datasets.load(options))
    text = not names[0].endswith((".bin", ".npy"))

    @MANY
    @given(st.sampled_from(names), st.data())
    def check(name, data):
        whole = wholes[name]
        (folder / name).write_bytes(data.draw(damaged_text(whole.decode()) if text else damaged_bytes(whole)))
        try:
            if scene := sound_or_told(lambda: datasets.load(options)):
                check_scene(scene)
        finally:
            (folder / name).write_bytes(whole)

    check()


def test_masks(tmp_path_factory):
    folder = write_scene(tmp_path_factory.mktemp("masked") / "scene", mode="RGB")
    masks = folder.parent / "masks/train"
    masks.mkdir(parents=True)
    for k in range(3):
        Image.fromarray(np.full((6, 8), 255 * (k % 2), np.uint8)).save(masks / f"r_{k}.png")
    whole = (masks / "r_1.png").read_bytes()
    options = FieldOptions(datadir=str(folder), maskdir=str(masks.parent), threads=1)

    @MANY
    @given(damaged_bytes(whole))
    def check(content):
        (masks / "r_1.png").write_bytes(content)
        if scene := sound_or_told(lambda: datasets.load(options)):
            check_scene(scene)

    check()


def test_config_files(tmp_path_factory):
    file = tmp_path_factory.mktemp("config") / "config.txt"
    sound = parse(["--dataname", "demo"])
    whole = to_config_text(sound)
    file.write_text(whole)
    assert parse(["--config", str(file)]) == sound

    @MANY
    @given(damaged_text(whole))
    def check(content):
        file.write_bytes(content)
        options = sound_or_told(lambda: parse(["--config", str(file)]))
        assert options is None or isinstance(options, Options)

    check()


def check_scene(scene) -> None:
    """All numbers of a loaded scene are finite, and its pictures have the cameras' sizes."""
    assert scene.bounds.isfinite().all() and (scene.bounds[0] < scene.bounds[1]).all()
    assert 0 < scene.near < scene.far < float("inf")
    for split in (scene.train, scene.val, scene.test):
        assert split.cameras.intrinsics.isfinite().all() and split.cameras.camera_to_world.isfinite().all()
        assert len(split.images) == len(split.names) == len(split.cameras.intrinsics)
        for view in range(len(split)):
            assert split.images[view].shape == (*split.cameras.size(view)[::-1], 3)
