"""Ways to represent and learn a scene: one folder a method, which holds all that is its own.

A package in this folder whose `METHOD` is a `Method` is found automatically: its flags, its names in tables of runs and its
training need no line elsewhere. docs/adding_a_method.md builds one.
"""

import importlib
import pkgutil
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from settings.options import Options

if TYPE_CHECKING:  # which load torch: --help does without
    from datasets.scene import Scene, Split
    from training.run import Run

DEFAULT = "points"


@dataclass(frozen=True)
class Method:
    """A method: its flags, and where its code is."""

    options: type[Options]  # whose default of `method` is the method's name
    help: str  # a description for --help
    code: str  # the module that has `learn`, see `learn` below; it is loaded when the method is run
    groups: dict[str, str] = field(default_factory=dict)  # headings of its own groups of flags
    variants: dict[str, list[str]] = field(default_factory=dict)  # words for tables of runs, and their flags; else its name

    @property
    def name(self) -> str:
        """The word for --method."""
        return self.options.method


@cache
def all_methods() -> dict[str, Method]:
    """{name: method}, the default one first."""
    packages = (importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__) if found.ispkg)
    methods = [package.METHOD for package in packages if hasattr(package, "METHOD")]
    return {method.name: method for method in sorted(methods, key=lambda method: (method.name != DEFAULT, method.name))}


def table_words() -> dict[str, list[str]]:
    """The methods' names in tables of runs, and the flags that each name stands for."""
    return {
        word: ["--method", name, *flags]
        for name, method in all_methods().items()
        for word, flags in (method.variants or {name: []}).items()
    }


def learn(options: Options, scene: "Scene", evaluation: "Split", folder: Path) -> tuple["Run", Options, dict[str, Any]]:
    """Train by --method, or load what --render_only shows.

    Returns the run, the options with the method's own values, and fields of `reporting.RunRecord` that only this method has.
    Raises InputError for the user's mistakes.
    """
    return importlib.import_module(all_methods()[options.method].code).learn(options, scene, evaluation, folder)
