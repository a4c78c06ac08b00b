"""What is written: colour only where it is wanted, no control codes, columns, lengths."""

import io

import pytest

from hostler.cli import screen
from hostler.cli.executions import ago
from hostler.cli.ids import shortened
from hostler.cli.story_blocks import short_diff


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("variables", "stream", "colour"),
    [
        ({}, Terminal(), True),
        ({"NO_COLOR": "1"}, Terminal(), False),
        ({"NO_COLOR": ""}, Terminal(), True),
        ({"TERM": "dumb"}, Terminal(), False),
        ({}, io.StringIO(), False),
        ({"FORCE_COLOR": "1"}, io.StringIO(), True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, Terminal(), False),
    ],
)
def test_colour(variables: dict[str, str], stream: io.StringIO, colour: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert ("\x1b[31m" in screen.paint("x", "red", stream=stream)) is colour


@pytest.mark.parametrize(
    "text", ["\x1b[31m", "\x1b]8;;http://x\x1b\\", "\x1bc", "\x9b2J", "\u202e", "\u2066", "\x00\x08\x7f"]
)
def test_control_codes_are_removed(text: str) -> None:
    assert screen.clean(f"a{text}b") == "ab"


def test_tabs_line_ends_and_other_scripts_stay() -> None:
    assert screen.clean("a\tb\r\nc\rд 漢 🙂") == "a\tb\nc\nд 漢 🙂"


@pytest.mark.parametrize(
    ("stamp", "said"),
    [
        ("2026-01-01T00:00:00Z", "30 s"),
        ("2025-12-31T23:58:30Z", "2 min"),
        ("2025-12-31T21:00:00Z", "3 h"),
        ("2025-12-29T00:00:00Z", "3 d"),
        ("2026-01-01T00:01:00Z", "0 s"),
        ("", ""),
    ],
)
def test_how_long_ago(stamp: str, said: str) -> None:
    assert ago(stamp, now=1767225630.0) == said


def test_short_ids_tell_all_apart() -> None:
    ids = ["aaaaaaaa-0001", "aaaaaaaa-0002", "bbbbbbbb-0001", "aaaaaaaa-0001"]
    assert shortened(ids) == {
        "aaaaaaaa-0001": "aaaaaaaa-0001",
        "aaaaaaaa-0002": "aaaaaaaa-0002",
        "bbbbbbbb-0001": "bbbbbbbb",
    }


def test_a_short_diff_keeps_one_line_around_each_change() -> None:
    groups = [
        {"type": "TYPE_UNCHANGED", "lines": ["1", "2", "3"]},
        {"type": "TYPE_ADDED", "lines": ["new"]},
        {"type": "TYPE_UNCHANGED", "lines": ["4", "5", "6"]},
        {"type": "TYPE_REMOVED", "lines": ["old"]},
    ]
    assert [row for _, row in short_diff(groups)] == ["  3", "+ new", "  4", "  …", "  6", "- old"]
