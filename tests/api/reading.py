"""How the tests read streams."""

import base64
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from httpx2 import Response

from hostler.api.forms import MESSAGES
from tests.api.conftest import Api


@dataclass
class Event:
    """One server-sent event, its frame decoded."""

    kind: str
    id: str = ""
    tag: int = 0
    body: dict[str, Any] = field(default_factory=dict)

    @property
    def said(self) -> tuple[str, str]:
        """Return (phase, text) of a text block."""
        return self.body["phase"].removeprefix("PHASE_"), self.body["text"]["content"]


class Stream:
    """An open live stream."""

    def __init__(self, response: Response) -> None:
        self.response = response
        self.comments = 0
        self._lines = response.aiter_lines()

    async def next(self) -> Event | None:
        """Return the next event; None at the end of the stream."""
        lines: dict[str, str] = {}
        async for line in self._lines:
            if line.startswith(":"):
                self.comments += 1
            elif line:
                name, _, value = line.partition(": ")
                lines[name] = value
            elif "event" in lines:
                return _event(lines)
        return None

    async def comment(self) -> None:
        """Return when a comment has come."""
        async for line in self._lines:
            if line.startswith(":"):
                return

    async def rest(self) -> list[Event]:
        """Return everything to the end."""
        events: list[Event] = []
        while (event := await self.next()) is not None:
            events.append(event)
        return events

    async def text(self) -> Event:
        """Return the next event that carries text of the agent."""
        while (event := await self.next()) is not None:
            if event.tag == 1 and "text" in event.body:
                return event
        raise AssertionError("the stream ended")


def _event(lines: dict[str, str]) -> Event:
    data = json.loads(lines["data"])
    if "frame" not in data:
        return Event(lines["event"], lines.get("id", ""), data.get("tag", 0), data.get("body", data))
    raw = base64.b64decode(data["frame"])
    body = json.loads(MESSAGES[raw[0]].from_binary(raw[1:]).to_json())
    return Event(lines["event"], lines.get("id", ""), raw[0], body)


@asynccontextmanager
async def live(api: Api, execution: str, query: str = "", **headers: str) -> AsyncGenerator[Stream]:
    """Open a live stream with the owner's token, unless a header says otherwise."""
    url = f"{api.url}/api/executions/{execution}/live{query}"
    all_headers = {"authorization": "Bearer owner-token", **{k.replace("_", "-"): v for k, v in headers.items()}}
    async with api.http.stream("GET", url, headers=all_headers) as response:
        assert response.status_code == 200, await response.aread()
        yield Stream(response)
