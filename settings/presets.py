"""Config files for many scenes: configs/lego_mlp.txt is the preset configs/synthetic_mlp.txt with `dataname = lego`."""

import errno
import io
from pathlib import Path
from typing import TextIO

SCENES = {  # a preset is named after its collection: synthetic.txt, synthetic_mlp.txt, ...
    "synthetic": ("chair", "drums", "ficus", "hotdog", "lego", "materials", "mic", "ship"),
    "llff": ("fern", "flower", "fortress", "horns", "leaves", "orchids", "room", "trex"),
}


def open_config(path: str | Path) -> TextIO:
    """The text of a config file; if there is no such file, that of the scene's preset in its folder and the scene's name.

    Raises OSError if it cannot be read. If the folder has presets, the error names them and their scenes.
    """
    file = Path(path)
    if file.exists() or not (presets := _presets(file.parent)):
        return file.open(encoding="utf-8-sig")  # -sig: editors on Windows write a mark
    scene, separator, variant = file.stem.partition("_")
    collection = next((name for name, scenes in SCENES.items() if scene in scenes), "")
    preset = file.with_name(f"{collection}{separator}{variant}{file.suffix}")
    if preset not in presets:
        reason = f"no such file, and no preset of that name; presets are {_listed(presets)}"
        raise FileNotFoundError(errno.ENOENT, reason, str(file))
    text = io.StringIO(f"{preset.read_text(encoding='utf-8-sig')}\ndataname = {scene}\n")
    text.name = str(preset)  # for messages
    return text


def _presets(folder: Path) -> list[Path]:
    return [path for name in SCENES for path in sorted([*folder.glob(f"{name}.txt"), *folder.glob(f"{name}_*.txt")])]


def _listed(presets: list[Path]) -> str:
    """As "SCENE.txt, SCENE_mlp.txt for chair, drums; SCENE.txt for fern"."""
    parts = []
    for name, scenes in SCENES.items():
        files = [f"SCENE{path.name.removeprefix(name)}" for path in presets if path.stem.partition("_")[0] == name]
        parts += [f"{', '.join(files)} for {', '.join(scenes)}"] if files else []
    return "; ".join(parts)
