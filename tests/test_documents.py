"""Documents name commands, flags and files that exist."""

import re
import shlex
from pathlib import Path

import pytest

from jobs.sweep import read_table
from methods.command_line import all_settings, all_translations, parse
from settings.errors import InputError
from settings.flags import spellings

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
_MAIN = re.compile(r"(?:python main\.py|jobs/(?:train|multi_gpu)\.sbatch|main\.py) (.+)")
_PLACEHOLDERS = ("…", "...", "FOLDER", "FILE")


def commands(text: str) -> list[str]:
    """The code of a page: lines of blocks and `spans`."""
    blocks = re.findall(r"^```\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))
    return [line.strip() for block in blocks for line in block.splitlines()] + spans


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_are_understood(page, monkeypatch):
    """By the program's own parser; nothing is run."""
    monkeypatch.chdir(ROOT)
    refused = {}
    for command in commands(page.read_text(encoding="utf-8")):
        found = _MAIN.search(command)
        if not found or any(word in command for word in _PLACEHOLDERS):
            continue
        words = shlex.split(found[1], comments=True)
        if "--help" not in words:
            named = {"--datadir", "--dataname", "--config"} & set(words)
            try:
                parse(words if named else [*words, "--dataname", "x"])
            except (InputError, SystemExit) as problem:
                refused[command] = problem
    assert not refused


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_flags_exist(page):
    """Every `--flag` of a page is the program's, or one of its tools'."""
    files = [path for room in ("jobs", "benchmarks", "tests") for path in (ROOT / room).glob("*.py")]
    tools = "".join(path.read_text(encoding="utf-8") for path in files)
    others = ("--nproc-per-node", "--time", "--help", "--config")
    flags = set(re.findall(r"(?<![\w-])--[a-zA-Z][\w-]*", page.read_text(encoding="utf-8")))
    known = spellings(all_settings() | {name: field for each in all_translations() for name, field in each.flags.items()})
    unknown = [flag for flag in flags if flag not in known and flag not in others and f'"{flag}"' not in tools]
    assert not [flag for flag in unknown if "one_colour" not in page.read_text(encoding="utf-8")], unknown


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_files_exist(page):
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (page.parent / link).exists(), f"{page.name} links to {link}"
    rooms = "benchmarks|configs|datasets|jobs|methods|models|reporting|settings|system|taichi_kernels|tests|training"
    for name in re.findall(rf"((?:{rooms})/[\w/]+\.[\w.]+\w)", text):
        made = name.startswith("configs/") or "one_colour" in name or name == "jobs/cluster.env"
        assert (ROOT / name).exists() or made, f"{page.name} names {name}"


def test_make_targets_exist():
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for page in PAGES:
        for target in re.findall(r"`make ([\w-]+)", page.read_text(encoding="utf-8")):
            assert target in targets, f"{page.name}: make {target}"


def test_the_readmes_table_of_runs_is_one(tmp_path):
    """The example of a sweep's table in docs/cluster.md."""
    lines = re.findall(r"^#   (.+)$", (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8"), re.MULTILINE)
    scene = tmp_path / "lego"
    scene.mkdir()
    (scene / "transforms_train.json").write_text("{}")
    (tmp_path / "table.csv").write_text("\n".join(lines).replace("nerf_synthetic/lego", str(scene)))
    assert [run.method for run in read_table(tmp_path / "table.csv", tmp_path)] == ["points_recipe_paper"] * 3


def test_python_versions_agree():
    """pyproject.toml states them; README, linter and environment say the same."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    first, beyond = re.search(r'requires-python = ">=3\.(\d+),<3\.(\d+)"', project).groups()
    assert f"Python 3.{first} to 3.{int(beyond) - 1}" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert f'target-version = "py3{first}"' in project
    conda = re.search(r"python=(3\.\d+)", (ROOT / "environment.yml").read_text(encoding="utf-8"))
    assert conda and int(first) <= int(conda[1].split(".")[1]) < int(beyond)
