"""Scenes of photographs, loaded at half their size and without masks, unless a test says otherwise."""

from pathlib import Path

from tests.datasets import written_scene

_USUAL = {"factor": 2, "no_masks": True}


def load(folder: Path, **settings):
    return written_scene.load(folder, **_USUAL | settings)


def refusal(folder: Path, **settings) -> str:
    return written_scene.refusal(folder, **_USUAL | settings)
