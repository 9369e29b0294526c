"""Scene x model -> trained run: initial cloud, recipes, loop, checkpoints."""

from datasets.scene import Scene
from settings.errors import InputError
from settings.options import Options, paper_defaults
from system import ranks
from training.default import Method
from training.loop import fit
from training.paper import paper_recipe
from training.point_run import load_run
from training.recipe import Recipe

__all__ = ["choose_recipe", "fit", "load_run"]


def choose_recipe(options: Options, scene: Scene) -> tuple[Recipe, Options]:
    """The recipe that the options name, at their length, and the options with the recipe's values filled in."""
    if (options.batch_views or ranks.count()) < ranks.count():
        raise InputError(f"--batch_views {options.batch_views} leaves some of {ranks.count()} ranks without a view: give more "
                         "views, or start fewer ranks")
    if options.recipe == "paper":
        options = options.filled(paper_defaults() | {"batch_views": ranks.count()})
        recipe = paper_recipe(options)
    else:
        method = Method()
        options = method.settings(options, scene)
        recipe = method.recipe(options, scene)
    return (recipe.scaled(options.epochs) if options.epochs else recipe), options
