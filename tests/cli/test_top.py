"""hostler top, with a person's keys: what is shown, what is asked of the server, and what happens when it goes away."""

import re
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, OptionList

from hostler.cli import places
from hostler.cli.client import Client
from hostler.cli.glance import lasted, short_number
from hostler.cli.places import Server
from hostler.cli.top_app import Top
from hostler.cli.top_list import Listing
from tests.cli.conftest import Cli
from tests.cli.scripted import ID, OTHER, OWN, TOKEN, Json, Scripted, block, seen, text
from tests.cli.seat import Seat
from tests.cli.test_answering import COLOUR, SIZE, STEPS
from tests.server import HostlerProcess

PATIENCE = 60.0
SIZE_OF_SCREEN = (80, 24)
HELLO = {"id": "0198c2aa-0005-7000-8000-000000000005", "inputs": [{"text": {"content": "hello"}}]}
THIRD = "0198c2aa-0004-7000-8000-000000000004"


def entry(id_: str = ID, standing: str = "working", name: str = "Mend it", **more: Any) -> Json:
    phase = {"needs": "WAITING_FOR_INPUT", "working": "RUNNING", "done": "WAITING_FOR_INPUT"}[standing]
    return {
        "id": id_,
        "standing": standing,
        "metadata": {"name": name, "updatedAt": "2026-01-01T00:00:00Z"},
        "status": {"phase": f"PHASE_{phase}", "inputTokensUsed": "12000", "currentActivity": "running bash"},
        "hostler": {"agent": "hostler", "turnSince": "2026-01-01T00:00:00Z", **more.pop("hostler", {})},
        **more,
    }


def listed(server: Scripted, *entries: Json) -> None:
    server.overview = list(entries)


def asking(server: Scripted, *questions: Json) -> None:
    listed(server, entry(standing="needs", waitingFor="an answer", hostler={"openQuestions": list(questions)}))


@asynccontextmanager
async def opened(client: Client, size: tuple[int, int] = SIZE_OF_SCREEN, **how: str) -> AsyncIterator[Pilot[str]]:
    async with Top(client, **how).run_test(size=size, notifications=True) as pilot:
        yield pilot


def screen(pilot: Pilot[str]) -> str:
    """What stands on the screen, row by row."""
    return "\n".join(
        "".join(segment.text for segment in strip).rstrip() for strip in pilot.app.screen._compositor.render_strips()
    )


async def until(pilot: Pilot[str], holds: Callable[[], object]) -> str:
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, screen(pilot)
        await pilot.pause(0.02)
    return screen(pilot)


async def shows(pilot: Pilot[str], pattern: str) -> str:
    return await until(pilot, lambda: re.search(pattern, screen(pilot)))


def client(server: Scripted) -> Client:
    return Client(Server(server.url, TOKEN))


def sent(server: Scripted) -> list[str]:
    return [body["userInput"]["inputs"][0]["text"]["content"] for body in server.bodies("SendToAgentExecution")]


async def test_executions_stand_in_groups_with_what_they_wait_for_do_and_have_used(server: Scripted) -> None:
    listed(
        server,
        entry(THIRD, "done", "Old one", waitingSince="2026-01-01T00:00:00Z"),
        entry(OTHER, "working", "At work", limits={"maxInputTokens": "13000"}),
        entry(ID, "needs", "In doubt", waitingFor="an answer", hostler={"openQuestions": [COLOUR]}),
    )
    async with opened(client(server)) as pilot:
        rows = (await shows(pilot, "Old one")).split("\n")
    assert all(len(row) <= 80 for row in rows)
    assert re.match(r" Hostler   1 needs you  1 working  1 done +● live", rows[0])
    assert re.match(r" needs input +agent +tokens +since", rows[2])
    assert re.match(r" \? In doubt +Which colour\? +hostler +12.0k +5 min", rows[3])
    assert rows[5] == " working"
    assert re.match(r" ▸ At work +running bash +hostler +12.0k 92% +5 min", rows[6])
    assert re.match(r" ✓ Old one +running bash", rows[9])
    assert rows[23].endswith("q quit")


@pytest.mark.parametrize("width", [40, 200])
async def test_narrow_and_wide_screens_lose_nothing_that_matters(server: Scripted, width: int) -> None:
    listed(server, entry(name="漢字" * 30), entry(OTHER, "needs", "In doubt", waitingFor="an answer: Which?"))
    async with opened(client(server), (width, 24)) as pilot:
        shown = await shows(pilot, "In doubt")
    assert "an answer" in shown
    assert ("12.0k" in shown) is (width == 200)
    row = next(row for row in shown.split("\n") if "▸" in row)
    assert row.endswith("5 min")


async def test_without_executions_and_without_hits_that_is_said(server: Scripted) -> None:
    listed(server)
    async with opened(client(server)) as pilot:
        await shows(pilot, "No executions yet. Start one: hostler run")
        listed(server, entry())
        await pilot.press("slash", *"nothing")
        await shows(pilot, "Nothing here has the words “nothing”")
        await pilot.press("escape")
        await shows(pilot, "▸ Mend it")


async def test_words_choose_what_is_shown_and_keys_what_is_meant(server: Scripted) -> None:
    listed(server, entry(name="Mend the parser"), entry(OTHER, "done", "Add docs"), entry(THIRD, "done", "Add tests"))
    async with opened(client(server)) as pilot:
        await shows(pilot, "Add tests")
        listing = pilot.app.query_one(Listing)
        await pilot.press("j", "down", "j")
        assert listing.chosen == THIRD
        await pilot.press("k")
        assert listing.chosen == OTHER
        await pilot.press("slash", *"add TES", "enter")
        assert "Mend the parser" not in await shows(pilot, "Add tests")
        assert listing.chosen == THIRD
        await pilot.press("w")
    assert pilot.app.return_value == THIRD


async def test_a_choice_is_answered_with_its_number(server: Scripted) -> None:
    asking(server, COLOUR)
    async with opened(client(server)) as pilot:
        await shows(pilot, r"\? Mend it")
        await pilot.press("a")
        assert "1  Blue  like the sky" in await shows(pilot, "Which colour")
        await pilot.press("2")
        await until(pilot, lambda: sent(server))
        await shows(pilot, "answered Mend it")
    assert sent(server) == ['{"colour": "Red"}']


async def test_several_questions_one_with_words_are_answered_at_once(server: Scripted) -> None:
    asking(server, {**COLOUR, "allowOther": True}, SIZE)
    async with opened(client(server)) as pilot:
        await shows(pilot, r"\? Mend it")
        await pilot.press("a")
        await shows(pilot, r"1 of 2\s")
        await pilot.press("down", "down", "enter", *"teal", "enter")
        await shows(pilot, "How large")
        assert not pilot.app.screen.query_one(OptionList).display
        assert sent(server) == []
        await pilot.press("enter")  # nothing is no answer
        await pilot.press(*"XL", "enter")
        await until(pilot, lambda: sent(server))
    assert sent(server) == ['{"colour": "teal", "size": "XL"}']


async def test_a_question_may_stay_open_and_a_step_may_be_chosen(server: Scripted) -> None:
    asking(server, COLOUR)
    async with opened(client(server)) as pilot:
        await shows(pilot, r"\? Mend it")
        await pilot.press("a", "escape")
        listed(server, entry(standing="done", hostler={"nextSteps": STEPS}))
        pilot.app._feed.look_again()  # type: ignore[attr-defined]  # pyright: ignore
        await shows(pilot, r"✓ Mend it")
        await pilot.press("a")
        await shows(pilot, "What next")
        await pilot.press("enter")
        await until(pilot, lambda: sent(server))
    assert sent(server) == [STEPS[0]["prompt"]]


async def test_what_asks_nothing_cannot_be_answered_and_what_rests_not_stopped(server: Scripted) -> None:
    listed(server, entry(standing="done"))
    async with opened(client(server)) as pilot:
        await shows(pilot, "Mend it")
        await pilot.press("a")
        await shows(pilot, "It asks nothing")
        await pilot.press("x")
        await shows(pilot, "It does nothing")
        await pilot.press("s")
        await shows(pilot, "Say to Mend it")
        assert isinstance(pilot.app.focused, Input)
        await pilot.press(*"go on", "enter")
        await until(pilot, lambda: sent(server))
    assert sent(server) == ["go on"]
    assert not server.bodies("StopAgentExecution")


async def test_stopping_is_confirmed_and_a_refusal_is_shown(server: Scripted) -> None:
    from tests.cli.scripted import Refused

    listed(server, entry())
    async with opened(client(server)) as pilot:
        await shows(pilot, "Mend it")
        await pilot.press("x", "n")
        assert not server.bodies("StopAgentExecution")
        server.answers["StopAgentExecution"] = Refused(403, "permission_denied", "this token may only read")
        await pilot.press("x", "y")
        await shows(pilot, "this token may only read")
        server.answers["StopAgentExecution"] = {}
        await pilot.press("x", "y")
        await shows(pilot, "stopping Mend it")
    assert server.bodies("StopAgentExecution")[-1] == {"agentExecutionId": ID}


async def test_a_peek_shows_the_last_lines_and_enter_again_watches(server: Scripted) -> None:
    listed(server, entry(hostler={"model": "scripted:demo"}))
    server.streams = [
        [seen(1), *(text(n, f"line {n}", name=f"b{n}") for n in range(2, 40)),
         block(40, {"actionStarted": {"actionId": "a", "intentDescription": "make [bold]x"}}),
         b'event: end\ndata: {"reason": "stopped"}\n\n']
    ]  # fmt: skip
    async with opened(client(server)) as pilot:
        await shows(pilot, "Mend it")
        await pilot.press("enter")
        shown = await shows(pilot, r"▶ make \[bold\]x")
        assert "line 39" in shown
        assert "line 5\n" not in shown
        assert "Mend it · 0198c2aa-0001 · scripted:demo" in shown
        assert server.live()[0].query["follow"] == "1"
        await pilot.press("enter")
    assert pilot.app.return_value == ID


async def test_keys_and_the_address_of_the_page_are_told(server: Scripted) -> None:
    listed(server, entry())
    server.answers[f"{OWN}/links"] = {"url": "https://hostler.example/open/abc"}
    async with opened(client(server)) as pilot:
        await shows(pilot, "Mend it")
        await pilot.press("question_mark")
        await shows(pilot, "quit; agents go on")
        await pilot.press("escape", "o")
        await shows(pilot, "https://hostler.example/open/abc")
        await pilot.press("escape", "q")
    assert pilot.app.return_value == ""


@pytest.mark.sandbox
async def test_a_server_that_goes_away_is_said_and_found_again_elsewhere(
    hostler: HostlerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HOSTLER_URL", raising=False)
    hostler.call("StartAgent", {"name": "First"})
    folder = Path(hostler.folder)
    async with opened(Client(places.find(folder))) as pilot:
        await shows(pilot, "First")
        assert hostler.call("StartAgent", {"name": "Second"})
        await shows(pilot, "Second")  # the server's events tell of it
        await pilot.press("enter")
        await shows(pilot, "· live")
        hostler.kill()
        shown = await shows(pilot, r"offline for \d+ s, reconnecting")
        assert "Second" in shown
        old = hostler.url
        hostler.start()
        assert hostler.url != old
        await shows(pilot, "● live")
        hostler.call("StartAgent", {"name": "Third"})
        await shows(pilot, "Third")
        await shows(pilot, "· live")
    hostler.close()
    hostler.start()


def test_top_needs_a_terminal(cli: Cli, server: Scripted) -> None:
    ended = cli("top")
    assert (ended.code, "needs a terminal" in ended.err) == (2, True)


def test_numbers_and_times_are_short() -> None:
    assert [short_number(n) for n in (0, 999, 1000, 12_345, 99_960, 999_600, 4_100_000)] == [
        *("0", "999", "1.0k", "12.3k", "100k", "1.0M", "4.1M")
    ]
    assert [lasted(n) for n in (-5, 59.9, 60, 7200, 90_000)] == ["0 s", "59 s", "1 min", "2 h", "1 d"]


@pytest.mark.sandbox
def test_a_person_at_a_terminal_watches_comes_back_and_quits(hostler: HostlerProcess, seats: list[Seat]) -> None:
    id_ = hostler.call("StartAgent", {"name": "In the terminal"})["agentExecutionId"]
    seat = Seat(hostler, "top", group=())
    seats.append(seat)
    seat.until(b"In the terminal")
    seat.type(b"w")
    seat.until(f"watching {id_}; Ctrl-C goes back to top".encode())
    hostler.call("SendToAgentExecution", {"agentExecutionId": id_, "userInput": HELLO})
    seat.until(b"> hello")
    seat.process.send_signal(signal.SIGINT)
    seat.until(b"it goes on. back to top")
    seat.shown = seat.shown.partition(b"back to top")[2]
    seat.until(b"In the terminal")
    seat.type(b"q")
    seat.rest()
    assert seat.ended() == 0
