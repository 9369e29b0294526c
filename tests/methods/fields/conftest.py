"""Small fields, which learn in few steps."""

import pytest

from methods.fields import grid_steps
from methods.fields import task as fields
from models.grid_field import GridShape
from models.reflective_field import ReflectiveShape
from models.voxel_field import VoxelShape


@pytest.fixture
def small_steps(monkeypatch):
    """Fewer samples a step, a coarser grid, and cells that are pruned early."""
    monkeypatch.setattr(grid_steps, "SAMPLES", 1 << 12)
    monkeypatch.setattr(grid_steps, "_PRUNE_FROM", 8)
    monkeypatch.setattr(grid_steps, "_EVERY", 4)
    monkeypatch.setattr(fields, "_VALIDATION_RAYS", 2000)
    small = {"levels": 5, "coarsest": 8, "finest": 128, "log2_rows": 13}
    voxels = VoxelShape(**small, density_coarsest=8, density_log2_rows=15)
    shapes = {
        "grid": lambda finest: GridShape(**small),
        "reflective": lambda finest: ReflectiveShape(**small),
        "voxels": lambda finest: voxels,
    }
    monkeypatch.setattr("methods.fields.grid_start._SHAPES", shapes)
    monkeypatch.setattr("methods.fields.grid_start.CELLS", 32)
    monkeypatch.setattr("methods.fields.grid_start._NDC_STEPS", 128)
    monkeypatch.setattr("methods.fields.proposal_start._FINEST", 32)
    monkeypatch.setattr("methods.fields.proposal_steps.SAMPLES", 1 << 12)
    monkeypatch.setattr("methods.fields.unbounded_start.CELLS", 32)
