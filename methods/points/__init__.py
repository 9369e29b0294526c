"""--method points: a cloud of splatted points, its recipes and its training."""

from methods import Method
from methods.points.options import GROUPS, PointOptions

METHOD = Method(PointOptions, "a cloud of splatted points", "methods.points.learn", GROUPS)
