"""What readers raise becomes one sentence that names the file."""

import struct
import zlib

import pytest

from methods.command_line import parse
from settings.errors import InputError
from system.ranks import Lost
from system.reading import read_json, reading
from system.signals import StopRequested


@pytest.mark.parametrize(
    "problem",
    [
        OSError("no such thing"),
        OSError(36, "File name too long"),
        SyntaxError("bad"),
        ValueError("two\nlines"),
        struct.error("x"),
        zlib.error("y"),
        MemoryError(),
        RecursionError(),
        OverflowError(),
        EOFError(),
        KeyError(3),
        RuntimeError("z" * 9999),
    ],
)
def test_everything_becomes_a_sentence(problem):
    with pytest.raises(InputError) as caught, reading("some/file", "is damaged"):
        raise problem
    said = str(caught.value)
    assert said.startswith("some/file ") and said.isprintable() and len(said) < 400


def test_what_ends_the_program_and_what_is_told_already_pass():
    for problem in (StopRequested("SIGTERM"), Lost("gone"), KeyboardInterrupt(), InputError("told")):
        with pytest.raises(type(problem)) as caught, reading("some/file", "is damaged"):
            raise problem
        assert caught.value is problem


def test_sentences_stay_in_one_line_whatever_files_are_called():
    said = str(InputError("the image a\nb\x1b[31m\udc80\u2028.png is missing"))
    assert said == r"the image a\nb\x1b[31m\udc80\u2028.png is missing"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a": 1,}', "line 1: not valid JSON"),
        ('{"a": {"b": 1, "b": 2}}', "the key 'b' is there twice in one object"),
        ("[" * 200_000, "nested too deeply"),
        ("\0", "line 1: not valid JSON"),
        ("", "line 1: not valid JSON"),
    ],
)
def test_json_that_is_none(tmp_path, text, words):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputError) as caught:
        read_json(tmp_path / "a.json")
    assert words in str(caught.value) and str(tmp_path / "a.json") in str(caught.value)


def test_json_numbers(tmp_path):
    (tmp_path / "a.json").write_text("[12, " + "9" * 5000 + ", -1" + "0" * 400 + "]")
    assert read_json(tmp_path / "a.json") == [12, float("inf"), -float("inf")]


@pytest.mark.parametrize("value", ["1e30", "1" + "0" * 30, "9" * 400, "9" * 5000, "nan", "inf", "2147483648"])
def test_whole_numbers_that_no_kernel_counts_to(tmp_path, value):
    (tmp_path / "c.txt").write_text(f"raster_n = {value}\n")
    for words in (["--raster_n", value], ["--config", str(tmp_path / "c.txt")]):
        with pytest.raises(InputError, match="raster_n"):
            parse(["--dataname", "demo", *words])
