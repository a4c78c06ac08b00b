"""Changing what waits in an execution's queue, below /api/hostler/v1: what no control of the contract does at once."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, cast

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hostler.api.bodies import body_of
from hostler.api.inputs import LONGEST_ID, digest
from hostler.api.parts import ApiParts
from hostler.api.prompting import understood
from hostler.api.starting import refuse_while_draining
from hostler.core import events as ev
from hostler.core.commands import EditInput, Send
from hostler.core.errors import FailedPrecondition, InvalidArgument, NotFound
from hostler.core.events import Recorded
from hostler.core.state import fold
from hostler.projections.status import stamp

Handler = Callable[[Request], Awaitable[Response]]
FORMS = ("id", "createdAt", "text", "image", "inputs")
"""Fields of an input that are written anew; the others are kept."""


class Queue:
    """The handlers; authenticated by whoever serves them."""

    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts

    def routes(self) -> list[tuple[str, str, Handler]]:
        """Return (method, path, handler)."""
        return [
            ("GET", "/executions/{execution}/queue", self.list),
            ("POST", "/executions/{execution}/queue/{input}/edit", self.edit),
        ]

    async def list(self, request: Request) -> Response:
        """Return what waits, first to last; `steer` says that it joins the running turn at its next step."""
        execution = cast("str", request.path_params["execution"]).lower()
        await self._parts.desk.seen(execution)
        log = await self._parts.desk.log(execution)
        sent = {one.event.input_id: one for one in log if isinstance(one.event, ev.InputQueued)}
        queue = [_entry(sent[queued.id], steer=queued.steer) for queued in fold(log).queue]
        return JSONResponse({"queue": queue})

    async def edit(self, request: Request) -> Response:
        """Put another text in the place of a queued one, under a new id; its images and settings are kept.

        FailedPrecondition when the agent has it already, or when it is not what a person wrote; nothing is changed.
        """
        refuse_while_draining(self._parts)
        execution = cast("str", request.path_params["execution"]).lower()
        input_id = cast("str", request.path_params["input"])
        asked = await body_of(request)
        new_id = _id(asked) or self._parts.ambient.new_id()
        await self._parts.desk.seen(execution)
        old = await self._sent(execution, input_id)
        body: dict[str, Any] = self._parts.redactor.json(self._edited(old.block, new_id, _text(asked)))
        new = await understood(Send(new_id, body, digest(body), old.origin, old.settings), execution, self._parts)
        if new.local:
            raise InvalidArgument("a command for Hostler does not wait in a queue; send it", field="text")
        state = await self._parts.desk.command(execution, EditInput(input_id, new))
        return JSONResponse({"id": new_id, "queue": [queued.id for queued in state.queue]})

    async def _sent(self, execution: str, input_id: str) -> ev.InputQueued:
        """Return an input as it was sent."""
        for recorded in await self._parts.desk.log(execution):
            if isinstance(recorded.event, ev.InputQueued) and recorded.event.input_id == input_id:
                if recorded.event.origin != "user":
                    raise FailedPrecondition("only what a person wrote can be edited", field="input")
                return recorded.event
        raise NotFound(f"no input {input_id!r} was sent to this execution", field="input")

    def _edited(self, block: ev.Json, new_id: str, text: str) -> dict[str, Any]:
        """Return an input with another text before its images; InvalidArgument when it would say nothing."""
        parts: Sequence[Mapping[str, Any]] = block.get("inputs") or [block]
        images = [{"image": part["image"]} for part in parts if "image" in part]
        if not text.strip() and not images:
            raise InvalidArgument("white space alone says nothing", field="text")
        kept = {key: value for key, value in block.items() if key not in FORMS}
        said = [{"text": {"content": text}}] if text.strip() else []
        return {"id": new_id, "createdAt": stamp(self._parts.ambient.now()), **kept, "inputs": [*said, *images]}


def _entry(recorded: Recorded, *, steer: bool) -> dict[str, Any]:
    queued = cast("ev.InputQueued", recorded.event)
    parts: Sequence[Mapping[str, Any]] = queued.block.get("inputs") or [queued.block]
    texts = [str(part["text"].get("content", "")) for part in parts if "text" in part]
    return {
        "id": queued.input_id,
        "text": "\n".join(texts) or str(queued.block.get("payload", "")),
        "images": sum("image" in part for part in parts),
        "origin": queued.origin,
        "steer": steer,
        "at": stamp(recorded.at),
    }


def _text(asked: Mapping[str, Any]) -> str:
    text = asked.get("text")
    if not isinstance(text, str):
        raise InvalidArgument("a text is needed", field="text")
    return text


def _id(asked: Mapping[str, Any]) -> str:
    given = asked.get("id", "")
    if not isinstance(given, str) or len(given) > LONGEST_ID:
        raise InvalidArgument(f"an id has at most {LONGEST_ID} characters", field="id")
    return given
