"""A reader whose line is cut anywhere, who is slow, or who comes back a hundred times, has every frame exactly once."""

import asyncio
import base64
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from hostler.api.cursors import cursor_of
from hostler.api.forms import MESSAGES, FrameForm
from hostler.api.stream import Reader, Telling
from hostler.core import events as ev
from hostler.core.conversation import Text, ToolCall, Usage
from hostler.core.ports import OpenBlock
from hostler.projections.blocks import frames
from tests.api.conftest import Api
from tests.api.test_live import calling

WORDS = "Zwölf Boxkämpfer 🥊 "


@dataclass
class Torn:
    """A client that believes whole events only, and comes back with the last id that it has."""

    last: str = ""
    frames: list[int] = field(default_factory=list[int])
    said: dict[str, str] = field(default_factory=dict[str, str])
    whole: dict[str, str] = field(default_factory=dict[str, str])
    ended: bool = False

    def read(self, data: bytes) -> None:
        """Read what came over one line, without what is not whole."""
        for event in data.decode(errors="ignore").split("\n\n")[:-1]:
            if not event.startswith((":", "retry:")):
                self._take(dict(line.split(": ", 1) for line in event.split("\n")))

    def _take(self, lines: dict[str, str]) -> None:
        told = json.loads(lines["data"])
        if lines["event"] == "end":
            self.ended = True
            return
        raw = base64.b64decode(told["frame"])
        body: dict[str, Any] = json.loads(MESSAGES[raw[0]].from_binary(raw[1:]).to_json())
        self.last = lines["id"]
        text = body.get("text") if raw[0] == 1 else None
        if text and body["phase"] == "PHASE_DELTA":
            assert body["id"] not in self.whole
            self.said[body["id"]] = self.said.get(body["id"], "") + text["content"]
            return
        self.frames.append(int(self.last.partition(":")[0]))
        if text:
            assert body["id"] not in self.whole
            self.whole[body["id"]] = text["content"]
            assert text["content"].startswith(self.said.get(body["id"], ""))


def block(number: int) -> str:
    return f"0190aaaa-0000-7000-8000-{number:012x}"


async def line(api: Api, execution: str, torn: Torn, query: str = "") -> tuple[asyncio.StreamReader, Any]:
    """Open a line and read the head of the answer; what follows are chunks."""
    port = int(api.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 16)
    again = f"Last-Event-ID: {torn.last}\r\n" if torn.last else ""
    asked = (
        f"GET /api/executions/{execution}/live{query} HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer owner-token\r\n"
    )
    writer.write(f"{asked}{again}\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    assert b" 200 " in head
    return reader, writer


async def chunk(reader: asyncio.StreamReader) -> bytes:
    """Return the next chunk of the body; empty at its end."""
    size = int(await reader.readline(), 16)
    data = await reader.readexactly(size)
    await reader.readexactly(2)
    return data


async def step(api: Api, execution: str, number: int, text: str) -> None:
    """One reply with a call, and its result."""
    api.desk.hush()
    call = f"c{number}"
    told = (Text(text), ToolCall("1", "bash", '{"command": "ls"}'))
    await api.desk.append(
        execution,
        ev.ModelReplied(call, told, Usage(), blocks=(block(number), "")),
        ev.ToolStarted(f"{call}.0", "bash", '{"command": "ls"}', "i"),
        ev.ToolFinished(f"{call}.0", "ok", WORDS),
        ev.ModelCallStarted(f"c{number + 1}", "m"),
    )


def test_a_line_cut_behind_any_byte_loses_and_doubles_nothing() -> None:
    """Every byte of what one reader is sent, between events and inside of ids, names, data and characters."""
    telling = Telling("x", FrameForm("x"))
    story: list[ev.Event] = [
        ev.Started({}, ev.Agent("a", "a", "builtin", "m"), "e", True, "c", "s"),
        ev.EnvironmentReady("e", "i"),
        ev.InputQueued("one", {"inputs": [{"text": {"content": WORDS}}]}, "d"),
        ev.TurnStarted(1, "session"),
        ev.InputTaken(("one",)),
        ev.ModelCallStarted("c1", "m"),
        ev.ModelReplied("c1", (Text(WORDS * 2),), Usage(), blocks=(block(1),)),
        ev.ModelCallStarted("c2", "m"),
    ]
    now = datetime(2026, 1, 1, tzinfo=UTC)
    telling.grow([ev.Recorded(seq, now, event) for seq, event in enumerate(story, 1)], now)
    telling.say([OpenBlock(block(2), "c2", 0, "text", 3, WORDS)], now)

    def everything(last: str) -> bytes:
        reader = Reader(cursor_of(last) if last else None)
        told = b""
        while data := reader.take(telling, now):
            told += data
        return told

    sent = everything("")
    for end in range(len(sent) + 1):
        torn = Torn()
        torn.read(sent[:end])
        torn.read(everything(torn.last))
        assert torn.frames == [1, 2, 3, 4, 5]
        assert torn.said == {block(2): WORDS}
        assert torn.whole == {block(1): WORDS * 2}


@pytest.mark.parametrize("place", ["inside an id", "inside data", "between events", "before its first byte"])
async def test_a_socket_cut_while_text_streams_loses_and_doubles_nothing(api: Api, place: str) -> None:
    execution = await calling(api)
    torn = Torn()
    for number in range(1, 9):
        text = ""
        open_block = api.desk.say(OpenBlock(block(number), f"c{number}", 0, "text", 1, WORDS))
        for _ in range(3):
            reader, writer = await line(api, execution, torn)
            data = await chunk(reader)
            open_block = api.desk.say_more(open_block, WORDS)
            text = open_block.text
            last = data.rfind(b"\n\n", 0, -2) + 2
            cuts = {"inside an id": last + 5, "inside data": len(data) - 9, "between events": len(data)}
            if place == "before its first byte":
                writer.transport.abort()
            torn.read(data[: cuts.get(place, 0)])
            writer.transport.abort()
        await step(api, execution, number, text)
    await api.desk.append(execution, ev.StopRequested(1), ev.Stopped(1))
    reader, writer = await line(api, execution, torn)
    while data := await chunk(reader):
        torn.read(data)
    writer.close()
    expected = frames(execution, await api.parts.executions.read(execution))
    assert torn.ended
    assert torn.frames == [frame.number for frame in expected]
    assert list(torn.whole.values()) == [WORDS * 4] * 8


async def test_a_hundred_reconnects_while_text_streams_lose_and_double_nothing(api: Api) -> None:
    execution = await calling(api)
    torn = Torn()
    for number in range(1, 101):
        open_block = api.desk.say(OpenBlock(block(number), f"c{number}", 0, "text", 1, f"{number} "))
        reader, writer = await line(api, execution, torn)
        torn.read(await chunk(reader))
        open_block = api.desk.say_more(open_block, WORDS)
        torn.read(await chunk(reader))
        writer.close()
        if number % 3:
            await step(api, execution, number, open_block.text + "end")
        else:
            await step(api, execution, number, open_block.text)
    await api.desk.append(execution, ev.StopRequested(1), ev.Stopped(1))
    reader, writer = await line(api, execution, torn)
    while data := await chunk(reader):
        torn.read(data)
    writer.close()
    assert torn.frames == [frame.number for frame in frames(execution, await api.parts.executions.read(execution))]
    assert len(torn.said) == len(torn.whole) == 100


async def test_a_reader_who_does_not_read_holds_up_nobody_and_gets_everything_once_when_he_does(api: Api) -> None:
    execution = await calling(api)
    slow, quick = Torn(), Torn()
    slow_reader, slow_writer = await line(api, execution, slow)
    quick_reader, quick_writer = await line(api, execution, quick)
    text = WORDS * 5000  # more in all than is kept in memory for those who are late
    for number in range(1, 61):
        open_block = api.desk.say(OpenBlock(block(number), f"c{number}", 0, "text", 1, text[:100]))
        while block(number) not in quick.said:
            quick.read(await chunk(quick_reader))
        api.desk.say_more(open_block, text[100:])
        await step(api, execution, number, text)
        while block(number) not in quick.whole:
            quick.read(await chunk(quick_reader))
    await api.desk.append(execution, ev.StopRequested(1), ev.Stopped(1))
    late, later = Torn(), Torn()
    lines = [(quick, quick_reader, quick_writer), (slow, slow_reader, slow_writer)]
    lines += [(torn, *await line(api, execution, torn, "?after=0")) for torn in (late, later)]
    for torn, reader, writer in lines:
        while not torn.ended:
            torn.read(await chunk(reader))
        writer.close()
    expected = [frame.number for frame in frames(execution, await api.parts.executions.read(execution))]
    assert quick.frames == slow.frames == late.frames == later.frames == expected
    assert quick.whole == slow.whole == late.whole == later.whole == {block(n): text for n in range(1, 61)}
