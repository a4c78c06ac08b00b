"""open and share, and the link that run prints."""

import contextlib
import io
import json
import sys
import webbrowser

import pytest

from hostler.cli.main import main
from tests.cli.conftest import Cli
from tests.cli.scripted import ID, OTHER, OWN, Refused, Scripted

URL = "http://here/open/code"
LINK = {"url": URL, "expiresAt": "2026-01-02T00:10:00Z"}
SHARE = "0198c2aa-0009-7000-8000-000000000001"
SECOND = "0198c2ab-0009-7000-8000-000000000002"
SHARED = {"id": SHARE, "may": "view", "name": "Ann", "expiresAt": "2026-01-05T00:00:00Z"}


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was opened in a browser that there is here."""
    seen: list[str] = []

    class Browser(webbrowser.BaseBrowser):
        def open(self, url: str, new: int = 0, autoraise: bool = True) -> bool:
            seen.append(url)
            return True

    monkeypatch.setattr(webbrowser, "_tryorder", [])
    webbrowser.register("tests", None, Browser(), preferred=True)
    return seen


class Terminal(io.StringIO):
    """What looks like a terminal to who writes there."""

    def isatty(self) -> bool:
        return True


def at(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    """Sit before a Linux machine with these variables."""
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SSH_CONNECTION", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def test_open_prints_a_link_to_the_page_of_an_execution(cli: Cli, server: Scripted) -> None:
    server.answers[f"{OWN}/links"] = LINK
    assert cli("open", ID[:13]).lines == [URL]
    assert cli("open").lines == [URL]
    assert json.loads(cli("open", ID, "--json").out) == LINK
    assert [body["path"] for body in server.bodies("links")] == [f"/executions/{ID}", "/", f"/executions/{ID}"]


def test_open_of_nothing_that_there_is_makes_no_link(cli: Cli, server: Scripted) -> None:
    server.answers[f"{OWN}/links"] = LINK
    assert cli("open", "ffff").code == 1
    assert cli("open", "not an id").code == 2
    assert not server.bodies("links")


@pytest.mark.parametrize(
    ("variables", "words", "tty", "opens"),
    [
        ({"DISPLAY": ":0"}, (), True, True),
        ({"WAYLAND_DISPLAY": "w"}, (), True, True),
        ({}, (), True, False),
        ({"DISPLAY": ":0"}, ("--print",), True, False),
        ({"DISPLAY": ":0"}, ("--json",), True, False),
        ({"DISPLAY": ":0", "SSH_CONNECTION": "a b"}, (), True, False),
        ({"DISPLAY": ":0"}, (), False, False),
    ],
)
def test_the_page_is_opened_where_a_person_sits_before_the_screen(
    server: Scripted,
    opened: list[str],
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    words: tuple[str, ...],
    tty: bool,
    opens: bool,
) -> None:
    server.answers[f"{OWN}/links"] = LINK
    at(monkeypatch, **variables)
    out, err = (Terminal() if tty else io.StringIO()), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as ended:
        main(["open", ID, *words])
    assert not ended.value.code
    assert URL in out.getvalue()
    assert opened == ([URL] if opens else [])
    assert ("opened in your browser" in err.getvalue()) == opens


def test_run_says_where_to_watch_it(cli: Cli, server: Scripted) -> None:
    server.answers[f"{OWN}/links"] = LINK
    ended = cli("run", "Mend it", "--detach")
    assert (ended.lines, ended.err) == ([ID], f"watch it: {URL}\n")
    assert json.loads(cli("run", "Mend it", "--detach", "--json").out) == {"type": "execution", "id": ID, "url": URL}
    assert server.bodies("links")[0] == {"path": f"/executions/{ID}"}


def test_run_says_nothing_where_there_is_no_link(cli: Cli, server: Scripted) -> None:
    server.answers[f"{OWN}/links"] = Refused(403, "permission_denied", "no")
    ended = cli("run", "Mend it", "--detach")
    assert (ended.code, ended.lines, ended.err) == (0, [ID], "")
    assert json.loads(cli("run", "Mend it", "--detach", "--json").out) == {"type": "execution", "id": ID}


def test_share_prints_the_address_and_how_to_take_it_back(cli: Cli, server: Scripted) -> None:
    where = f"{OWN}/executions/{ID}/shares"
    server.answers[where] = {**SHARED, "url": "http://here/s/code"}
    ended = cli("share", ID)
    assert ended.lines == ["http://here/s/code"]
    assert ended.err == f"read, until 2026-01-05 00:00; take it back with: hostler share {ID} --revoke {SHARE}\n"
    server.answers[where] = {**SHARED, "may": "send", "url": "http://here/s/code"}
    assert "read and send, until" in cli("share", ID, "--send", "--hours", "8", "--name", "Ann").err
    assert json.loads(cli("share", ID, "--json").out)["url"] == "http://here/s/code"
    view = {"may": "view", "hours": 72, "name": ""}
    assert server.bodies("shares") == [view, {"may": "send", "hours": 8, "name": "Ann"}, view]


def test_shares_are_listed_and_taken_back_by_a_prefix(cli: Cli, server: Scripted) -> None:
    where = f"{OWN}/executions/{ID}/shares"
    server.answers[where] = {"shares": [SHARED, {**SHARED, "id": SECOND, "may": "send", "name": "\x1b[31mBob"}]}
    server.answers[f"{where}/{SECOND}"] = {}
    listed = cli("share", ID, "--list").lines
    assert listed[0].split() == ["ID", "MAY", "UNTIL", "NAME"]
    assert listed[1].split() == [SHARE, "read", "2026-01-05", "00:00", "Ann"]
    assert listed[2].split()[1:4] == ["read", "and", "send"]
    assert listed[2].endswith("Bob")
    assert "\x1b" not in listed[2]
    assert [one["id"] for one in json.loads(cli("share", ID, "--list", "--json").out)] == [SHARE, SECOND]
    assert cli("share", ID, "--revoke", SECOND[:8]).lines == [f"revoked {SECOND}"]
    assert [one.path for one in server.asked if one.method == "DELETE"] == [f"{where}/{SECOND}"]


def test_a_share_that_is_not_clear_is_not_taken_back(cli: Cli, server: Scripted) -> None:
    server.answers[f"{OWN}/executions/{ID}/shares"] = {"shares": [SHARED, {**SHARED, "id": SECOND}]}
    assert cli("share", ID, "--revoke", "0198").code == 2
    assert cli("share", ID, "--revoke", OTHER).code == 1
    assert cli("share", ID, "--revoke", SHARE, "--list").code == 2
    assert cli("share", ID, "--hours", "721").code == 2
    assert not [one for one in server.asked if one.method in ("DELETE", "POST")]


def test_no_shares_are_told(cli: Cli, server: Scripted) -> None:
    server.answers[f"{OWN}/executions/{ID}/shares"] = {"shares": []}
    assert "no shares" in cli("share", ID, "--list").err
