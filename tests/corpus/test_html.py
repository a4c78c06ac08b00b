"""Everything in the corpus as HTML: well-formed, with its words, without data or scripts."""

import re
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest

from hostler.projections.blocks import frames
from hostler.projections.timeline import timeline
from hostler.web.rendering import Ways, render
from tests import corpus
from tests.corpus.frame_items import items_of
from tests.corpus.test_kinds import ALL, Shown
from tests.corpus.test_shown import DATA, words

VOID = {"br", "hr", "img", "input", "meta", "link", "wbr"}
MARKS = re.compile(r"[*_`#>|\\-]|\s+")
PAGE, EXPORT = Ways("/executions/x"), Ways()


class Reading(HTMLParser):
    """What a person reads of HTML, and whether every element is closed where it should be."""

    def __init__(self) -> None:
        super().__init__()
        self.text: list[str] = []
        self.open: list[str] = []
        self.ids: list[str] = []
        self.faults: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        self.ids += [known["id"] or ""] if "id" in known else []
        self.faults += [f"{tag} {name}" for name in known if name.startswith("on") or name == "style"]
        self.faults += [tag] if tag in ("script", "style", "iframe", "object") else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"/{tag}")

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(html: str) -> Reading:
    reading = Reading()
    reading.feed(html)
    reading.close()
    assert not reading.open
    assert not reading.faults
    assert len(set(reading.ids)) == len(reading.ids)
    return reading


def bare(text: str) -> str:
    """Return a text without white space and the marks of Markdown."""
    return MARKS.sub("", text)


@pytest.mark.parametrize("ways", [PAGE, EXPORT], ids=["page", "export"])
@pytest.mark.parametrize("shown", [one for one in ALL if any(words(one.body))], ids=lambda one: one.where)
def test_the_words_of_a_frame_are_in_its_html(shown: Shown, ways: Ways):
    text = "".join(read(render(items_of(shown.tag, shown.body, datetime(2026, 1, 1, tzinfo=UTC)), ways)).text)
    assert not [said for said in words(shown.body) if bare(said) not in bare(text)]
    assert not DATA.search(text)


@pytest.mark.parametrize("ways", [PAGE, EXPORT], ids=["page", "export"])
@pytest.mark.parametrize("name", corpus.LOGS)
def test_a_log_as_html_says_what_was_said(name: str, ways: Ways):
    log = corpus.log(name)
    text = bare("".join(read(render(timeline(name, log).items, ways)).text))
    bodies = [frame.body for frame in frames(name, log) if "text" in frame.body or frame.tag != 1]
    queued = {"Then update the README."}
    assert not [said for body in bodies for said in words(body) if said not in queued and bare(said) not in text]
    assert not DATA.search(text)
