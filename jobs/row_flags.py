"""The flags of main.py that a run of a sweep or a study may have, and the name of its folder."""

import hashlib
import re
from pathlib import Path

from methods.command_line import all_settings, parse
from settings.errors import InputError
from settings.flags import single_letters, spellings
from settings.options import DEMO_SCENES, Options

NEVER = {  # flag: the reason why no such run can have it
    **dict.fromkeys(("basedir", "expname"), "moves the run's folder, but every run has one of its own"),
    "no_reload": "makes a stopped job start from the beginning each time it comes back from the queue",
    **dict.fromkeys(("help", "h"), "prints the help instead of a run"),
}
_REFUSED = {  # the same for a table's line
    **dict.fromkeys(("datadir", "dataname"), "names the scene, which is in the column scene"),
    **dict.fromkeys(("method", "field"), "chooses the method, which is in the column method"),
    "seed": "is in the column seeds",
} | NEVER
_LONGEST = 255  # bytes of a file's name


def check_words(words: list[str], refused: dict[str, str] = _REFUSED) -> None:
    """Raise InputError for a flag, as `--flag value` or `--flag=value`, that contradicts the table or is not possible."""
    known = all_settings()
    names = spellings(known)
    for word in single_letters(words, known):
        name = "h" if re.match(r"-h", word) else names.get(word.partition("=")[0], word.partition("=")[0].removeprefix("--"))
        if word.startswith("-") and name in refused:
            raise InputError(f"{'-' * min(2, len(name))}{name} {refused[name]}: leave it out")


def check_options(words: list[str], folder: Path) -> Options:
    """The options of a whole command line, for the run in `folder`. Raises InputError if a flag is wrong, or if the run would
    have another folder or start from the beginning, also because of the file of --config."""
    options = parse(words)
    named = {"expname": Path(options.basedir or "") != folder, "no_reload": options.no_reload}
    for name, given in named.items():
        if given:
            raise InputError(f"{name}, in the file of --config, {NEVER[name]}: leave it out")
    if options.render_only and options.ft_path is None:
        raise InputError("--render_only shows a model, but a new run's folder has none: name one by --ft_path")
    return options


def check_scene(options: Options, scene: str) -> None:
    """Raise InputError if the file of --config or --dataset_type names another scene than the table."""
    called = (scene,) if scene in DEMO_SCENES else (None, Path(scene).name)
    if options.dataname not in called or options.is_demo != (scene in DEMO_SCENES):
        raise InputError("--dataset_type, or the file of --config, names another scene than the column scene: leave it out")


def with_seed(words: list[str], seed: int, folder: Path) -> list[str]:
    """A run's command line."""
    return [*words, "--seed", str(seed), "--basedir", str(folder)]


def label_of(method: str, words: list[str]) -> str:
    """The method with its flags, for tables."""
    return "_".join([method, *(re.sub(r"[^\w.,:=+@~-]", "-", word.lstrip("-")) for word in words)])


def folder_name(scene: str, label: str, seed: int) -> str:
    """The name of a run's folder: safe in a shell, and short enough for file systems. A long one ends with a checksum instead of
    its last flags."""
    name = re.sub(r"[^\w.,:=+@~-]", "-", f"{scene}_{label}").lstrip("-.~") or "run"
    if len(f"{name}_{seed}".encode()) > _LONGEST:
        start = name.encode()[: _LONGEST - 30].decode(errors="ignore")
        name = f"{start}_{hashlib.sha256(f'{scene}_{label}'.encode()).hexdigest()[:12]}"
    return f"{name}_{seed}"
