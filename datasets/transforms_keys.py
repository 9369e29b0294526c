"""The entries of a transforms.json: those that are used, and those that are not, which a line on stderr names."""

import difflib
from pathlib import Path

# Entries of the file and of its frames that the loaders use.
USED = {
    "frames",
    "file_path",
    "transform_matrix",
    "mask_path",
    "camera_angle_x",
    "camera_angle_y",
    "fl_x",
    "fl_y",
    "cx",
    "cy",
    "w",
    "h",
    "k1",
    "k2",
    "k3",
    "k4",
    "k5",
    "k6",
    "p1",
    "p2",
    "camera_model",
    "is_fisheye",
    "fisheye",
    "ftheta_p0",
    "latlong",
    "equirectangular",
    "aabb_scale",
    "scale",
    "offset",
    "train_filenames",
    "val_filenames",
    "test_filenames",
}
# The same of NeRF-synthetic's files.
BLENDER_USED = USED - {"mask_path", "aabb_scale", "scale", "offset", "train_filenames", "val_filenames", "test_filenames"}
# Entries that change no picture, camera or box. applied_* record changes that were already made to the poses.
HARMLESS = {
    "sharpness",
    "colmap_im_id",
    "colmap_image_id",
    "camera_label",
    "camera_id",
    "image_id",
    "id",
    "name",
    "index",
    "idx",
    "rotation",
    "description",
    "comment",
    "license",
    "version",
    "date",
    "timestamp_utc",
    "metadata",
    "meta",
    "source",
    "exif",
    "depth_unit_scale_factor",
    "integer_depth_scale",
    "camera",
    "blur_score",
    "motion_blur_score",
    "fov",
    "fov_x",
    "fov_y",
    "applied_transform",
    "applied_scale",
    "ply_file_path",
}
# Entries that change what nerfstudio and instant-ngp learn, but are not used here.
UNUSED = {
    "depth_file_path",
    "depth_path",
    "normal_file_path",
    "semantics_path",
    "enable_depth_loading",
    "enable_ray_loading",
    "orientation_override",
    "auto_scale_poses_override",
    "center_method_override",
    "fisheye_crop_radius",
    "rolling_shutter",
    "from_na",
    "from_mitsuba",
    "n_frames",
    "n_extra_learnable_dims",
    "up",
    "render_aabb",
    "white_transparent",
    "black_transparent",
    "mask_color",
    "sharpen",
    "fix_premult",
    "envmap",
    "importance_map",
    "light_dir",
    "light_dirs",
    "driver_parameters",
    "cam_exposure",
    "exposure",
    "s1",
    "s2",
    "s3",
    "s4",
    "scene_scale",
    "scene_center",
    "crop",
    "bbox",
}
MOVING = {"time", "timestamp", "timestamps"}


def unused_entries(top: dict, path: Path, used: set[str] = USED) -> str:
    """A sentence that names the entries of a transforms file that are not in `used`, or "".

    It has separate parts for the entries of moving scenes, and for unknown entries that are spelled almost like known ones.
    """
    keys = set(top).union(*(frame for frame in top["frames"] if isinstance(frame, dict)))
    found = []
    if moving := sorted(keys & MOVING):
        found.append(f"{', '.join(moving)}: the file has times, but the scene is learned as static")
    unknown = sorted(keys - used - HARMLESS - MOVING - UNUSED)
    meant = {key: close for key in unknown if key not in USED and (close := _close(key))}
    plain = sorted(keys & UNUSED | set(unknown) - set(meant))
    if "aabb_scale" not in keys:
        plain = sorted({*plain, *keys & {"scale", "offset"}})
    plain = [key for key in plain if not _changes_nothing(key, top)]
    if plain:
        found.append(f"not used: {', '.join(plain)}")
    found += [f"{key} is not used: is {close} meant?" for key, close in meant.items()]
    return f"{path}: {'; '.join(found)}" if found else ""


def _changes_nothing(key: str, top: dict) -> bool:
    """Whether an unused entry has no effect because of its value: a switch that is off, or n_frames for all frames."""
    value = top.get(key)
    return value is False or (key == "n_frames" and isinstance(value, (int, float)) and value >= len(top["frames"]))


def _close(key: str) -> str | None:
    """The known entry that is spelled almost like this unknown one, or None."""
    known = {_plain(name): name for name in USED}
    if _plain(key) in known:
        return known[_plain(key)]
    close = difflib.get_close_matches(_plain(key), [name for name in known if len(name) > 3], 1, 0.85)
    return known[close[0]] if close else None


def _plain(key: str) -> str:
    return key.casefold().replace("_", "").replace("-", "").replace(" ", "")
