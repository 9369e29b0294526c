"""Words of the command line and lines of config files -> {flag: value}, by the descriptions of the settings."""

import difflib
import re
from collections.abc import Mapping
from dataclasses import Field
from typing import Any

import configargparse

from settings.errors import InputError
from settings.options import SIZES, Options, settings_of
from settings.presets import open_config
from settings.setting import plain_type
from settings.unsupported_flags import REFUSED
from settings.validation import is_used
from system.reading import reading

_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
_NEEDS_QUOTES = re.compile(r"[\s#;:='\"\[\]]")


def read_flags(argv: list[str], settings: Mapping[str, Field], groups: Mapping[str, str], examples: str) -> dict[str, Any]:
    """{flag: value} of the flags in the command line's words (without the program's name) and in the config file that they may
    name; the command line wins.

    settings: all that there are; groups: their headings in the help. Raises InputError for what is not understood; `--help`
    prints and exits by SystemExit(0).
    """
    words = [word.split("=", 1)[0] for word in argv if word.startswith("--") and word != "--"]
    if "-h" not in argv and "--help" not in argv:
        _refuse([word[2:] for word in words], "", settings)
    if words.count("--config") > 1:
        raise InputError("--config is given twice: a run has one config file")
    values = vars(_parser(settings, groups, examples).parse_args(argv))
    typed = {word[2:] for word in words}
    hidden = set(SIZES) - typed if typed & set(SIZES) else set()  # a size on the command line wins over the file's
    return {name: value for name, value in values.items() if name != "config" and name not in hidden}


def config_text(options: Options, groups: Mapping[str, str]) -> str:
    """The options that the run uses as `flag = value` lines under headings; a file with this text is understood by --config."""
    lines = []
    for group in groups:
        shown = {
            name: getattr(options, name)
            for name, field in settings_of(options).items()
            if field.metadata["group"] == group and is_used(field, options)
        }
        texts = [f"{name} = {_quoted(value)}" for name, value in shown.items() if value is not None]
        lines += [*([""] if lines else []), f"# {group}", *texts] if texts else []
    return "\n".join(lines) + "\n"


def _quoted(value: Any) -> Any:
    return f'"{value}"' if isinstance(value, str) and _NEEDS_QUOTES.search(value) else value


class _Parser(configargparse.ArgumentParser):
    """The library's parser, with its complaints turned into InputError sentences."""

    def error(self, message: str):
        message = re.sub(r"^argument (--\w+): ", r"\1: ", message)
        message = re.sub(r"^unrecognized arguments: (.*)", r"not understood: \1 (every setting is --flag value)", message)
        message = re.sub(
            r"^Unable to open config file: (.*)\. Error: .*?(?:\] )?([^\]:]+)(?:: '.*')?$",
            r"--config: cannot open \1 (\2)",
            message,
        )
        raise InputError(message)


class _ConfigFile(configargparse.DefaultConfigFileParser):
    """`flag = value` lines, `#` comments; errors in a line are reported with its number."""

    settings: Mapping[str, Field]

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

    def _check(self, name: str, value, line: str, where: str, found: dict) -> None:
        if name in ("config", "help"):
            raise InputError(f"{where}: --{name} belongs on the command line, not in a config file")
        _refuse([name], f"{where}: ", self.settings)
        if name in found:
            raise InputError(f"{where}: {name} is set a second time")
        if isinstance(value, list):
            raise InputError(f"{where}: {name} takes one value, not a list")
        if plain_type(self.settings[name]) is not bool and line.split("#")[0].strip().removeprefix("--") == name:
            raise InputError(f"{where}: {name} needs a value: write {name} = value")


def _refuse(names: list[str], where: str, settings: Mapping[str, Field]) -> None:
    """Raise InputError for flags that have no meaning here or are not known at all."""
    refused = [f"--{name} has no meaning here: {REFUSED[name]}" for name in names if name in REFUSED]
    if refused:
        raise InputError(where + "; ".join(refused))
    known = [*settings, "config", "help"]
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean --{near[0]}?" if near else "python main.py --help lists all flags"
            raise InputError(f"{where}--{name} is not a flag of this program: {hint}")


def _parser(settings: Mapping[str, Field], groups: Mapping[str, str], examples: str) -> _Parser:
    class ConfigFile(_ConfigFile):  # the parser makes its instance itself
        pass

    ConfigFile.settings = settings
    parser = _Parser(
        prog="python main.py",
        usage="python main.py [--config FILE] [--flag value ...]",
        allow_abbrev=False,
        description="Learn a scene from photographs as a cloud of points or a radiance field; show and measure what was learned.",
        epilog=examples,
        formatter_class=_wide_help,
        add_config_file_help=False,
        add_env_var_help=False,
        config_file_parser_class=ConfigFile,
        config_file_open_func=open_config,
    )
    parser.add_argument(
        "--config",
        is_config_file=True,
        metavar="FILE",
        help="read flags from a file of `flag = value` lines; the command line wins over it",
    )
    headings = {name: parser.add_argument_group(name, text) for name, text in groups.items()}
    for name, setting in settings.items():
        wanted = plain_type(setting)
        switch = {"nargs": "?", "const": True} if wanted is bool else {}
        names = [word for word in (setting.metadata["short"], f"--{name}") if word]
        headings[setting.metadata["group"]].add_argument(
            *names,
            type=_reader(setting),
            default=configargparse.SUPPRESS,
            metavar=_metavar(setting),
            help=_help(setting).replace("%", "%%"),
            **switch,
        )
    return parser


def _wide_help(prog: str):
    return configargparse.RawDescriptionHelpFormatter(prog, max_help_position=26, width=110)


def _metavar(setting) -> str:
    story = setting.metadata
    if story["form"] or story["choices"]:
        return story["form"] or "|".join(story["choices"])
    return {bool: "True|False", int: "N", float: "X"}[plain_type(setting)]


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
    wanted = plain_type(setting)

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
