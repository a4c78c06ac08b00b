"""Saying something in a conversation by a path of its own, so that visitors with a share can do so too."""

import json
import re
from typing import cast

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hostler.api.auth import Credentials
from hostler.api.bodies import object_in, whole
from hostler.api.call import Caller
from hostler.api.codec import from_json
from hostler.api.controls import goal_in
from hostler.api.edge import LARGE_BODY
from hostler.api.inputs import parts_of
from hostler.api.modes import names_mode
from hostler.api.parts import ApiParts
from hostler.api.sending import Sending
from hostler.api.validation import check
from hostler.contract.gitpod.v1.agent_execution_requests_pb import SendToAgentExecutionRequest
from hostler.contract.gitpod.v1.agent_input_pb import UserInputBlock, UserInputMetadata
from hostler.core.approvals import SHARE
from hostler.core.errors import InvalidArgument, PermissionDenied

TAKEN = ("userInput", "turnOptions", "codexSettings")
"""What a request may hold; of visitors, the input alone."""
HALF = re.compile(rb"\\u[dD]")
"""Where half of a character may be written, which nothing can keep."""


class Saying:
    """Serves POST /api/hostler/v1/executions/ID/inputs."""

    def __init__(self, parts: ApiParts, credentials: Credentials) -> None:
        self._parts = parts
        self._credentials = credentials
        self._sending = Sending(parts)

    def routes(self) -> list[Route]:
        """Return the route, relative to the server's root."""
        return [Route("/api/hostler/v1/executions/{execution}/inputs", self.say, methods=["POST"])]

    async def say(self, request: Request) -> Response:
        """Queue an input as SendToAgentExecution does; tells its id."""
        execution = cast("str", request.path_params["execution"]).lower()
        caller = await self._credentials.viewer(request, execution, needs="send")
        sent = _read(await whole(request, LARGE_BODY), execution)
        check(sent)
        if sent.input is None or not isinstance(sent.input.value, UserInputBlock):
            raise InvalidArgument("something to say is needed", field="user_input")
        block = sent.input.value
        block.id = block.id or self._parts.ambient.new_id()
        if caller.kind == "share":
            self._mark(caller, sent, block)
        await self._sending.send(sent)
        return JSONResponse({"userInputId": block.id})

    def _mark(self, caller: Caller, sent: SendToAgentExecutionRequest, block: UserInputBlock) -> None:
        """Note through which share something is said; PermissionDenied for what goes beyond saying."""
        if sent.turn_options is not None or sent.codex_settings is not None:
            raise PermissionDenied("a visitor chooses no settings")
        if goal_in(block, self._parts.ambient):
            raise PermissionDenied("a visitor sets no goal")
        if any(names_mode(text) for _, text in parts_of(block)):
            raise PermissionDenied("a visitor sets no mode")
        block.metadata = UserInputMetadata(source=source_of(caller))


def source_of(caller: Caller) -> str:
    """Return what the log says of an input that came through a share: its id, and its name if it has one."""
    return f"{SHARE}{caller.grant}{caller.principal.name.removeprefix('visitor')}"


def _read(raw: bytes, execution: str) -> SendToAgentExecutionRequest:
    """Return the request that a body stands for; raises InvalidArgument."""
    asked = object_in(raw)
    said = {key: asked[key] for key in TAKEN if key in asked}
    try:
        if HALF.search(raw):
            json.dumps(said, ensure_ascii=False).encode()
        return from_json(SendToAgentExecutionRequest, {**said, "agentExecutionId": execution})
    except (ValueError, TypeError) as fault:
        raise InvalidArgument(str(fault)) from None
