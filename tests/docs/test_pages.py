"""What the pages name exists: links, files, commands and their options, make targets, variables, settings, words."""

import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined
from typer.testing import CliRunner

from hostler.cli.main import app
from hostler.cli.settings_file import toml
from hostler.config import Settings
from tests.docs.pages import PAGES, ROOT, blocks, headings, prose

IDS = [str(page.relative_to(ROOT)) for page in PAGES]
every_page = pytest.mark.parametrize("page", PAGES, ids=IDS)
SHELL = ("", "sh", "console")
PLACES = r"(?:src|tests|docs|examples|proto|requirements|scripts)/[\w./-]*"
WORDS_OF_DEFAULTS = {"allow", "agents.description"}
"""Settings whose default is too long for a table."""


def anchor(heading: str) -> str:
    """Return the name by which a heading is linked."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if target.startswith(("https://", "http://")):
            continue
        name, _, fragment = target.partition("#")
        linked = (page.parent / name).resolve() if name else page
        assert linked.exists(), f"{page.name} links to {target}"
        if fragment:
            assert fragment in map(anchor, headings(linked)), f"{page.name} links to {target}"


@every_page
def test_files_that_are_named_exist(page: Path) -> None:
    named = set(re.findall(rf"(?<![\w/.]){PLACES}", page.read_text()))
    missing = {
        name for name in named if "NAME" not in name and not (ROOT / name.rstrip(".")).exists() and "://" not in name
    }
    assert not missing


def test_pages_that_the_code_names_exist() -> None:
    for file in (ROOT / "src" / "hostler").rglob("*.py"):
        for name in re.findall(r"docs/[\w/-]+\.md", file.read_text()):
            assert (ROOT / name).exists(), f"{file.relative_to(ROOT)} names {name}"


def shell_commands(page: Path) -> Iterator[str]:
    """Yield each line that begins with `hostler`, in blocks of shell commands and in quoted words."""
    for block in blocks(page):
        if block.kind in SHELL:
            for line in block.text.splitlines():
                yield from re.findall(r"(?:^|[$(] ?|&& )(hostler [a-z][^#)]*)", line)
    yield from re.findall(r"`(hostler [a-z][^`]*)`", prose(page))


@cache
def help_of(*words: str) -> str | None:
    """Return a command's help; None when there is no such command."""
    done = CliRunner().invoke(app, [*words, "--help"], prog_name="hostler")
    return done.output if done.exit_code == 0 else None


@every_page
def test_commands_and_options_that_are_shown_exist(page: Path) -> None:
    for line in shell_commands(page):
        words = re.sub(r'"[^"]*"', "TEXT", line).split(" -- ")[0].split()[1:]
        name = words[:1]
        text = help_of(*name)
        assert text is not None, f"{page.name} shows: {line}"
        if re.search(r"^Usage: .* COMMAND", text, flags=re.MULTILINE) and len(words) > 1:
            text = help_of(*words[: 3 if words[0] in ("queue", "goal") else 2])
            assert text is not None, f"{page.name} shows: {line}"
        for option in (word.split("=")[0].rstrip(",.") for word in words if word.startswith("--")):
            assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", text), f"{page.name} shows: {line}"


@every_page
def test_make_targets_that_are_shown_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    shown = {
        target
        for block in blocks(page)
        if block.kind in SHELL
        for target in re.findall(r"^(?:.* )?make ([a-z]+)", block.text, flags=re.MULTILINE)
    }
    shown |= set(re.findall(r"`make ([a-z]+)", prose(page)))
    assert shown <= targets


def fields(model: type[BaseModel], before: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted name, default) of every setting, those of tables instead of the table's own."""
    for name, field in model.model_fields.items():
        if inner := section(field.annotation):
            yield from fields(inner, f"{before}{name}.")
        else:
            default = field.get_default(call_default_factory=True)
            yield f"{before}{name}", default


def section(annotation: Any) -> type[BaseModel] | None:
    """Return the model of a table, or of the tables in a list or mapping."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inner = get_args(annotation) if get_origin(annotation) is not None else ()
    return next((found for one in inner if (found := section(one))), None)


def rows(page: Path) -> list[list[str]]:
    """Return the cells of every row of the tables of a page."""
    lines = re.findall(r"^\| (.*) \|$", prose(page), flags=re.MULTILINE)
    return [[cell.strip() for cell in line.split(" | ")] for line in lines]


def test_every_setting_is_in_the_table_with_its_default() -> None:
    page = ROOT / "docs" / "configuration.md"
    shown = {row[0].strip("`"): row[1] for row in rows(page) if re.fullmatch(r"`[a-z_.]+`", row[0])}
    known = dict(fields(Settings))
    providers = {row[0].strip("`") for row in rows(page)} & {"anthropic", "scripted"}
    assert shown.keys() - providers == known.keys()
    for name, default in known.items():
        if default is PydanticUndefined:
            assert shown[name] == "needed"
        elif name not in WORDS_OF_DEFAULTS:
            assert shown[name] == f"`{toml(default)}`", name


@every_page
def test_variables_that_are_named_are_read_somewhere(page: Path) -> None:
    sources = [*(ROOT / "src").rglob("*.py"), *(ROOT / "examples").glob("*.sh")]
    texts = [file.read_text() for file in sources]
    settings = {f"HOSTLER_{name.upper().replace('.', '__')}" for name, _ in fields(Settings)}
    for name in set(re.findall(r"\bHOSTLER_[A-Z_]*[A-Z]\b", page.read_text())):
        assert name in settings or any(name in text for text in texts), name


def test_a_word_has_one_meaning() -> None:
    words = Counter(row[0] for row in rows(ROOT / "docs" / "glossary.md"))
    del words["word"]
    assert len(words) > 50
    assert [word for word, count in words.items() if count > 1] == []


@every_page
def test_pages_speak_of_the_project_alone(page: Path) -> None:
    foreign = re.findall(r"/(?:work|root|home/(?!agent)\w+)/[\w/]*|\bissue #?\d+", page.read_text())
    assert not foreign


def test_the_readme_begins_with_what_is_needed_before_make() -> None:
    first = (ROOT / "README.md").read_text().splitlines()[0]
    for needed in ("Debian 12", "Ubuntu 24.04", "`make`", "`git`", "`python3-venv`"):
        assert needed in first
