"""One transforms.json for all photographs: which of its frames are views, and in which split."""

from PIL import Image

from tests.datasets.changed_transforms import change, change_frame
from tests.datasets.half_size import load, refusal
from tests.datasets.written_photos import POINTS, check_dots, read_json, write_json, write_transforms


def test_views_are_sorted_and_held_out(tmp_path):
    write_transforms(tmp_path)
    content = read_json(tmp_path)
    content["frames"] = content["frames"][::-1]
    write_json(tmp_path, content)
    scene = load(tmp_path)
    assert scene.test.names == ["frame_00000", "frame_00008"] and scene.train.names == [f"frame_{k:05d}" for k in range(1, 8)]
    assert load(tmp_path, llffhold=3, testskip=2).test.names == ["frame_00000", "frame_00006"]
    check_dots(scene.test, POINTS)


def names(numbers) -> list[str]:
    return [f"images/frame_{k:05d}.png" for k in numbers]


def test_the_files_own_splits(tmp_path):
    write_transforms(tmp_path)
    change(tmp_path, train_filenames=names([0, 1, 2, 3]), val_filenames=names([4, 5]), test_filenames=["./" + names([7])[0]])
    scene = load(tmp_path)
    assert [len(scene.train), len(scene.val), scene.test.names] == [4, 2, ["frame_00007"]]
    change(tmp_path, test_filenames=None)
    scene = load(tmp_path)
    assert [len(scene.train), len(scene.val), len(scene.test)] == [4, 0, 2]
    change(tmp_path, val_filenames=None)
    assert [len(load(tmp_path).train), len(load(tmp_path).test)] == [4, 5]
    change(tmp_path, test_filenames=names([3, 4]))
    assert "images/frame_00003.png is both a training view and one to evaluate on" in refusal(tmp_path)
    change(tmp_path, test_filenames=names([3, 40]))
    assert "test_filenames names images/frame_00040.png, which is not the file_path of any frame" in refusal(tmp_path)
    change(tmp_path, test_filenames="all")
    assert "test_filenames is not a list of file names" in refusal(tmp_path)


def test_why_there_are_no_views_to_test(tmp_path):
    write_transforms(tmp_path)
    change(tmp_path, train_filenames=names(range(9)), test_filenames=[])
    assert "its train_filenames lists all 9 images, which leaves no test views" in refusal(tmp_path)
    change(tmp_path, train_filenames=names(range(7)), test_filenames=names([7, 8]))
    for k in (7, 8):
        (tmp_path / names([k])[0]).unlink()
    said = refusal(tmp_path)
    assert "its train_filenames and test_filenames give 2 images as test views, and none of them exists" in said
    assert "images/frame_00007.png" in said


def test_empty_entries_are_none(tmp_path, capsys):
    write_transforms(tmp_path, aabb_scale=None, train_filenames=[], val_filenames=[], k1=None)
    content = read_json(tmp_path)
    content["frames"] = [None, *content["frames"]]
    content["frames"][3] |= {"mask_path": "", "fl_x": None}
    write_json(tmp_path, content)
    scene = load(tmp_path)
    assert (len(scene.train), len(scene.test)) == (7, 2) and "axes meet" in scene.extras["bounds_from"]
    check_dots(scene.train, POINTS)
    assert "1 of 10 frames are null and left out, frame 0 first" in capsys.readouterr().err


def test_frames_without_image_are_not_checked(tmp_path):
    write_transforms(tmp_path)
    change_frame(tmp_path, 4, transform_matrix=[[1]], camera_model="FTHETA")
    assert "frame 4: transform_matrix is not" in refusal(tmp_path)
    (tmp_path / names([4])[0]).unlink()
    assert len(load(tmp_path).train) + len(load(tmp_path).test) == 8


def test_copies_alone_are_enough(tmp_path):
    write_transforms(tmp_path)
    (tmp_path / "images").rename(tmp_path / "images_2")
    for path in (tmp_path / "images_2").iterdir():
        Image.open(path).reduce(2).save(path)
    check_dots(load(tmp_path).train, POINTS)
    assert "has no folder `images`" in refusal(tmp_path, factor=1)


def test_copies_alone_are_enough_where_no_size_is_stated(tmp_path):
    """The photographs are then as many times as large as the folder's name says."""
    write_transforms(tmp_path)
    (tmp_path / "images").rename(tmp_path / "images_4")
    for path in (tmp_path / "images_4").iterdir():
        Image.open(path).reduce(4).save(path)
    content = read_json(tmp_path)
    for key in ("w", "h"):
        del content[key]
    write_json(tmp_path, content)
    scene = load(tmp_path, factor=4)
    assert scene.extras["stored_size"] == (320, 216) and scene.train.images.shape[1:3] == (54, 80)
    check_dots(scene.train, POINTS)
    assert "images_4 is smaller: give --factor 4" in refusal(tmp_path, factor=1)


def test_photographs_without_a_pose_are_counted(tmp_path, capsys):
    write_transforms(tmp_path)
    load(tmp_path)
    assert "pose" not in capsys.readouterr().err
    Image.new("RGB", (9, 9)).save(tmp_path / "images/other.png")
    load(tmp_path)
    assert "9 of 10 photographs have a pose, other.png has none" in capsys.readouterr().err


def test_views_of_folders_are_told_apart(tmp_path):
    write_transforms(tmp_path)
    content = read_json(tmp_path)
    for k, frame in enumerate(content["frames"]):
        path = tmp_path / f"cam{k % 2}/{k // 2}.png"
        path.parent.mkdir(exist_ok=True)
        (tmp_path / frame["file_path"]).rename(path)
        frame["file_path"] = f"cam{k % 2}\\{k // 2}.png"
    write_json(tmp_path, content)
    scene = load(tmp_path)
    assert scene.test.names == ["cam0/0", "cam1/3"] and "4" in scene.train.names


def test_a_photograph_that_is_listed_twice_is_one_view(tmp_path, capsys):
    write_transforms(tmp_path)
    names = load(tmp_path).train.names
    content = read_json(tmp_path)
    content["frames"].insert(3, content["frames"][0])
    write_json(tmp_path, content)
    scene = load(tmp_path)
    assert scene.train.names == names and scene.extras["missing_images"] == 0
    said = "1 of 10 frames name a photograph that an earlier frame names, and are left out (frame 3 first"
    assert said in capsys.readouterr().err


def test_missing_images_are_left_out_and_counted(tmp_path, capsys):
    write_transforms(tmp_path)
    for k in (2, 5):
        (tmp_path / f"images/frame_{k:05d}.png").unlink()
    scene = load(tmp_path)
    assert "2 of 9 images are missing and left out" in capsys.readouterr().err
    assert scene.extras["missing_images"] == 2 and (len(scene.train), len(scene.test)) == (6, 1)
    check_dots(scene.train, POINTS)
    for path in (tmp_path / "images").iterdir():
        path.unlink()
    assert "lists 9 images, but none of them exists" in refusal(tmp_path)
