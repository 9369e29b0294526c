"""The program's command line: every method's flags and the common ones -> the options of one method."""

from dataclasses import Field, replace
from pathlib import Path
from typing import Any

from methods import DEFAULT, Method, all_methods
from settings.errors import InputError
from settings.flags import config_text, read_flags
from settings.options import GROUPS, Options, settings_of
from settings.setting import protocol_word, setting
from settings.translations import Translation, named
from settings.validation import validate

_EXAMPLES = """\
examples:
  python main.py --dataname demo
  python main.py --datadir ./nerf_synthetic/ --dataname hotdog --basedir runs/hotdog --recipe paper
  python main.py --method nerf --datadir ./nerf_synthetic/lego
  python main.py --config configs/lego_points.txt --img_s 200 --epochs 20
  python main.py --config configs/lego_points.txt --render_only --render_test
"""


def parse(argv: list[str]) -> Options:
    """Options from the command line's words (without the program's name) and the config file they may name.

    The command line wins over the config file. Without --method, flags of one method choose it. Without --basedir the
    run's folder is named after the scene, the method and its variant. Raises InputError for anything that is not understood;
    `--help` prints and exits by SystemExit(0).
    """
    given = read_flags(argv, all_settings(), all_groups(), _EXAMPLES, all_translations())
    try:
        return _options(given.values)
    except InputError as problem:
        raise InputError(given.explained(str(problem))) from problem


def _options(values: dict[str, Any]) -> Options:
    """The options of the method that the flags name or are about."""
    method = _chosen(values)
    for name in values:
        if name not in settings_of(method.options):
            raise InputError(
                f"--{name} applies only to --method {' or '.join(_owners(name))} (this run uses {method.name}): remove it"
            )
    options = method.options.from_flags(values)
    validate(options)
    if options.basedir is None and options.expname is None:
        parts = [part for part in (options.scene_name, options.method, options.variant) if part]
        options = replace(options, basedir=f"./logs/{'_'.join(parts)}")
    if options.expname is not None:
        options = replace(options, basedir=str(Path(options.basedir or "./logs") / options.expname), expname=None)
    return options


def to_config_text(options: Options) -> str:
    """The options as a config file, see `settings.flags.config_text`."""
    return config_text(options, all_groups())


def all_groups() -> dict[str, str]:
    """{group: heading} of the flags of all methods, in the order of the help."""
    common = list(GROUPS.items())
    own = [item for method in all_methods().values() for item in method.groups.items()]
    return dict([*common[:2], *own, *common[2:]])


def all_settings() -> dict[str, Field]:
    """{flag: setting} of all methods; of a flag that several have, the first one's."""
    found: dict[str, Field] = {}
    methods = all_methods()
    for method in methods.values():
        found = settings_of(method.options) | found
    words = " or ".join(f"{method.help} ({name})" for name, method in methods.items())
    found["method"] = named(
        "method",
        str,
        setting(
            "method",
            DEFAULT,
            f"what represents the scene: {words}",
            choices=tuple(methods),
            absent=f"{DEFAULT}; another method if one of its flags is given",
        ),
    )
    defaults = ", ".join(f"{method.options.protocol} for {name}" for name, method in methods.items())
    found["protocol"] = named("protocol", str, protocol_word(None, absent=defaults))
    return found


def all_translations() -> list[Translation]:
    """The translations of all methods' flags."""
    return list(dict.fromkeys(each for method in all_methods().values() for each in method.options.translations))


def _owners(flag: str) -> list[str]:
    """The methods that have a flag; an empty list if all have it."""
    found = [name for name, method in all_methods().items() if flag in settings_of(method.options)]
    return [] if len(found) == len(all_methods()) else found


def _chosen(values: dict[str, Any]) -> Method:
    """The method that is named, else the one that the flags are about."""
    name = values.get("method", DEFAULT)
    if name not in all_methods():
        raise InputError(f"--method {name} is not known: choose one of {', '.join(all_methods())}")
    for flag in values if "method" not in values else ():
        owners = _owners(flag)
        name = name if not owners or name in owners else owners[0]
    return all_methods()[name]
