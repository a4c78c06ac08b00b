"""What the server tells of itself: its log through the redactor, its settings without secrets, its versions."""

import contextlib
import io
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import structlog

from hostler import __version__
from hostler.config import Settings
from hostler.core.redaction import Redactor
from hostler.logs import LINES, Recent, configure
from hostler.support import Facts

SECRET = "a-key-of-the-provider"


class Shy(Exception):
    """Says something that is not for everybody when it is written."""

    def __str__(self) -> str:
        return f"refused with {SECRET}"


@dataclass
class Log:
    """The server's log: what is written, and what is remembered."""

    written: io.StringIO
    recent: Recent

    def events(self) -> list[str]:
        return [json.loads(line)["event"] for line in self.written.getvalue().splitlines()]


@pytest.fixture
def log() -> Iterator[Log]:
    """The server's log, and afterwards everything as it was."""
    before, root = structlog.get_config(), logging.getLogger()
    handlers = list(root.handlers)
    written = io.StringIO()
    with contextlib.redirect_stderr(written):
        recent = configure(Redactor([SECRET]), json=True)
    yield Log(written, recent)
    structlog.configure(**before)
    root.handlers = handlers


def test_every_line_is_masked_whoever_says_it_and_whatever_it_is_made_of(log: Log) -> None:
    structlog.get_logger().info("one", said=SECRET, problem=Shy(), raw=SECRET.encode(), deep={"a": [Shy()]})
    logging.getLogger("some.library").warning("two %s", SECRET)
    try:
        raise Shy
    except Shy:
        logging.getLogger("some.library").exception("three")
    assert log.events() == ["one", "two [redacted]", "three"]
    assert log.written.getvalue().count("[redacted]") == 6
    for text in (log.written.getvalue(), "".join(log.recent.lines())):
        assert SECRET not in text
    assert [json.loads(line)["event"] for line in log.recent.lines()] == log.events()


def test_the_last_lines_are_remembered_and_no_more(log: Log) -> None:
    for number in range(LINES + 5):
        structlog.get_logger().info("line", number=number, long="x" * 10_000)
    lines = log.recent.lines()
    assert (len(lines), json.loads(lines[0])["number"]) == (LINES, 5)
    assert len(lines[0]) < 5_000
    assert [json.loads(line)["number"] for line in log.recent.lines('"number": 7,')] == [7]


async def test_settings_are_told_without_what_is_secret_in_them() -> None:
    settings = Settings.model_validate(
        {
            "secrets": [SECRET],
            "database_url": f"postgresql://hostler:{SECRET}@db.example/hostler",
            "models": {"a:b": {"api_key": SECRET, "base_url": f"https://me:{SECRET}@models.example"}},
            "agents": [{"system_prompt": "be kind"}],
            "classes": [{"id": "c", "name": "Regular", "variables": {"TOKEN": SECRET}}],
        }
    )
    facts = Facts(settings, lambda *naming: [f"naming {naming}"])
    whole, others = facts.settings(admin=True), facts.settings(admin=False)
    for told in (whole, others):
        assert SECRET not in json.dumps(told)
        assert told["classes"][0]["variables"] == ["TOKEN"]
        assert told["database"] == "postgresql://[redacted]@db.example/hostler"
    assert whole["agents"][0]["system_prompt"] == "be kind"
    assert "be kind" not in json.dumps(others)
    assert facts.server_log("x") == ["naming ('x',)"]


async def test_versions_are_told_as_far_as_they_are_known() -> None:
    told = await Facts(Settings(), lambda *_: ()).versions()  # pyright: ignore[reportCallIssue]
    assert told["hostler"] == __version__
    assert told["database"].startswith("SQLite 3")
    assert "bubblewrap" in told["bubblewrap"] or told["bubblewrap"] == "not found"
    assert set(told["packages"].values()) != {"not installed"}
