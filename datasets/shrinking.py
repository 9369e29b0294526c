"""Pictures at a smaller size, by exact averages over areas."""

from functools import lru_cache

import numpy as np
from scipy import sparse

_BLOCK = 4_000_000  # values that are averaged at the same time


def shrink(image: np.ndarray, width: int, height: int, extent: tuple[float, float] | None = None) -> np.ndarray:
    """An image (H, W, C) at a smaller size by exact area averaging of each channel, rounded to its type.

    Output pixel (r, c) is the mean of the input over the rectangle that it covers; partly covered pixels count in proportion
    (OpenCV's INTER_AREA). `extent`: the number of columns and rows of the input, from the top left, that the picture covers; None
    for all. Pillow's resize is not used because it weights colours by alpha.
    """
    rows, columns, channels = image.shape
    across, down = extent or (columns, rows)
    if (columns, rows) == (width, height) == (across, down):
        return image
    by_rows, flat = _area_weights(rows, height, down), image.reshape(rows, columns * channels)
    narrow = np.empty((height, columns * channels), np.float32)
    for block in np.array_split(np.arange(height), -(-flat.size // _BLOCK)):  # not all of it in float32 at once
        if len(block):
            weights = by_rows[block[0] : block[-1] + 1]
            first, last = weights.indices.min(), weights.indices.max() + 1
            narrow[block] = weights[:, first:last] @ flat[first:last].astype(np.float32)
    narrow = narrow.reshape(height, columns, channels).swapaxes(0, 1).reshape(columns, height * channels)
    small = _area_weights(columns, width, across) @ narrow
    return np.rint(small.reshape(width, height, channels).swapaxes(0, 1)).astype(image.dtype)


@lru_cache(maxsize=8)
def _area_weights(size: int, smaller: int, extent: float) -> sparse.csr_matrix:
    """(smaller, size) matrix: each input pixel's weight in each output pixel along one axis; rows sum to 1.

    The output covers the first `extent` of the input's pixels.
    """
    step = extent / smaller
    starts = np.arange(smaller) * step
    first = np.floor(starts + 1e-9).astype(int)
    cells = first[:, None] + np.arange(int(np.ceil(step)) + 1)  # (smaller, touched)
    covered = np.minimum(cells + 1, starts[:, None] + step) - np.maximum(cells, starts[:, None])
    weights = np.where((covered > 1e-9) & (cells < size), covered / step, 0)
    rows = np.broadcast_to(np.arange(smaller)[:, None], cells.shape)
    used = weights > 0
    return sparse.csr_matrix((weights[used].astype(np.float32), (rows[used], cells[used])), (smaller, size))
