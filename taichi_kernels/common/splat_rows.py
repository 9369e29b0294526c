"""Columns of a splat row: one point on the screen, as projection writes it and splatting reads it."""

COLUMN, ROW, RADIUS = 0, 1, 2  # px
OPACITY = 3  # in [0, 1]
FEATURES = 4  # the first of C features; the row has FEATURES + C columns
