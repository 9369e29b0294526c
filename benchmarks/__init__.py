"""Measurements that anyone can run again, each against a peer in the same run."""

import taichi_kernels  # noqa: F401  sets the environment, before anything loads torch
