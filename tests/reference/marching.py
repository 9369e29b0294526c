"""Twin of taichi_kernels.marching.march: step by step in double precision, no leaps."""

import math


def march(origin, direction, near, far, jitter, occupied, box, *, step, cone=0.0, most_step=1e10):
    """[(start, end), ...] of one ray, lists of floats; occupied(level, x, y, z) over `cells` per axis is given with its sizes."""
    lookup, cells, levels = occupied
    length = math.dist(direction, (0, 0, 0))
    center = [(a + b) / 2 for a, b in zip(*box, strict=True)]
    half = [(b - a) / 2 for a, b in zip(*box, strict=True)]
    width_at = lambda t: min(max(cone * t * length, step), most_step) / length  # noqa: E731
    t, found = near + jitter * width_at(near), []
    while t < far:
        width = width_at(t)
        q = [(o + (t + width / 2) * d - c) / h for o, d, c, h in zip(origin, direction, center, half, strict=True)]
        level = 0
        while level < levels - 1 and (max(map(abs, q)) > 2**level or width * length > 2 * max(half) / cells * 2**level):
            level += 1
        index = [min(max(math.floor((v / 2**level + 1) / 2 * cells), 0), cells - 1) for v in q]
        if lookup(level, *index):
            found.append((t, t + width))
        t += width
    return found
