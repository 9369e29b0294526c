"""--method points: a cloud of splatted points, its recipes and its training."""
