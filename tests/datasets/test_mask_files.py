"""--maskdir: masks from files, for pictures without an alpha channel and instead of one; and --no_masks."""

import numpy as np
import pytest
from PIL import Image

from datasets.mask_files import find_masks
from datasets.pictures import PictureFile, read_masks
from settings.errors import InputError
from tests.datasets.written_scene import load, refusal, write_scene


def write_masks(folder, value=255, size=(8, 6), splits=("train", "val", "test"), mode="L", count=3):
    """Masks whose lower half is foreground."""
    for split in splits:
        (folder / split).mkdir(parents=True, exist_ok=True)
        for k in range(count):
            mask = np.zeros(size[::-1], np.uint8)
            mask[size[1] // 2 :] = value
            Image.fromarray(mask).convert(mode).save(folder / split / f"r_{k}.png")
    return folder


def test_pictures_without_alpha_take_the_masks(tmp_path):
    folder, masks = write_scene(tmp_path / "scene", mode="RGB"), write_masks(tmp_path / "masks")
    scene = load(folder, maskdir=str(masks))
    assert (scene.train.alpha[:, 3:] == 255).all() and (scene.train.alpha[:, :3] == 0).all()
    assert (scene.train.images[:, :3] == 0).all() and scene.train.images[:, 3:].any()
    assert scene.test.alpha is not None and scene.silhouettes is scene.train


def test_pictures_with_alpha_stay_and_the_masks_carve(tmp_path):
    folder, masks = write_scene(tmp_path / "scene"), write_masks(tmp_path / "masks", splits=("train",))
    plain, scene = load(folder), load(folder, maskdir=str(masks))
    assert np.array_equal(scene.train.alpha, plain.train.alpha) and np.array_equal(scene.train.images, plain.train.images)
    assert (scene.silhouettes.alpha[:, 3:] == 255).all() and (scene.silhouettes.alpha[:, :3] == 0).all()


def test_an_opaque_alpha_channel_is_none(tmp_path):
    folder, masks = write_scene(tmp_path / "scene"), write_masks(tmp_path / "masks")
    assert not load(folder, maskdir=str(masks)).cut_out
    for path in folder.rglob("*.png"):
        Image.open(path).convert("RGB").convert("RGBA").save(path)
    scene = load(folder, maskdir=str(masks))
    assert scene.cut_out and scene.silhouettes is scene.train and (scene.train.images[:, :3] == 0).all()


@pytest.mark.parametrize("value, mode", [(1, "L"), (255, "1"), (255, "RGB"), (200, "L"), (2, "L")])
def test_masks_of_many_kinds_are_read(tmp_path, value, mode):
    folder, masks = write_scene(tmp_path / "scene", mode="RGB"), write_masks(tmp_path / "masks", value, mode=mode)
    alpha = load(folder, maskdir=str(masks)).train.alpha
    assert (alpha[:, 3:] == 255).all() and (alpha[:, :3] == 0).all()


def test_palettes_cut_outs_and_soft_masks_are_read(tmp_path):
    inside = np.zeros((6, 8), bool)
    inside[3:] = True
    labels = Image.fromarray(inside.astype(np.uint8)).convert("P")
    labels.putpalette([0, 0, 0, 128, 0, 0])
    cut_out = np.full((6, 8, 4), 255, np.uint8)
    cut_out[..., 3] = 255 * inside
    soft = np.where(inside, 180, 3).astype(np.uint8)
    for name, picture in {"labels": labels, "cut_out": Image.fromarray(cut_out), "soft": Image.fromarray(soft)}.items():
        picture.save(tmp_path / f"{name}.png")
        assert (read_masks([PictureFile(tmp_path / f"{name}.png", 8, 6)])[0] == 255 * inside).all(), name


def test_masks_shrink_with_their_pictures(tmp_path):
    folder = write_scene(tmp_path / "scene", mode="RGB", size=(32, 24))
    masks = write_masks(tmp_path / "masks", size=(32, 24))
    assert load(folder, maskdir=str(masks), img_s=16).train.alpha.shape == (3, 12, 16)


def test_wrong_masks_are_named(tmp_path):
    folder = write_scene(tmp_path / "scene", mode="RGB")
    assert "is not a folder" in refusal(folder, maskdir=str(tmp_path / "none"))
    masks = write_masks(tmp_path / "masks", splits=("train",))
    assert "test/r_0.png of" in refusal(folder, maskdir=str(masks))
    write_masks(masks, size=(8, 5))
    assert "is 8x5 px, but its picture is 8x6 px" in refusal(folder, maskdir=str(masks))
    write_masks(masks)
    (masks / "train" / "r_1.png").write_bytes(b"no picture")
    assert "r_1.png cannot be decoded" in refusal(folder, maskdir=str(masks))


@pytest.mark.parametrize(
    "layout",
    ["{folder}/{stem}.png", "{stem}.png", "{stem}.jpg.png", "{folder}/{stem}.jpg.png", "{stem}.PNG", "{folder}/{stem}.JPG.Png"],
)
def test_layouts_of_masks(tmp_path, layout):
    pictures = [(tmp_path / f"images/{k}.jpg", [f"images/{k}.jpg"]) for k in range(3)]
    for path, _ in pictures:
        mask = tmp_path / "masks" / layout.format(folder="images", stem=path.stem)
        for file in (path, mask):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"")
    found = find_masks({"train": pictures}, tmp_path / "masks")["train"]
    assert found == [tmp_path / "masks" / layout.format(folder="images", stem=k) for k in range(3)]


def test_the_nearest_name_of_a_mask_wins_and_shared_ones_do_not_count(tmp_path):
    pictures = [(tmp_path / name, [name]) for name in ("images/a/0.jpg", "images/b/0.jpg", "images/b/1.jpg", "images/b/1.png")]
    masks = tmp_path / "masks"
    for path in (
        masks / "images/a/0.png",
        masks / "b/0.png",
        masks / "0.png",
        masks / "b/1.png",
        masks / "1.jpg.png",
        masks / "b/1.png.png",
        *(path for path, _ in pictures),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    found = find_masks({"train": pictures[:2], "test": pictures[2:]}, masks)
    assert found["train"] == [masks / "images/a/0.png", masks / "b/0.png"]
    assert found["test"] == [masks / "1.jpg.png", masks / "b/1.png.png"]
    assert find_masks({"train": pictures[3:]}, tmp_path)["train"] == [tmp_path / "b/1.png"]  # no picture masks itself
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="has no PNG files"):
        find_masks({"train": pictures}, tmp_path / "empty")


def test_a_mask_without_folder_is_shared_only_among_pictures_that_need_one(tmp_path):
    """train/r_0.png and test/r_0.png: masks are for the training views alone if the others have an alpha channel."""
    folder, masks = write_scene(tmp_path / "scene"), tmp_path / "masks"
    flat = write_masks(masks, splits=("train",)) / "train"
    scene = load(folder, maskdir=str(flat))
    assert (scene.silhouettes.alpha[:, 3:] == 255).all() and (scene.silhouettes.alpha[:, :3] == 0).all()
    folder = write_scene(tmp_path / "opaque", mode="RGB")
    assert f"{flat}/r_0.png could be the mask of 2 pictures: name their masks train/r_0.png, test/r_0.png" in refusal(
        folder, maskdir=str(flat)
    )


def test_pictures_without_alpha_need_masks_or_leave_to_do_without(tmp_path):
    folder = write_scene(tmp_path / "scene", mode="RGB")
    assert "--maskdir" in refusal(folder) and "--no_masks" in refusal(folder)
    scene = load(folder, no_masks=True)
    assert scene.train.alpha is None and (scene.silhouettes.alpha == 255).all()


def test_damage_touches_carving_alone(tmp_path):
    folder = write_scene(tmp_path / "scene")
    plain, scene = load(folder), load(folder, pc_jitter_amount=0.3, mask_corruption="erode:50")
    assert np.array_equal(scene.train.alpha, plain.train.alpha) and np.array_equal(scene.train.images, plain.train.images)
    assert not np.array_equal(scene.silhouettes.alpha, plain.train.alpha)
    assert not np.array_equal(scene.silhouettes.alpha, load(folder, pc_jitter_amount=0.3, seed=1).silhouettes.alpha)
