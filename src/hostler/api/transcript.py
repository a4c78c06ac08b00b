"""The transcript of an execution over HTTP: JSON Lines or Markdown, piece by piece, with sub-agents when asked for."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, cast

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from hostler.agents.builtin.context import Context
from hostler.agents.builtin.prompts import system
from hostler.api.auth import Credentials
from hostler.api.call import Caller
from hostler.api.family import Member, choice, family, log_of, wants_tree
from hostler.api.parts import ApiParts
from hostler.core.conversation import Message, ToolSpec, UserMessage
from hostler.core.events import Agent, Recorded, Started
from hostler.projections.transcript import Transcript
from hostler.projections.transcript_text import heading, markdown
from hostler.tools.registry import TOOLS
from hostler.tools.tool import spec

HEADERS = {"cache-control": "no-store", "x-content-type-options": "nosniff", "x-accel-buffering": "no"}
LINES, MARKDOWN = "application/jsonl", "text/markdown; charset=utf-8"


class Followed:
    """What the built-in agent's model is told, followed through a log; tools are described as this release does."""

    def __init__(self) -> None:
        self._context = Context()
        self._agent: Agent | None = None

    @property
    def closed(self) -> Sequence[Message]:
        """Return the messages that every later call begins with."""
        return self._context.closed

    @property
    def renewed(self) -> int:
        """Return how often the context began anew."""
        return self._context.renewed

    def feed(self, recorded: Recorded) -> None:
        """Take one more event."""
        if isinstance(recorded.event, Started):
            self._agent = recorded.event.agent
        self._context.feed(recorded)

    def pending(self) -> UserMessage | None:
        """Return what the model hears next."""
        return self._context.pending()

    def system(self) -> str:
        """Return the system prompt of the next call."""
        return system(self._agent, self._context.instructions, self._context.skills) if self._agent else ""

    def tools(self) -> Sequence[ToolSpec]:
        """Return the tools that the next call offers."""
        return [spec(TOOLS[name]) for name in (self._agent.tools if self._agent else ()) if name in TOOLS]

    def effort(self) -> str:
        """Return how much thought the next call asks for."""
        return self._agent.effort if self._agent else ""


class Transcripts:
    """Serves GET /api/executions/ID/transcript."""

    def __init__(self, parts: ApiParts, credentials: Credentials) -> None:
        self._parts = parts
        self._credentials = credentials

    async def serve(self, request: Request) -> Response:
        """Answer with a transcript."""
        execution = cast("str", request.path_params["execution"]).lower()
        caller = await self._credentials.viewer(request, execution)
        form = choice(request, "format", ("jsonl", "md"))
        members = await family(self._parts, execution, tree=wants_tree(request, caller))
        name = f'inline; filename="transcript-{execution[:8]}.{form}"'
        pieces = transcript(self._parts, members, sees_all(caller), markdown_form=form == "md")
        kind = MARKDOWN if form == "md" else LINES
        return StreamingResponse(pieces, media_type=kind, headers={**HEADERS, "content-disposition": name})


def sees_all(caller: Caller) -> bool:
    """Return whether a caller is shown what only administrators are: a token for one conversation shows no more."""
    return caller.principal.admin and not caller.only


async def transcript(
    parts: ApiParts, members: Sequence[Member], admin: bool, *, markdown_form: bool = False
) -> AsyncGenerator[bytes]:
    """Yield the transcript of executions one after the other; what takes time is done in a thread."""
    form = markdown if markdown_form else _json_line
    for member in members:
        following = Transcript(member.row.id, Followed(), admin=admin)
        if markdown_form:
            yield parts.redactor.text(heading(member.name, member.row.id, member.depth)).encode() + b"\n"
        async for page in log_of(parts, member.row.id):
            yield await asyncio.to_thread(_fed, parts, following, page, member, form)
        yield _written(parts, following.finish(), member, form)


Form = Callable[[dict[str, Any]], str]


def _fed(parts: ApiParts, following: Transcript, page: Sequence[Recorded], member: Member, form: Form) -> bytes:
    lines = [line for recorded in page for line in following.feed(recorded)]
    return _written(parts, lines, member, form)


def _written(parts: ApiParts, lines: Sequence[dict[str, Any]], member: Member, form: Form) -> bytes:
    place = {"parent": member.parent, "depth": member.depth} if member.depth else {}
    return "".join(form(parts.redactor.json({**line, **place})) for line in lines).encode()


def _json_line(line: dict[str, Any]) -> str:
    return json.dumps(line, ensure_ascii=False) + "\n"
