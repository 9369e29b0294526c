"""The command line and the config files, generated from the fields of `Options`."""

import difflib
import re
from dataclasses import fields, replace
from pathlib import Path

import configargparse

from settings.errors import InputError
from settings.options import GROUPS, Options, kind
from settings.presets import open_config
from settings.refused import REFUSED
from settings.validation import heeded, validate
from system.reading import reading

_SETTINGS = {setting.name: setting for setting in fields(Options)}
_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
_NEEDS_QUOTES = re.compile(r"[\s#;:='\"\[\]]")
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

    The command line wins over the config file. Without --basedir the run's folder is named after the scene,
    the method and the recipe. Stages of the fork (--posFirst, --shAlone) choose recipe paper where none is
    named. Raises InputError for anything that is not understood; `--help` prints and
    exits by SystemExit(0).
    """
    words = [word.split("=", 1)[0] for word in argv if word.startswith("--") and word != "--"]
    if "-h" not in argv and "--help" not in argv:
        _refuse([word[2:] for word in words], "")
    if words.count("--config") > 1:
        raise InputError("--config is given twice: a run has one config file")
    parser = _parser()
    parser.set_defaults(recipe=None, protocol=None, method=None, field=None, **dict.fromkeys(_flags_of("rays", "network")))
    given = vars(parser.parse_args(argv))
    _choose_method(given)
    if given["recipe"] is None:  # the fork's command names no recipe: its stages belong to the paper's
        stages_of_the_fork = "YES" in (given["posFirst"], given["shAlone"])
        given["recipe"] = "paper" if stages_of_the_fork else _SETTINGS["recipe"].default
    if given["protocol"] is None:
        given["protocol"] = "paper" if given["method"] == "points" else "standard"
    options = Options(**{name: given[name] for name in _SETTINGS})
    validate(options)
    if options.basedir is None and options.expname is None:
        variant = f"_{options.recipe}" if options.method == "points" else "" if options.field == "grid" else f"_{options.field}"
        name = f"{options.scene_name}_{options.method}{variant}"
        options = replace(options, basedir=f"./logs/{name}")
    if options.expname is not None:
        options = replace(options, basedir=str(Path(options.basedir or "./logs") / options.expname), expname=None)
    return options


def _flags_of(*groups: str) -> list[str]:
    return [name for name, setting in _SETTINGS.items() if setting.metadata["group"] in groups]


def _choose_method(given: dict) -> None:
    """Fill in the method and its field where they are not named, from the flags of theirs that are, and these flags' defaults.

    Raises InputError where such a flag is given and another method or field is named.
    """
    rays, network = ([name for name in _flags_of(group) if given[name] is not None] for group in ("rays", "network"))
    if given["field"] is None and network:
        given["field"] = "mlp"
    if given["method"] is None:
        given["method"] = "nerf" if given["field"] or rays else _SETTINGS["method"].default
    given["field"] = given["field"] or _SETTINGS["field"].default
    for names, about, wanted in ((rays + network, "method", "nerf"), (network, "field", "mlp")):
        if names and given[about] != wanted:
            raise InputError(f"--{names[0]} is about --{about} {wanted}, and this is --{about} {given[about]}: drop the flag")
    given |= {name: _SETTINGS[name].default for name in _flags_of("rays", "network") if given[name] is None}


def to_config_text(options: Options) -> str:
    """The options that the run heeds as `flag = value` lines under headings; a file with this text is understood by --config."""
    lines = []
    for group in GROUPS:
        if not any(s.metadata["group"] == group and heeded(s, options) for s in _SETTINGS.values()):
            continue
        lines += ["", f"# {group}"] if lines else [f"# {group}"]
        for name, setting in _SETTINGS.items():
            value = getattr(options, name)
            if setting.metadata["group"] != group or value is None or not heeded(setting, options):
                continue
            text = f'"{value}"' if isinstance(value, str) and _NEEDS_QUOTES.search(value) else value
            lines.append(f"{name} = {text}")
    return "\n".join(lines) + "\n"


class _Parser(configargparse.ArgumentParser):
    """The library's parser, with its complaints turned into InputError sentences."""

    def error(self, message: str):
        message = re.sub(r"^argument (--\w+): ", r"\1: ", message)
        message = re.sub(r"^unrecognized arguments: (.*)",
                         r"not understood: \1 (every setting is --flag value)", message)
        message = re.sub(r"^Unable to open config file: (.*)\. Error: .*?(?:\] )?([^\]:]+)(?:: '.*')?$",
                         r"--config: cannot open \1 (\2)", message)
        raise InputError(message)


class _ConfigFile(configargparse.DefaultConfigFileParser):
    """`flag = value` lines, `#` comments; what is wrong with a line is told with its number."""

    def parse(self, stream) -> dict:
        file, found = getattr(stream, "name", "config file"), {}
        with reading(f"--config: {file}", "is not a text file of `flag = value` lines"):
            lines = stream.read().splitlines()
        for number, line in enumerate(lines, 1):
            where = f"{file}, line {number}"
            try:
                items = super().parse([line])
            except (configargparse.ConfigFileParserException, ValueError, SyntaxError, RecursionError, MemoryError) as problem:
                raise InputError(f"{where}: cannot read {line.strip()[:80]!r}: write flag = value") from problem
            for key, value in items.items():
                name = key.removeprefix("--")
                self._check(name, value, line, where, found)
                found[name] = value
        return found

    @staticmethod
    def _check(name: str, value, line: str, where: str, found: dict) -> None:
        if name in ("config", "help"):
            raise InputError(f"{where}: --{name} belongs on the command line, not in a config file")
        _refuse([name], f"{where}: ")
        if name in found:
            raise InputError(f"{where}: {name} is set a second time")
        if isinstance(value, list):
            raise InputError(f"{where}: {name} takes one value, not a list")
        if kind(_SETTINGS[name]) is not bool and line.split("#")[0].strip().removeprefix("--") == name:
            raise InputError(f"{where}: {name} needs a value: write {name} = value")


def _refuse(names: list[str], where: str) -> None:
    """Raise InputError for flags that have no meaning here or are not known at all."""
    refused = [f"--{name} has no meaning here: {REFUSED[name]}" for name in names if name in REFUSED]
    if refused:
        raise InputError(where + "; ".join(refused))
    known = [*_SETTINGS, "config", "help"]
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean --{near[0]}?" if near else "python main.py --help lists all flags"
            raise InputError(f"{where}--{name} is not a flag of this program: {hint}")


def _parser() -> _Parser:
    parser = _Parser(
        prog="python main.py", usage="python main.py [--config FILE] [--flag value ...]", allow_abbrev=False,
        description="Learn a scene from photographs as a cloud of points or a radiance field; show and measure what was learned.",
        epilog=_EXAMPLES, formatter_class=_wide_help, add_config_file_help=False, add_env_var_help=False,
        config_file_parser_class=_ConfigFile, config_file_open_func=open_config)
    parser.add_argument("--config", is_config_file=True, metavar="FILE",
                        help="read flags from a file of `flag = value` lines; the command line wins over it")
    groups = {name: parser.add_argument_group(name, text) for name, text in GROUPS.items()}
    for name, setting in _SETTINGS.items():
        wanted = kind(setting)
        switch = {"nargs": "?", "const": True} if wanted is bool else {}
        names = [word for word in (setting.metadata["short"], f"--{name}") if word]
        groups[setting.metadata["group"]].add_argument(
            *names, type=_reader(setting), default=setting.default, metavar=_metavar(setting),
            help=_help(setting).replace("%", "%%"), **switch)
    return parser


def _wide_help(prog: str):
    return configargparse.RawDescriptionHelpFormatter(prog, max_help_position=26, width=110)


def _metavar(setting) -> str:
    story = setting.metadata
    if story["form"] or story["choices"]:
        return story["form"] or "|".join(story["choices"])
    return {bool: "True|False", int: "N", float: "X"}[kind(setting)]


def _help(setting) -> str:
    """Meaning, unit and default of a flag, in one line."""
    story = setting.metadata
    notes = [story["unit"]] if story["unit"] else []
    if story["paper"] is not None:
        notes.append(f"recipe paper: {story['paper']:g}")
    elif story["absent"]:
        notes.append(f"default: {story['absent']}")
    elif setting.default is not None and setting.default is not False:
        notes.append(f"default: {setting.default}")
    return story["help"] + (f" [{'; '.join(notes)}]" if notes else "")


def _reader(setting):
    """The function that turns a flag's word into its value, or says in a sentence why it cannot."""
    wanted = kind(setting)

    def read(word: str):
        if wanted is bool:
            if word.lower() in _TRUE + _FALSE:
                return word.lower() in _TRUE
            raise configargparse.ArgumentTypeError(f"{word!r} is neither True nor False")
        try:
            return wanted(word)
        except ValueError:
            what = {int: "a whole number", float: "a number"}[wanted]
            raise configargparse.ArgumentTypeError(f"{word!r} is not {what}") from None

    return read
