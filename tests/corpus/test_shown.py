"""Everything in the corpus is shown to people: its words are there, in words and not as data."""

import dataclasses
import io
import re
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from hostler.cli.paper import Terminal
from hostler.cli.story import Story
from hostler.cli.stream import Frame
from hostler.projections.blocks import frames
from hostler.projections.timeline import timeline
from tests import corpus
from tests.corpus.frame_items import items_of
from tests.corpus.test_kinds import ALL, Shown

SAID = {
    "content", "description", "filePath", "host", "intentDescription", "label", "message", "name", "payload",
    "question", "resultDescription", "title",
}  # fmt: skip
"""Names of fields that hold words for people."""
DATA = re.compile(r"PHASE_|TYPE_|STATE_|ROLE_|'\w+': |\{\"|None\b")
"""What only data looks like."""


def words(body: Any, key: str = "") -> Iterator[str]:
    """Yield the words of a frame that a person should find again."""
    if isinstance(body, Mapping):
        for name, value in body.items():
            yield from words(value, name)
    elif isinstance(body, list):
        for value in body:
            yield from words(value, key)
    elif isinstance(body, str) and key in SAID:
        yield from (line.strip() for line in body.splitlines()[:6] if line.strip() and not line.startswith("```"))


def texts(value: Any) -> str:
    """Return all strings of a value."""
    if dataclasses.is_dataclass(value):
        return texts([getattr(value, field.name) for field in dataclasses.fields(value)])
    if isinstance(value, list | tuple):
        return "\n".join(map(texts, value))
    return str(value) if isinstance(value, str) else ""


def told(shown: list[Frame], monkeypatch: pytest.MonkeyPatch) -> str:
    """Return what the command line prints of frames."""
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setenv("COLUMNS", "200")
    story = Story(full=True, thoughts=True, paper=Terminal())
    for frame in shown:
        story.tell(frame)
    story.close()
    monkeypatch.undo()
    return out.getvalue()


@pytest.mark.parametrize("shown", [one for one in ALL if any(words(one.body))], ids=lambda one: one.where)
def test_the_words_of_a_frame_are_in_its_items(shown: Shown):
    made = texts(list(items_of(shown.tag, shown.body, datetime(2026, 1, 1, tzinfo=UTC))))
    assert not [said for said in words(shown.body) if said not in made]


@pytest.mark.parametrize("shown", [one for one in ALL if any(words(one.body))], ids=lambda one: one.where)
def test_the_words_of_a_frame_are_in_the_terminal(shown: Shown, monkeypatch: pytest.MonkeyPatch):
    printed = told([Frame("1", shown.tag, dict(shown.body))], monkeypatch)
    flat = " ".join(printed.split())
    brief = {
        command["description"] for command in shown.body.get("availableCommands", {}).get("commands", [])
    }  # the terminal names commands in one line, without what they are for
    assert not [said for said in words(shown.body) if said not in brief and " ".join(said.split()) not in flat]
    assert not DATA.search(printed)


@pytest.mark.parametrize("name", corpus.LOGS)
def test_a_log_is_told_in_the_terminal(name: str, monkeypatch: pytest.MonkeyPatch):
    made = frames(name, corpus.log(name))
    printed = told([Frame(str(frame.number), frame.tag, dict(frame.body)) for frame in made], monkeypatch)
    assert "Traceback" not in printed
    assert len(printed.splitlines()) > len(made) / 3


@pytest.mark.parametrize("name", corpus.LOGS)
def test_what_a_log_says_is_in_its_timeline(name: str):
    log = corpus.log(name)
    made = texts(list(timeline(name, log).items))
    spoken = [frame.body for frame in frames(name, log) if "text" in frame.body or frame.tag == 3]
    assert not [said for body in spoken for said in words(body) if said not in made]
