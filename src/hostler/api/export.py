"""A whole conversation as one file that stands for itself: JSON, Markdown, or HTML where pages are served."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from hostler.api.auth import Credentials
from hostler.api.codec import from_json, to_json
from hostler.api.execution_view import execution_of
from hostler.api.family import Member, choice, family, log_of, wants_tree
from hostler.api.forms import MESSAGES
from hostler.api.parts import ApiParts
from hostler.api.transcript import HEADERS
from hostler.core.desk import Seen
from hostler.core.events import Recorded
from hostler.projections.blocks import Framer
from hostler.projections.calls import CallTable
from hostler.projections.readable import readable, when
from hostler.projections.status import stamp
from hostler.projections.timeline import Timeline
from hostler.projections.transcript_text import heading

VERSION = 1
"""Of the JSON; it rises when a reader of the old one would go wrong."""
KINDS = {
    "html": "text/html; charset=utf-8",
    "md": "text/markdown; charset=utf-8",
    "json": "application/json",
}


@dataclass(frozen=True, slots=True)
class Exported:
    """What is exported: an execution, with its sub-agents behind it if they were asked for, as of a moment."""

    parts: ApiParts
    members: Sequence[Member]
    at: datetime
    visitor: bool = False
    """Whoever reads was let in to see this conversation, and nothing around it."""

    async def timeline(self, member: Member) -> Timeline:
        """Return a member's whole conversation; made in pieces, so that nobody else waits for it."""
        line = Timeline(member.row.id)
        async for page in log_of(self.parts, member.row.id, member.row.last_seq):
            await asyncio.to_thread(_feed, line, page)
        return line

    def below(self, member: Member) -> list[Member]:
        """Return the sub-agents of a member."""
        return [one for one in self.members if one.parent == member.row.id]


Form = Callable[[Exported], AsyncGenerator[bytes]]
"""Writes an export."""


class Exports:
    """Serves GET /api/executions/ID/export."""

    def __init__(self, parts: ApiParts, credentials: Credentials) -> None:
        self._parts = parts
        self._credentials = credentials
        html = {"html": parts.html_export} if parts.html_export else {}
        self._forms: dict[str, Form] = {**html, "md": as_markdown, "json": as_json}

    async def serve(self, request: Request) -> Response:
        """Answer with an export."""
        execution = cast("str", request.path_params["execution"]).lower()
        caller = await self._credentials.viewer(request, execution, needs="see")
        form = choice(request, "format", tuple(self._forms))
        members = await family(self._parts, execution, tree=wants_tree(request, caller))
        visitor = not caller.may("inspect")
        exported = Exported(self._parts, members, self._parts.ambient.now(), visitor)
        headers = {
            **HEADERS,
            "content-disposition": f'attachment; filename="conversation-{execution[:8]}.{form}"',
            "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox",
        }
        return StreamingResponse(self._forms[form](exported), media_type=KINDS[form], headers=headers)


async def as_json(exported: Exported) -> AsyncGenerator[bytes]:
    """Yield {version, exportedAt, execution, frames, calls, subagents}."""
    yield f'{{"version": {VERSION}, "exportedAt": "{stamp(exported.at)}", '.encode()
    async for piece in _member_json(exported, exported.members[0]):
        yield piece
    yield b"}\n"


async def _member_json(exported: Exported, member: Member) -> AsyncGenerator[bytes]:
    redactor = exported.parts.redactor
    shown = _execution(exported, member)
    yield f'"execution": {_written(redactor.json(shown))},\n"frames": ['.encode()
    framer, table, first = Framer(member.row.id), CallTable(), True

    def frames(page: Sequence[Recorded]) -> list[str]:
        for recorded in page:
            table.feed(recorded)
        fed = (frame for recorded in page for frame in framer.feed(recorded))
        bodies = ((frame, to_json(from_json(MESSAGES[frame.tag], frame.body))) for frame in fed)
        return [_written({"id": frame.number, "tag": frame.tag, "body": redactor.json(body)}) for frame, body in bodies]

    async for page in log_of(exported.parts, member.row.id, member.row.last_seq):
        if lines := await asyncio.to_thread(frames, page):
            yield ("\n" if first else ",\n").encode() + ",\n".join(lines).encode()
            first = False
    calls = redactor.json([call.to_json() for call in table.rows() if not exported.visitor])
    yield f'],\n"calls": {_written(calls)},\n"subagents": ['.encode()
    for number, child in enumerate(exported.below(member)):
        yield b",\n{" if number else b"\n{"
        async for piece in _member_json(exported, child):
            yield piece
        yield b"}"
    yield b"]"


def _execution(exported: Exported, member: Member) -> dict[str, Any]:
    """Return a member as the API shows it; to a visitor its name and where it stands."""
    shown = to_json(execution_of(Seen(member.row, exported.parts.desk.liveness(member.row))))
    if not exported.visitor:
        return shown
    metadata, status = shown.get("metadata", {}), shown.get("status", {})
    return {
        "id": member.row.id,
        "metadata": {name: metadata[name] for name in ("name", "createdAt", "updatedAt") if name in metadata},
        "status": {"phase": status.get("phase", "PHASE_UNSPECIFIED")},
    }


async def as_markdown(exported: Exported) -> AsyncGenerator[bytes]:
    """Yield the conversations one after the other, sub-agents behind who they work for."""
    for member in exported.members:
        line = await exported.timeline(member)
        told = await asyncio.to_thread(_told, line)
        head = heading(member.name or "Conversation", member.row.id, member.depth)
        text = f"{head}\nExported at {when(exported.at)}\n\n{told}"
        yield exported.parts.redactor.text(text).encode()


def _told(line: Timeline) -> str:
    return "".join(readable(line.items))


def _feed(line: Timeline, page: Sequence[Recorded]) -> None:
    for recorded in page:
        line.feed(recorded)


def _written(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
