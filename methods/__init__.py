"""A method's way from flags and a scene to a trained run, and what the report holds of it alone."""

from pathlib import Path
from typing import Any

from datasets.scene import Scene, Split
from methods.fields import learn as learn_field
from methods.points import learn as learn_points
from settings.options import Options
from training.run import Run

_METHODS = {"points": learn_points.learn, "nerf": learn_field.learn}


def learn(options: Options, scene: Scene, evaluation: Split, folder: Path) -> tuple[Run, Options, dict[str, Any]]:
    """Train by --method, or load what --render_only shows.

    Returns the run, the options with the method's own values, and fields of `reporting.RunRecord` that only this method has.
    Raises InputError for the user's mistakes.
    """
    return _METHODS[options.method](options, scene, evaluation, folder)
