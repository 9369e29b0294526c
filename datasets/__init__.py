"""Files on disk -> Scene. One loader a file format, and one camera convention: that of `Cameras`."""

from datasets.blender import find_folder, load_blender
from datasets.scene import Scene
from settings.options import Options

__all__ = ["load"]


def load(options: Options) -> Scene:
    """The scene that the options name, at the size and with the splits that they ask for.

    Raises InputError, in one sentence, for whatever is missing or wrong in the files.
    """
    return load_blender(find_folder(options), options, options.scene_name)
