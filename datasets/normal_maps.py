"""Normal maps: unit vectors as bytes."""

import numpy as np

_SHORTEST, _LONGEST = 0.25, 1.3  # lengths that count as normals: rims are averages with nothing, which is grey or black


def encoded_normals(vectors: np.ndarray) -> np.ndarray:
    """Vectors (..., 3) of any length as uint8 (..., 3): 255 (n + 1) / 2 of their unit vectors n, rounded; 0 for the vector 0."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    unit = vectors / np.maximum(length, 1e-12)
    return np.where(length > 0, np.rint(127.5 * (unit + 1)), 0).astype(np.uint8)


def decoded_normals(stored: np.ndarray) -> np.ndarray:
    """Unit vectors (..., 3) float32 of uint8 (..., 3) that hold 255 (n + 1) / 2; 0 where there is no normal.

    There is none where the stored vector is much shorter or longer than 1, as black and grey are.
    """
    vectors = stored.astype(np.float32) / 127.5 - 1
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.where((length > _SHORTEST) & (length < _LONGEST), vectors / np.maximum(length, 1e-12), 0)
