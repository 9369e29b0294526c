"""Words of the command line and lines of config files -> {flag: value}, by the descriptions of the settings."""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import Field
from typing import Any, NamedTuple

import configargparse

from settings.errors import InputError
from settings.options import SIZES, Options, settings_of
from settings.presets import open_config
from settings.setting import plain_type
from settings.translations import Translation
from settings.unsupported_flags import LETTERS, REFUSED
from settings.validation import is_used
from system.reading import reading

_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
_NEEDS_QUOTES = re.compile(r"[\s#;:='\"\[\]]")


class Given(NamedTuple):
    """The flags that a user gave."""

    values: dict[str, Any]  # by their names in this program
    spelled: dict[str, str]  # the words that name them in another way: "netwidth": "--nerf_net_width"

    def explained(self, message: str) -> str:
        """The message about a flag, with the word that the user wrote for it."""
        for name, word in self.spelled.items():
            if re.search(rf"--{name}\b", message) and not re.search(rf"{word}\b", message):
                message += f" ({word} is --{name} here)"
        return message


def read_flags(
    argv: list[str],
    settings: Mapping[str, Field],
    groups: Mapping[str, str],
    examples: str,
    translations: Sequence[Translation] = (),
) -> Given:
    """The flags in the command line's words (without the program's name) and in the config file that they may name; the command
    line wins.

    settings: all that there are; groups: their headings in the help; translations: of flags that have no setting of their own.
    Raises InputError for what is not understood; `--help` prints and exits by SystemExit(0).
    """
    known = dict(settings)
    for translation in translations:
        known |= translation.flags
    argv, names = single_letters(argv, known), spellings(known)
    words = [word.split("=", 1)[0] for word in argv if word.startswith("-") and word != "--"]
    if "-h" not in argv and "--help" not in argv:
        _refuse([word for word in words if word.startswith("--") or word in LETTERS], "", known)
    if words.count("--config") > 1:
        raise InputError("--config is given twice: a run has one config file")
    parser, in_file = _parser(known, groups, examples)
    try:
        values = vars(parser.parse_args(argv))
    except InputError as problem:
        raise InputError(Given({}, _spelled([*in_file, *words], names)).explained(str(problem))) from problem
    values.pop("config", None)
    typed = {names[word] for word in words if word in names}
    spelled = _spelled([*in_file, *words], names)
    for translation in translations:
        values, typed, spelled = translation.applied(values, typed, spelled)
    hidden = set(SIZES) - typed if typed & set(SIZES) else set()  # a size on the command line wins over the file's
    return Given({name: value for name, value in values.items() if name not in hidden}, spelled)


def _spelled(words: list[str], names: dict[str, str]) -> dict[str, str]:
    """`Given.spelled` of the words of a config file and of the command line."""
    return {names[word]: word for word in words if word in names and word != f"--{names[word]}"}


def spellings(settings: Mapping[str, Field]) -> dict[str, str]:
    """{word on the command line: name} of all settings: "--white_bkgd", "--white_bkg" and "-w" are white_bkgd."""
    return {word: name for name, field in settings.items() for word in (f"--{name}", *field.metadata["also"])}


def single_letters(argv: list[str], settings: Mapping[str, Field]) -> list[str]:
    """The words with those like `-ws` cut in `-w -s`, if all of their letters are switches."""
    switches = {*LETTERS, *(word for word, name in spellings(settings).items() if plain_type(settings[name]) is bool)}
    found = []
    for word in argv:
        letters = [f"-{letter}" for letter in word[1:]]
        found += letters if word.startswith("-") and len(letters) > 1 and switches.issuperset(letters) else [word]
    return found


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
        message = re.sub(r"^argument (?:\S+/)?(--\w+): ", r"\1: ", message)
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
    words: list[str]  # that were found, as they would be on the command line

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
                word = f"--{key.removeprefix('--')}"
                name = spellings(self.settings).get(word, word[2:])
                self._check(name, word, value, line, where, found)
                self.words.append(word)
                found[name] = value
        return found

    def _check(self, name: str, word: str, value, line: str, where: str, found: dict) -> None:
        if name in ("config", "help"):
            raise InputError(f"{where}: --{name} belongs on the command line, not in a config file")
        _refuse([word], f"{where}: ", self.settings)
        if name in found:
            raise InputError(f"{where}: {name} is set a second time")
        if isinstance(value, list):
            raise InputError(f"{where}: {name} takes one value, not a list")
        if plain_type(self.settings[name]) is not bool and line.split("#")[0].strip().removeprefix("--") == word[2:]:
            raise InputError(f"{where}: {word[2:]} needs a value: write {word[2:]} = value")


def _refuse(words: list[str], where: str, settings: Mapping[str, Field]) -> None:
    """Raise InputError for flags that have no meaning here or are not known at all."""
    names = {word: LETTERS.get(word, word[2:]) for word in words}
    refused = [f"{word} has no meaning here: {REFUSED[name]}" for word, name in names.items() if name in REFUSED]
    if refused:
        raise InputError(where + "; ".join(refused))
    known = [*spellings(settings), "--config", "--help"]
    for word in words:
        if word not in known:
            near = difflib.get_close_matches(word, known, 1, cutoff=0.65)
            hint = f"did you mean {near[0]}?" if near else "python main.py --help lists all flags"
            raise InputError(f"{where}{word} is not a flag of this program: {hint}")


def _parser(settings: Mapping[str, Field], groups: Mapping[str, str], examples: str) -> tuple[_Parser, list[str]]:
    """The parser, and a list that it fills with the words of the config file."""

    class ConfigFile(_ConfigFile):  # the parser makes its instance itself
        pass

    ConfigFile.settings, ConfigFile.words = settings, []
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
        headings[setting.metadata["group"]].add_argument(
            *sorted(setting.metadata["also"], key=len),
            f"--{name}",
            dest=name,
            type=_reader(setting),
            default=configargparse.SUPPRESS,
            metavar=_metavar(setting),
            help=_help(setting).replace("%", "%%"),
            **switch,
        )
    return parser, ConfigFile.words


class _Help(configargparse.RawDescriptionHelpFormatter):
    """Help with the value behind the last spelling of a flag only: `-w, --white_bkg, --white_bkgd [True|False]`."""

    def _format_action_invocation(self, action) -> str:
        if action.nargs == 0 or not action.option_strings:
            return super()._format_action_invocation(action)
        *others, last = action.option_strings
        return ", ".join([*others, f"{last} {self._format_args(action, str(action.metavar))}"])


def _wide_help(prog: str):
    return _Help(prog, max_help_position=26, width=110)


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
