"""Camera-to-world matrices: checked, averaged, and moved into another world. All (…, 3, 4) float64, OpenGL axes."""

import math

import numpy as np

from settings.errors import InputError

_RIGID = 1e-3  # largest deviation of R^T R from the identity; it is 2e-6 in the published files
_ABSURD = 1e100  # its square would not be finite


def checked_pose(matrix, where: str, what: str = "transform_matrix") -> np.ndarray:
    """The (3, 4) matrix [R | t] of a (3, 4) or (4, 4) matrix.

    Raises InputError, which begins with `where` and calls the matrix `what`, if R is not a rotation or a value is not finite.
    """
    try:
        pose = np.array(matrix, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        pose = np.empty(0)
    if pose.shape not in ((4, 4), (3, 4)) or any(isinstance(value, bool) for row in matrix for value in row):
        raise InputError(f"{where}: {what} is not a 4x4 or 3x4 matrix of numbers")
    if not np.isfinite(pose).all():
        raise InputError(f"{where}: {what} holds a value that is not finite")
    if pose.shape[0] == 4 and np.abs(pose[3] - (0, 0, 0, 1)).max() > _RIGID:
        raise InputError(f"{where}: the last row of {what} is not 0 0 0 1")
    rotation = pose[:3, :3]
    if np.abs(rotation).max() > _ABSURD:
        raise InputError(f"{where}: the pose is not rigid (the 3x3 part of {what} is not a rotation)")
    squared = rotation.T @ rotation
    scale = math.sqrt(np.trace(squared) / 3)
    if np.abs(squared - np.eye(3)).max() > _RIGID:
        if scale > 0 and np.abs(squared / scale**2 - np.eye(3)).max() <= _RIGID:
            raise InputError(f"{where}: the rotation is scaled by {scale:.4g}: divide its 3x3 part by that")
        raise InputError(f"{where}: the pose is not rigid (the 3x3 part of {what} is not a rotation)")
    if np.linalg.det(rotation) < 0:
        raise InputError(f"{where}: the pose is a mirror image (determinant -1): flip one of its axes")
    return pose[:3]


def look_at(eyes: np.ndarray, targets: np.ndarray, up: np.ndarray) -> np.ndarray:
    """Poses (V, 3, 4) at the positions `eyes` (V, 3) that look at `targets`, (3,) or (V, 3), with `up` (3,) upright."""
    backward = _unit(eyes - targets)
    right = _unit(np.cross(up, backward))
    return np.stack([right, np.cross(backward, right), backward, eyes], axis=-1)


def average_pose(poses: np.ndarray) -> np.ndarray:
    """The pose (3, 4) at the mean of the cameras' centres, along their mean axis, with their mean y axis upright.

    If the cameras have no mean axis, or their mean y axis is parallel to it, its axes are the world's.
    """
    center, up, backward = poses[:, :, 3].mean(0), poses[:, :, 1].mean(0), poses[:, :, 2].mean(0)
    if np.linalg.norm(np.cross(up, backward)) < 1e-6:
        return np.concatenate([np.eye(3), center[:, None]], axis=1)
    return look_at(center[None], center - backward, up)[0]


def similarity(scale: float = 1.0, rotation: np.ndarray | None = None, center=(0.0, 0.0, 0.0)) -> np.ndarray:
    """The (4, 4) matrix that moves `center` to the origin, then rotates by `rotation` (3, 3) and scales: x -> s R (x - c)."""
    matrix = np.eye(4)
    matrix[:3, :3] = scale * (np.eye(3) if rotation is None else rotation)
    matrix[:3, 3] = -matrix[:3, :3] @ np.asarray(center, np.float64)
    return matrix


def transformed_poses(poses: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """The same cameras in a world that was moved by the similarity `matrix` (4, 4); rotations stay rotations."""
    poses = matrix[:3, :3] @ poses
    poses[..., :3] /= np.cbrt(np.linalg.det(matrix[:3, :3]))
    poses[..., 3] += matrix[:3, 3]
    return poses


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
